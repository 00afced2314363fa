package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// table drives a core by hand, with jobs of n maps that share nothing.
type table struct {
	t       *testing.T
	c       *core
	now     time.Time
	started []actTaskStart
	on      map[plan.Attempt]workerID
	ended   map[mr.JobID]mr.State
}

func newTable(t *testing.T) *table {
	return &table{t: t, c: newCore(1), now: epochStart, on: map[plan.Attempt]workerID{}, ended: map[mr.JobID]mr.State{}}
}

func (b *table) step(ev event) (acts []action) {
	b.t.Helper()
	acts = b.c.step(ev, b.now)
	for _, a := range acts {
		switch a := a.(type) {
		case actTaskStart:
			b.started = append(b.started, a)
		case actStart:
			b.on[a.attempt] = a.worker
		case actFinish:
			b.ended[a.job] = a.state
		}
	}
	if err := audit(b.c); err != nil {
		b.t.Fatalf("after %s: %v", formatEvent(ev), err)
	}
	return acts
}

func (b *table) job(id mr.JobID, maps int) {
	b.step(evAdd{job: id})
	b.step(evPlanned{job: id, maps: make([]planned, maps)})
}

func (b *table) finish(a plan.Attempt) {
	n := uint64(a)
	b.step(evDone{attempt: a, key: name('k', n), run: n, out: name('d', n)})
}

// TestFairness: free slots go to the job with the fewest attempts in flight. Jobs with
// equal needs stay within one slot of each other, and a small job that comes late does
// not wait for a large one.
func TestFairness(t *testing.T) {
	for _, slots := range []int{1, 2, 3, 8} {
		b := newTable(t)
		b.step(evWorker{1, slots})
		b.job("large", 200)
		b.job("equal", 200)
		count := map[mr.JobID]int{}
		next := 0
		for ; next < 300; next++ { // attempts end in the order they started
			a := b.started[next]
			count[a.task.job]++
			b.finish(a.attempt)
			l, e := b.c.jobs["large"].running, b.c.jobs["equal"].running
			if d := l - e; next > slots && (d > 1 || d < -1) {
				t.Fatalf("%d slots: large has %d of them, equal has %d", slots, l, e)
			}
		}
		if d := count["large"] - count["equal"]; d > slots+1 || d < -slots-1 {
			t.Errorf("%d slots: of 300 attempts large has had %d and equal %d", slots, count["large"], count["equal"])
		}
		b.job("late", 1)
		before := len(b.started)
		b.finish(b.started[next].attempt)
		if got := b.started[before].task.job; got != "late" {
			t.Errorf("%d slots: the next free one went to %s", slots, got)
		}
	}
}

// TestLongTasksFirst: what has to be mapped where a file has grown begins before what will only
// be hashed, and everything begins.
func TestLongTasksFirst(t *testing.T) {
	var splits []input.Split
	for _, f := range []struct {
		path   string
		ranges int64
	}{{"small", 1}, {"large", 5}, {"two", 2}, {"also large", 3}} {
		for i := range f.ranges {
			splits = append(splits, input.Split{Pieces: []input.Piece{{Path: f.path, Off: i << 20, Len: 1 << 20}}})
		}
	}
	splits = append(splits, input.Split{Pieces: make([]input.Piece, 9)})
	tasks := make([]planned, len(splits))
	for i := range splits {
		tasks[i].first = grows(splits, i)
	}
	tasks[5] = planned{done: true, cached: true, run: 1}
	b := newTable(t)
	b.step(evWorker{1, 1})
	b.step(evAdd{job: "one"})
	b.step(evPlanned{job: "one", maps: tasks})
	var order []int
	for next := 0; next < len(b.started); next++ {
		if a := b.started[next]; a.task.kind == plan.Map {
			order = append(order, a.task.index)
			b.finish(a.attempt)
		}
	}
	if want := []int{4, 7, 9, 10, 0, 1, 2, 3, 6, 8, 11}; !slices.Equal(order, want) {
		t.Errorf("map tasks begin in the order %v, want %v", order, want)
	}
}

