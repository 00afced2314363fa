package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// A job all of whose tasks are done, and that waits for one of them to be executed once more before it
// publishes, can be killed. What the trial comes to publishes nothing.
func TestKilledWhileTried(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	out := filepath.Join(t.TempDir(), "out")
	j := &job{rec: record{ID: newJobID(time.Now()), Spec: mr.Spec{Output: out}, State: mr.Running, MadeOutput: true, Plan: mr.Digest{1}}}
	id := j.rec.ID
	err := e.request(ctx, func(*loop) {}) // it has taken up what is on record
	err = errors.Join(err, e.o.Store.Update(func(tx *store.Tx) error { return putJob(tx, &j.rec) }))
	err = errors.Join(err, e.request(ctx, func(l *loop) {
		l.adopt(j)
		now := time.Now()
		l.core.step(evAdd{job: id, resumed: true}, now)
		l.core.step(evPlanned{job: id, resumed: true}, now)
		l.core.step(evCut{job: id}, now)
		j.onTrial = 1
		l.commit(id)
	}))
	if err != nil {
		t.Fatal(err)
	}
	killing, stop := context.WithTimeout(ctx, 3*time.Second)
	defer stop()
	if err := e.Kill(killing, id); err != nil {
		t.Errorf("kill: %v", err)
	}
	err = e.request(ctx, func(l *loop) { l.wasTried(id, plan.Map, "m-00000", deterministic, nil) })
	s, serr := e.Status(ctx, id)
	if err = errors.Join(err, serr); err != nil || s.State != mr.Killed {
		t.Errorf("the job is %s; %v", s.State, err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is an output: %v", err)
	}
}

// A job that waits for room to publish its output can be killed, and leaves nothing of it. So can one that is
// about to.
func TestKilledWhileItWaitsForRoom(t *testing.T) {
	t.Run("waits", func(t *testing.T) { killWithoutRoom(t, false) })
	t.Run("is about to", func(t *testing.T) { killWithoutRoom(t, true) })
}

func killWithoutRoom(t *testing.T, early bool) {
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	out := filepath.Join(t.TempDir(), "out")
	j := &job{rec: record{ID: newJobID(time.Now()), Spec: mr.Spec{Output: out}, State: mr.Running, MadeOutput: true, Plan: mr.Digest{1}}}
	id := j.rec.ID
	err := errors.Join(os.Mkdir(out, 0o700), os.Symlink(full, filepath.Join(out, manifestName+".tmp"))) // where the manifest is written first
	err = errors.Join(err, e.request(ctx, func(*loop) {}))                                              // it has taken up what is on record
	err = errors.Join(err, e.o.Store.Update(func(tx *store.Tx) error { return putJob(tx, &j.rec) }))
	err = errors.Join(err, e.request(ctx, func(l *loop) {
		l.adopt(j)
		now := time.Now()
		l.core.step(evAdd{job: id, resumed: true}, now)
		l.core.step(evPlanned{job: id, resumed: true}, now)
		l.core.step(evCut{job: id}, now)
		if early {
			l.after = append(l.after, func() { l.commit(id) })
		} else {
			l.commit(id)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for warned := early; !warned; time.Sleep(time.Millisecond) { // it tries again a second later, and then there is room
		s, err := e.Status(ctx, id)
		if warned = len(s.Warnings) > 0; err != nil || s.State.Done() {
			t.Fatalf("the job is %s, %v", s.State, err)
		}
	}
	killing, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := e.Kill(killing, id); err != nil {
		t.Errorf("kill: %v", err)
	}
	if s, err := e.Status(ctx, id); err != nil || s.State != mr.Killed {
		t.Errorf("the job is %s; %v", s.State, err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is an output: %v", err)
	}
}

// An engine that leaves unfinished jobs alone ends the one that it is asked to end, and starts nothing of the others,
// nor of that one.
func TestKilledWhereNothingRuns(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	ended, other := underWay(t, s), underWay(t, s)
	key := append([]byte(ended.ID), '/', byte(plan.Map), 0, 0, 0, 1) // of a task that is to be done again
	if err := s.Update(func(tx *store.Tx) error { return tx.Delete(store.Tasks, key) }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, ran := New(Options{Store: s, Idle: true}), make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs) //nolint:errcheck // it ends with the test
	err = e.AddWorker(rpc.NewClient(ours), 1)
	killing, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	err = errors.Join(err, e.Kill(killing, ended.ID))
	first, err1 := e.Status(ctx, ended.ID)
	second, err2 := e.Status(ctx, other.ID)
	e.Drain()
	if err := errors.Join(err, err1, err2, <-ran); err != nil {
		t.Fatal(err)
	}
	if first.State != mr.Killed || first.Map.Attempts != 0 || second.State != mr.Running {
		t.Errorf("it is %s after %d attempts, and the other one %s", first.State, first.Map.Attempts, second.State)
	}
}
