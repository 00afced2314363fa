package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// fences are the attempts that a step has fenced.
func fences(acts []action) (ids []plan.Attempt) {
	for _, a := range acts {
		if f, ok := a.(actFence); ok {
			ids = append(ids, f.attempt)
		}
	}
	return ids
}

// pass lets time go by in ticks, and the workers that beat give signs of life.
func (b *table) pass(d time.Duration, beat ...workerID) (fenced []plan.Attempt) {
	b.t.Helper()
	for end := b.now.Add(d); b.now.Before(end); {
		b.now = b.now.Add(500 * time.Millisecond)
		for _, w := range beat {
			b.step(evBeat{w})
		}
		fenced = append(fenced, fences(b.step(evTick{}))...)
	}
	return fenced
}

// TestLease: signs of life extend a lease; silence ends it, and the tasks go to others;
// what the fenced attempts answer is nobody's; and the worker works again when it is back.
func TestLease(t *testing.T) {
	b := newTable(t)
	const lease = 3 * time.Second
	b.step(evJoined{1, 2, "far", lease, 0})
	b.job("a", 4)
	if f := b.pass(20*time.Second, 1); len(f) > 0 || len(b.started) != 2 {
		t.Fatalf("fenced %v, started %v", f, b.started)
	}
	b.step(evWorker{2, 2})
	if f := b.pass(lease); len(f) > 0 {
		t.Fatalf("fenced %v within the lease", f)
	}
	lost := []plan.Attempt{b.started[0].attempt, b.started[1].attempt}
	if f := b.pass(time.Second); len(f) != 2 || f[0] != lost[0] || f[1] != lost[1] {
		t.Fatalf("fenced %v, want %v", f, lost)
	}
	for _, a := range lost { // a zombie speaks
		for _, act := range b.step(evDone{attempt: a, key: name('k', 1), run: 7, out: name('d', 1)}) {
			t.Errorf("a fenced attempt's answer does %s", formatAction(act))
		}
	}
	for _, s := range b.started[2:] {
		if b.on[s.attempt] != 2 {
			t.Errorf("%s went to the silent worker", formatTask(s.task))
		}
		b.finish(s.attempt)
	}
	before := len(b.started)
	b.step(evBeat{1})
	b.job("b", 4)
	back := 0
	for _, s := range b.started[before:] {
		if b.on[s.attempt] == 1 {
			back++
		}
	}
	if back != 2 {
		t.Errorf("the worker that is back got %d tasks, of %v", back, b.started[before:])
	}
}

// TestEngineWasAway: when the engine itself was stopped, no worker is to blame for it.
func TestEngineWasAway(t *testing.T) {
	b := newTable(t)
	b.step(evJoined{1, 1, "far", 3 * time.Second, 0})
	b.job("a", 1)
	b.pass(2*time.Second, 1)
	b.now = b.now.Add(time.Hour)
	if f := b.pass(2 * time.Second); len(f) > 0 {
		t.Errorf("fenced %v", f)
	}
	if f := b.pass(3 * time.Second); len(f) != 1 {
		t.Errorf("fenced %v of a worker that is silent in earnest", f)
	}
}

// TestDyingWorkerRests: a host on which workers die with tasks is not given more at once
// when they come back, until one has succeeded.
func TestDyingWorkerRests(t *testing.T) {
	b := newTable(t)
	b.step(evWorker{1, 1})
	b.job("a", 1000)
	id := workerID(2)
	got := func() (n int) {
		for _, w := range b.on {
			if w == id {
				n++
			}
		}
		return n
	}
	for range restAfter {
		b.step(evJoined{id, 2, "bad", time.Minute, 0})
		if got() != 2 {
			t.Fatalf("worker %d got %d tasks", id, got())
		}
		b.step(evWorkerGone{id})
		id++
	}
	b.step(evJoined{id, 2, "bad", time.Minute, 0})
	if got() != 0 {
		t.Errorf("it got %d tasks at once", got())
	}
	b.now = b.now.Add(restFirst)
	b.step(evTick{})
	if got() != 2 {
		t.Errorf("after its rest it got %d tasks", got())
	}
	for _, s := range b.started {
		if b.on[s.attempt] == id {
			b.finish(s.attempt)
			break
		}
	}
	b.step(evWorkerGone{id})
	id++
	b.step(evJoined{id, 2, "bad", time.Minute, 0})
	if got() != 2 {
		t.Errorf("one death after a success, and it got %d tasks", got())
	}
	if b.ended[mr.JobID("a")] != "" {
		t.Errorf("the job ended: %s", b.ended["a"])
	}
}

// Of an attempt that another had overtaken when its worker fell silent it is not said that its task is given to another.
func TestFencedLosersAreToldAsSuch(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was written
	for _, overtaken := range []bool{false, true} {
		l := &New(Options{Store: s}).loop
		j := &job{rec: record{ID: "job"}}
		l.adopt(j)
		l.core.step(evJoined{1, 1, "far", time.Minute, 0}, time.Now())
		l.core.step(evAdd{job: "job"}, time.Now())
		l.core.step(evPlanned{job: "job", maps: make([]planned, 1)}, time.Now())
		l.members[1] = &member{Member: Member{Name: "far", Lease: time.Minute}}
		for id, a := range l.core.attempts {
			l.attempts[id] = &flight{task: a.task, worker: 1}
			if overtaken {
				l.core.jobs["job"].maps[0].state = taskDone
			}
			l.fence(id)
		}
		if len(j.lines) != 1 || strings.Contains(j.lines[0].Text, "given to another") == overtaken {
			t.Errorf("overtaken %t: %v", overtaken, j.lines)
		}
	}
}
