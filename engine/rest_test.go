package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// run lets attempts end, oldest first, 100 ms apart, until no job has maps to do. The
// attempts that fails names fail.
func (b *table) run(fails func(actTaskStart) bool) {
	b.t.Helper()
	for next := 0; ; {
		busy := false
		for _, j := range b.c.order {
			busy = busy || j.phase == phaseMap || j.running > 0
		}
		if !busy {
			return
		}
		b.now = b.now.Add(100 * time.Millisecond)
		if next == len(b.started) {
			b.step(evTick{})
			continue
		}
		if next > 1000 {
			b.t.Fatal("it goes on and on")
		}
		s := b.started[next]
		next++
		if !fails(s) {
			b.finish(s.attempt)
			continue
		}
		words := fmt.Sprintf("%s failed on %d", formatTask(s.task), b.on[s.attempt])
		b.step(evFailed{attempt: s.attempt, kind: plan.UserError, err: words})
	}
}

// TestBrokenWorker: a worker on which everything fails costs attempts, but no job.
func TestBrokenWorker(t *testing.T) {
	b := newTable(t)
	b.step(evWorker{1, 2})
	b.step(evWorker{2, 1})
	b.job("a", 40)
	b.run(func(s actTaskStart) bool { return b.on[s.attempt] == 1 })
	if len(b.ended) > 0 {
		t.Fatalf("jobs ended: %v", b.ended)
	}
	wasted := 0
	for _, w := range b.on {
		if w == 1 {
			wasted++
		}
	}
	if wasted > 16 { // it rests for 500 ms, 1 s, 2 s and so on
		t.Errorf("%d attempts were made on the broken worker, for 40 tasks", wasted)
	}
}