// TestFairShare: a job whose attempts take long gets no more slots than one whose
// attempts take turns quickly.
func TestFairShare(t *testing.T) {
	b := newTable(t)
	b.step(evWorker{1, 4})
	b.job("long", 50)
	for i := range 2 {
		b.finish(b.started[i].attempt)
	}
	b.job("short", 50)
	for next := 2; next < len(b.started); next++ {
		long, short := b.c.jobs["long"], b.c.jobs["short"]
		switch a := b.started[next]; {
		case a.task.job == "short":
			b.finish(a.attempt)
		case next < 4:
			b.finish(a.attempt) // of those that had the place for themselves, two make room
		}
		if next >= 5 && short.left[plan.Map] > 2 && (long.running != 2 || short.running != 2) {
			t.Fatalf("after %d attempts long has %d slots and short %d", next, long.running, short.running)
		}
	}
	if left := b.c.jobs["short"].left[plan.Map]; left > 0 {
		t.Errorf("short has %d tasks left", left)
	}
}

// straggling sets up one job of 8 maps on two workers, of which all but done are done
// after a second each.
func straggling(t *testing.T, speculate bool, done int) *table {
	b := newTable(t)
	b.c.speculate = speculate
	b.step(evWorker{1, 4})
	b.step(evWorker{2, 4})
	b.job("a", 8)
	b.now = b.now.Add(time.Second)
	for i := range done {
		b.finish(b.started[i].attempt)
	}
	return b
}

func (b *table) tickAt(d time.Duration) (twins []actTaskStart) {
	b.t.Helper()
	b.now = epochStart.Add(d)
	for _, a := range b.step(evTick{}) {
		if s, ok := a.(actTaskStart); ok && s.twin {
			twins = append(twins, s)
		}
	}
	return twins
}

func TestTwinsStart(t *testing.T) {
	for _, c := range []struct {
		what      string
		speculate bool
		done      int
		at        time.Duration
		twins     int
	}{
		{"after three medians", true, 7, 3 * time.Second, 1},
		{"not before", true, 7, 2900 * time.Millisecond, 0},
		{"for each that is behind", true, 5, 3 * time.Second, 3},
		{"not with two done", true, 2, time.Minute, 0},
		{"not when switched off", false, 7, time.Minute, 0},
		{"not for a job that wants none", true, 7, time.Minute, 0},
	} {
		b := straggling(t, c.speculate, c.done)
		b.c.jobs["a"].lone = strings.Contains(c.what, "wants none")
		if got := b.tickAt(c.at); len(got) != c.twins {
			t.Errorf("%s: %d twins, want %d", c.what, len(got), c.twins)
		}
	}
}

// TestTwinsTakeIdleSlots: twins stand back behind ready tasks, and go to another worker
// than their sibling's where one has room.
func TestTwinsTakeIdleSlots(t *testing.T) {
	b := straggling(t, true, 3) // five are behind, three slots are free
	b.job("other", 2)
	twins := b.tickAt(time.Minute)
	if len(twins) != 1 {
		t.Fatalf("%d twins on the one slot that two ready tasks have left", len(twins))
	}
	b = straggling(t, true, 7)
	slow := b.started[7]
	twins = b.tickAt(time.Minute)
	if len(twins) != 1 || b.on[twins[0].attempt] == b.on[slow.attempt] {
		t.Fatalf("%v has twins %v, on workers %v", slow, twins, b.on)
	}
	if again := b.tickAt(time.Hour); len(again) != 0 {
		t.Errorf("it gets more: %v", again)
	}
	b = straggling(t, true, 7)
	b.step(evWorkerGone{3 - b.on[b.started[7].attempt]})
	if twins = b.tickAt(time.Minute); len(twins) != 1 {
		t.Errorf("with one worker left: %d twins", len(twins))
	}
}

