package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// A map output that is forgotten, or replaced by another, between a job's plan, which found it, and the moment in which that is recorded
// keeps its run's id: where that run is gone, it is found to be lost, and whose it was.
func TestForgottenWhileFound(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	found := plan.Made{Run: 77, Digest: mr.Digest{7}}
	key := mr.Digest{3}
	for _, onRecord := range []*lineage.Output{
		nil,
		{Key: key, Gone: "lost: damaged", Created: time.Now()},
		{Key: key, Made: plan.Made{Run: 78, Digest: mr.Digest{8}}, Created: time.Now()},
	} {
		err := e.o.Store.Update(func(tx *store.Tx) error {
			if onRecord == nil {
				return nil
			}
			return lineage.PutOutput(tx, onRecord)
		})
		if err != nil {
			t.Fatal(err)
		}
		err = e.request(ctx, func(l *loop) {
			j := &job{rec: record{ID: newJobID(time.Now())}, maps: make([]taskInfo, 1), splits: make([]input.Split, 1)}
			l.adopt(j)
			now := time.Now()
			l.core.step(evAdd{job: j.rec.ID, share: true}, now)
			l.core.step(evPlanned{job: j.rec.ID, maps: []planned{{key: key, done: true, cached: true, run: found.Run, out: found.Digest}}}, now)
			b := &batchWriter{l: l}
			b.foundOutput(j, taskID{j.rec.ID, plan.Map, 0}, &j.maps[0])
			if got := j.maps[0].Made; got.Run != found.Run || got.Digest != found.Digest {
				t.Errorf("on record is %+v; the task has run %d, want %d", onRecord, got.Run, found.Run)
			}
			l.core.step(evKill{job: j.rec.ID}, now)
			delete(l.jobs, j.rec.ID)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Counters of many names are added up in a moment: everything else waits for the loop.
func TestManyCounters(t *testing.T) {
	const many = 60_000
	named := func(from int) (cs mr.Counters) {
		for i := from; i < many; i += 2 {
			cs = append(cs, mr.Counter{Group: "own", Name: fmt.Sprintf("%09d", i), Value: int64(i)})
		}
		return cs
	}
	begin := time.Now()
	sum := addCounters(addCounters(addCounters(nil, named(0), 1), named(1), 1), named(1), -1)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if len(sum) != many {
		t.Fatalf("%d counters of %d", len(sum), many)
	}
	for i, c := range sum {
		if want := int64(i * (1 - i%2)); c.Name != fmt.Sprintf("%09d", i) || c.Value != want {
			t.Fatalf("counter %d is %+v, want %d", i, c, want)
		}
	}
}

// Of two splits with equal bytes one is mapped, and the other's attempt is given up when it has read its own: what
// that has shown is remembered, so that the next job need not read it again.
func TestWhatWasReadIsRemembered(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	l := &New(Options{Store: s}).loop
	j := &job{rec: record{ID: "job"}, maps: make([]taskInfo, 2)}
	l.adopt(j)
	split := input.Split{Pieces: []input.Piece{{Path: "/in/copy", Len: 1 << 20}}}
	f := &flight{task: taskID{"job", plan.Map, 1}, split: split, settled: true, held: true, result: plan.Result{Identified: true, Split: mr.Digest{7}}}
	l.attempts[1] = f
	b := &batchWriter{l: l}
	b.stage(actTaskStart{task: f.task, attempt: 1})
	b.stage(actAbandon{1})
	var known mr.Digest
	err = errors.Join(l.write(b.writes), s.View(func(tx *store.Tx) error {
		known, _ = lineage.GetStamp(tx, stampKey(&j.rec.Spec, split))
		return nil
	}))
	if err != nil || known != f.result.Split || j.rec.Map.Attempts != 0 || j.maps[1].Starts != 0 {
		t.Errorf("known as %v, %v; %d attempts", known.Short(), err, j.rec.Map.Attempts)
	}
}

// What a job took so far is on record a second later, and not only when its phase ends: a crash takes less than that
// of it.
func TestTimeIsBookedMeanwhile(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	now := time.Now()
	l := &New(Options{Store: s, Now: func() time.Time { return now }}).loop
	j := &job{rec: record{ID: "job", Phase: "map"}, maps: make([]taskInfo, 4)}
	l.adopt(j)
	for i, want := range []float64{0, 1.2, 1.2, 2.4} {
		now = now.Add(600 * time.Millisecond)
		id := plan.Attempt(i + 1)
		l.attempts[id] = &flight{task: taskID{"job", plan.Map, i}, work: plan.Work{Attempt: id}}
		j.rec.Bytes.Read += 10
		b := &batchWriter{l: l}
		b.stage(actTaskDone{task: taskID{"job", plan.Map, i}, attempt: id})
		if err := l.write(b.writes); err != nil {
			t.Fatal(err)
		}
		var kept *record
		err := s.View(func(tx *store.Tx) (err error) {
			kept, err = getJob(tx, "job")
			return err
		})
		switch {
		case want == 0:
			if kept != nil {
				t.Errorf("the job is on record after 0.6 s: %v", err)
			}
		case err != nil:
			t.Fatal(err)
		case kept.Seconds.Elapsed != want || kept.Seconds.Map != want || kept.Bytes.Read != int64((i+1)/2)*20:
			t.Errorf("after %d tasks: %+v, %+v", i+1, kept.Seconds, kept.Bytes)
		}
	}
}