// TestBrokenJob: where all fails everywhere it is the job, which ends soon; a sound one
// beside it is not held up.
func TestBrokenJob(t *testing.T) {
	b := newTable(t)
	b.step(evWorker{1, 1})
	b.step(evWorker{2, 1})
	b.job("broken", 10)
	b.job("sound", 20)
	b.run(func(s actTaskStart) bool { return s.task.job == "broken" })
	if b.ended["broken"] != mr.FailedJob || len(b.ended) != 1 {
		t.Errorf("ended: %v", b.ended)
	}
	if took := b.now.Sub(epochStart); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestRetryElsewhere: a task's next attempt goes to another worker than the one it
// failed on, or waits for it; with one worker there is no choice.
func TestRetryElsewhere(t *testing.T) {
	b := newTable(t)
	b.step(evWorker{1, 1})
	b.job("a", 1)
	b.step(evFailed{attempt: b.started[0].attempt, kind: plan.UserError, err: "first"})
	if len(b.started) != 2 {
		t.Fatal("with one worker the task is not tried again")
	}
	b.step(evWorker{2, 1})
	b.job("b", 1)
	b.step(evFailed{attempt: b.started[1].attempt, kind: plan.UserError, err: "second"})
	if len(b.started) != 3 {
		t.Fatalf("the task does not wait for worker 2, which is busy: %v", b.started)
	}
	b.finish(b.started[2].attempt)
	if len(b.started) != 4 || b.on[b.started[3].attempt] != 2 {
		t.Errorf("the third attempt: %v on %v", b.started, b.on)
	}
}

// TestOwnFiles: hosts that lack a job's files do not fail it, however many they are, while the
// daemon's own worker was not asked; even if that has to be waited for.
func TestOwnFiles(t *testing.T) {
	for others := range workerID(7) {
		b := newTable(t)
		b.step(evWorker{1, 1})
		b.job("busy", 1) // on the only slot
		for id := range others {
			b.step(evJoined{worker: 2 + id, slots: 3, name: fmt.Sprint("w", id), lease: time.Hour})
		}
		b.job("a", 1)
		for range maxFailures {
			if last := b.started[len(b.started)-1]; b.on[last.attempt] > 1 {
				b.step(evFailed{attempt: last.attempt, kind: plan.UserError, err: "no such file"})
			}
			b.now = b.now.Add(restMost)
			for id := range others {
				b.step(evBeat{2 + id})
			}
			b.step(evTick{})
		}
		if len(b.ended) > 0 {
			t.Errorf("%d other workers have failed the job: %v", others, b.ended)
			continue
		}
		b.finish(b.started[0].attempt)
		if last := b.started[len(b.started)-1]; last.task.job != "a" || b.on[last.attempt] != 1 {
			t.Errorf("with %d other workers, %v is on worker %d", others, last, b.on[last.attempt])
		}
	}
}

// TestEachOnce: a task is not tried again on a worker while there is one that it was not tried on.
func TestEachOnce(t *testing.T) {
	b := newTable(t)
	for id := workerID(1); id <= maxFailures; id++ {
		b.step(evWorker{id, 4 - int(id)%2})
	}
	b.job("a", 1)
	seen := map[workerID]bool{}
	for i := range maxFailures {
		a := b.started[i].attempt
		seen[b.on[a]] = true
		b.step(evFailed{attempt: a, kind: plan.UserError, err: "no"})
	}
	if len(seen) != maxFailures {
		t.Errorf("it was tried on workers %v", seen)
	}
}

// TestNoRoomElsewhere: a task for which one worker has no room goes to another, small tasks
// too, and that is no failure. Where there is no other it starts again where it was.
func TestNoRoomElsewhere(t *testing.T) {
	full := func(b *table, a plan.Attempt) { b.step(evFailed{attempt: a, kind: plan.NoSpace, err: "no room"}) }
	for _, tiny := range []bool{false, true} {
		b := newTable(t)
		b.c.smallSlots = 8
		b.step(evWorker{1, 1})
		b.step(evAdd{job: "a", share: true})
		b.step(evPlanned{job: "a", maps: []planned{{tiny: tiny}}})
		full(b, b.started[0].attempt)
		if len(b.started) != 2 || b.c.jobs["a"].maps[0].small() != tiny {
			t.Fatalf("tiny=%t: with one worker: %v", tiny, b.started)
		}
		b.step(evWorker{2, 1})
		for range 2 * maxFailures {
			last := b.started[len(b.started)-1]
			full(b, last.attempt)
			next := b.started[len(b.started)-1]
			if next.attempt == last.attempt || b.on[next.attempt] == b.on[last.attempt] {
				t.Fatalf("tiny=%t: after %v on worker %d: %v on %d", tiny, last, b.on[last.attempt], next, b.on[next.attempt])
			}
		}
		if n := b.c.jobs["a"].maps[0].failures; n != 0 {
			t.Errorf("tiny=%t: no room counts as %d failures", tiny, n)
		}
	}
}

// TestRestIsForTheBroken: only failures in a row make a worker rest.
func TestRestIsForTheBroken(t *testing.T) {
	b := newTable(t)
	b.step(evWorker{1, 1})
	b.step(evWorker{2, 1})
	b.job("a", 20)
	next := func() (a plan.Attempt) { // of worker 1; worker 2 keeps its first
		for _, s := range b.started {
			if b.on[s.attempt] == 1 {
				a = s.attempt
			}
		}
		return a
	}
	for _, ok := range []bool{false, false, true, false, false, true, false, false} {
		a := next()
		if b.c.attempts[a] == nil {
			t.Fatal("worker 1 rests after fewer than three in a row")
		}
		if ok {
			b.finish(a)
		} else {
			b.step(evFailed{attempt: a, kind: plan.UserError, err: "now and then"})
		}
	}
	before := next()
	b.step(evFailed{attempt: before, kind: plan.UserError, err: "the third in a row"})
	if len(b.c.attempts) != 1 {
		t.Fatalf("worker 1 works on: %v", b.c.attempts)
	}
	b.now = b.now.Add(restFirst)
	b.step(evTick{})
	if next() == before {
		t.Error("worker 1 rests for ever")
	}
}

// TestTwinsLeaveTheLastAttempt: a task that a twin could fail for good gets none; that it is slow is
// no reason to fail its job.
func TestTwinsLeaveTheLastAttempt(t *testing.T) {
	for failures := range maxFailures {
		b := newTable(t)
		b.c.speculate = true
		b.step(evWorker{1, 8})
		b.job("a", 8)
		slow := b.started[7].attempt
		for range failures {
			b.step(evFailed{attempt: slow, kind: plan.UserError, err: "no such file"})
			slow = b.started[len(b.started)-1].attempt
		}
		b.now = b.now.Add(time.Second)
		for _, s := range b.started[:7] {
			b.finish(s.attempt)
		}
		b.now = b.now.Add(time.Minute)
		before := len(b.started)
		b.step(evTick{})
		if twins := len(b.started) - before; (twins > 0) != (failures < maxFailures-2) {
			t.Errorf("after %d failures a slow attempt has %d twins", failures, twins)
		}
		b.finish(slow)
		if len(b.ended) > 0 {
			t.Errorf("ended: %v", b.ended)
		}
	}
}

// TestSmallTasksBesideABrokenJob: where no worker is left that does not rest, none rests, for small tasks
// either: a job of many does not wait for one that is broken.
func TestSmallTasksBesideABrokenJob(t *testing.T) {
	b := newTable(t)
	b.c.smallSlots = 8
	b.step(evWorker{1, 1})
	b.job("broken", 1)
	for i := range restAfter {
		b.step(evFailed{attempt: b.started[i].attempt, kind: plan.UserError, err: "no"})
	}
	b.step(evAdd{job: "sound"})
	small := make([]planned, 8)
	for i := range small {
		small[i].tiny = true
	}
	b.step(evPlanned{job: "sound", maps: small})
	if n := b.c.jobs["sound"].running; n != len(small) {
		t.Errorf("%d of %d small tasks run", n, len(small))
	}
}