// TestTwinsCountOnce: whichever finishes first is the task's one output, and nothing of
// the other is used, whatever it answers.
func TestTwinsCountOnce(t *testing.T) {
	for _, first := range []int{0, 1} {
		for _, c := range []struct {
			what string
			late func(plan.Attempt) event
		}{
			{"finished", func(a plan.Attempt) event { return evDone{attempt: a, key: name('k', 8), run: 99, out: name('d', 99)} }},
			{"failed", func(a plan.Attempt) event { return evFailed{attempt: a, kind: plan.UserError, err: "late"} }},
			{"cancelled", func(a plan.Attempt) event { return evFailed{attempt: a, kind: plan.Cancelled} }},
		} {
			b := straggling(t, true, 7)
			pair := []plan.Attempt{b.started[7].attempt, b.tickAt(time.Minute)[0].attempt}
			done, abandoned := 0, 0
			tally := func(acts []action) {
				for _, a := range acts {
					switch a := a.(type) {
					case actTaskDone:
						if done++; a.attempt != pair[first] {
							t.Errorf("%s is done by %s", formatTask(a.task), a.attempt)
						}
					case actAbandon:
						abandoned++
					case actTaskFail:
						t.Errorf("the loser's failure was counted")
					}
				}
			}
			tally(b.step(evDone{attempt: pair[first], key: name('k', 8), run: 8, out: name('d', 8)}))
			tally(b.step(c.late(pair[1-first])))
			if done != 1 || abandoned != 1 {
				t.Errorf("the other %s: %d outputs, %d abandoned", c.what, done, abandoned)
			}
			if j := b.c.jobs["a"]; j.running != 0 || j.phase != phaseCutting {
				t.Errorf("the other %s: %d attempts are left, in phase %d", c.what, j.running, j.phase)
			}
		}
	}
}

// TestLostForEver: an output that is lost each time it was made again fails its job, in
// words that say where it was. Losses of one task don't count for another.
func TestLostForEver(t *testing.T) {
	for _, c := range []struct {
		tasks []int // whose outputs are lost, one after the other
		fails bool
	}{
		{[]int{0, 0, 0, 1, 1, 1}, false},
		{[]int{0, 1, 0, 1, 0, 1, 1}, true},
		{[]int{0, 0, 0, 0}, true},
	} {
		b := newTable(t)
		b.step(evWorker{1, 4})
		b.job("a", 2)
		next := 0
		finish := func() {
			for ; next < len(b.started); next++ {
				b.finish(b.started[next].attempt)
			}
		}
		finish()
		for i, task := range c.tasks {
			if len(b.ended) > 0 {
				t.Fatalf("%v: ended after %d losses", c.tasks, i)
			}
			b.step(evCut{job: "a", lost: []uint64{b.c.jobs["a"].maps[task].run}, where: "lost: volume 7 damaged"})
			finish()
		}
		if fails := b.ended["a"] == mr.FailedJob; fails != c.fails {
			t.Errorf("%v: %v", c.tasks, b.ended)
		}
		if j := b.c.jobs["a"]; c.fails && !strings.Contains(j.err, "storage has lost its output 4 times (lost: volume 7 damaged)") {
			t.Errorf("%v: %q", c.tasks, j.err)
		}
	}
}

// Inputs of small tasks are in memory together.
func TestSmallTasksFitInMemory(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was written
	for memory, want := range map[int64]int{0: 1024, 16 << 20: 64, 1 << 10: 1, 1 << 40: 1024} {
		if got := New(Options{Store: s, TaskMemory: memory}).loop.core.smallSlots; got != want {
			t.Errorf("%d bytes for a task: %d small tasks at a time, want %d", memory, got, want)
		}
	}
}

// A worker that says what memory it has gets as many small tasks as fit there.
func TestSmallTasksFitInAWorkersMemory(t *testing.T) {
	b := newTable(t)
	b.c.smallSlots = 8
	b.step(evJoined{1, 1, "small", time.Hour, 2})
	b.step(evAdd{job: "a", share: true})
	b.step(evPlanned{job: "a", maps: slices.Repeat([]planned{{tiny: true}}, 40)})
	if w := b.c.workers[1]; w.small != 2 {
		t.Errorf("%d small attempts, want 2", w.small)
	}
}
