package engine

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// TestWaitHearsTheEnd has an engine that gathers a job's changes for an hour, and looks whether who
// waits hears of its end all the same.
func TestWaitHearsTheEnd(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	e := New(Options{Store: s, Logger: slog.New(slog.DiscardHandler)})
	e.beat = time.Hour
	ran := make(chan error)
	go func() { ran <- e.Run(context.WithoutCancel(t.Context())) }()
	j := &job{rec: record{ID: "job", Submitted: time.Now().AddDate(-1, 0, 0), Spec: mr.Spec{Output: filepath.Join(t.TempDir(), "out")}}}
	err = e.request(t.Context(), func(l *loop) {
		l.adopt(j)
		l.queue = append(l.queue, evAdd{job: "job", resumed: true})
		l.bump(j) // so that there is a change to gather others with
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := e.Kill(ctx, "job"); err != nil { // it waits for the end
		t.Error(err)
	}
	if st, err := e.Wait(ctx, "job", 0); err != nil || st.State != mr.Killed {
		t.Errorf("of a job that has ended: %v, %v", st.State, err)
	}
	e.Drain()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestWaitLeavesNothing waits for a job to which nothing happens, and gives up, again and again.
func TestWaitLeavesNothing(t *testing.T) {
	e, ended := startEngine(t, context.WithoutCancel(t.Context()))
	j := &job{rec: record{ID: "job", Submitted: time.Now()}}
	if err := e.request(t.Context(), func(l *loop) { l.adopt(j) }); err != nil {
		t.Fatal(err)
	}
	const waits, each = 50_000, 100 // bytes that a channel takes
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range waits {
		ctx, cancel := context.WithCancel(t.Context())
		var given sync.WaitGroup
		given.Go(func() {
			_, err := e.Wait(ctx, "job", 0)
			if !errors.Is(err, mr.ErrInterrupted) {
				t.Errorf("given up waiting: %v", err)
			}
		})
		cancel()
		given.Wait()
	}
	if more := heap() - before; more > waits*each/4 {
		t.Errorf("%d waits that were given up have left %d bytes", waits, more)
	}
	e.Drain()
	ended()
}

// A line of a job's log that can't be read keeps nobody from the others.
func TestDamagedLogLine(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err = s.Update(func(tx *store.Tx) error {
		err := putJob(tx, &record{ID: "job", Submitted: at})
		for key, line := range map[string]string{
			"job/1": `{"Ti`, "job/2": `{"Time":"2026-01-02T03:04:06Z","Text":"sound"}`, "job/3": "\x00\x00", "job2/1": "of another",
		} {
			err = errors.Join(err, tx.Put(store.Logs, []byte(key), []byte(line)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Catalog{s}.Logs(t.Context(), "job")
	if err != nil || len(lines) != 3 || lines[1].Text != "sound" {
		t.Fatalf("got %+v (%v)", lines, err)
	}
	for i, when := range map[int]time.Time{0: at, 2: at.Add(time.Second)} {
		if l := lines[i]; !l.Time.Equal(when) || !strings.Contains(l.Text, "damaged") {
			t.Errorf("in the place of a damaged line: %+v", l)
		}
	}
}

// TestListOfWhatIsUnderWay has a record among the jobs that can't be read: who asks for what is under
// way does not pay for all that has ended.
func TestListOfWhatIsUnderWay(t *testing.T) {
	e, ended := startEngine(t, context.WithoutCancel(t.Context()))
	err := e.request(t.Context(), func(l *loop) {
		for id, state := range map[mr.JobID]mr.State{"job3": mr.Running, "job1": mr.Pending, "job2": mr.Succeeded, "job4": mr.Running} {
			l.adopt(&job{rec: record{ID: id, State: state}})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.o.Store.Update(func(tx *store.Tx) error { return tx.Put(store.Jobs, []byte("job0"), []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	list, err := e.List(t.Context(), false)
	var ids []mr.JobID
	for _, st := range list {
		ids = append(ids, st.Job)
	}
	if want := []mr.JobID{"job1", "job3", "job4"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("under way are %v (%v), want %v", ids, err, want)
	}
	if _, err := e.List(t.Context(), true); !errors.Is(err, mr.ErrDamaged) {
		t.Errorf("all jobs, with one that can't be read: %v", err)
	}
	e.Drain()
	ended()
}
