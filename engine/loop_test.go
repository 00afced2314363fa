package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"net/rpc"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// An unchanged split of a file that has grown is read to be known. That its task is done and that
// the next one begins are acts of one step, and so one transaction: an append waits for one sync a
// split, not for two.
func TestHeldAttemptsMakeRoomAtOnce(t *testing.T) {
	l := &loop{core: newCore(1), attempts: map[plan.Attempt]*flight{}}
	step := func(ev event) []action { return l.step(ev, time.Now()) }
	step(evWorker{worker: 1, slots: 1})
	step(evAdd{job: "job", share: true})
	var first plan.Attempt
	for _, a := range step(evPlanned{job: "job", maps: make([]planned, 2)}) {
		if s, ok := a.(actStart); ok {
			first = s.attempt
		}
	}
	task := taskID{"job", plan.Map, 0}
	l.attempts[first] = &flight{task: task, worker: 1, held: true}
	step(evIdentified{first, mr.Digest{1}})
	var got []string
	for _, a := range step(evLookup{task: task, attempt: first, hit: true, run: 7, out: mr.Digest{2}}) {
		switch a := a.(type) {
		case actTaskDone:
			got = append(got, "done "+plan.TaskName(a.task.kind, a.task.index))
		case actTaskStart:
			got = append(got, "start "+plan.TaskName(a.task.kind, a.task.index))
		}
	}
	if len(got) != 2 || got[0] != "done m-00000" || got[1] != "start m-00001" {
		t.Errorf("the step says %q", got)
	}
	if l.core.attempts[first] != nil {
		t.Error("the attempt is still on the books")
	}
}

// An attempt whose worker has gone before its order could be sent is not counted as running for ever.
func TestOrdersForWorkersThatHaveGone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	j := &job{rec: record{ID: newJobID(time.Now())}, maps: make([]taskInfo, 1), splits: make([]input.Split, 1)}
	err := e.request(ctx, func(l *loop) {
		l.adopt(j)
		b := &batchWriter{l: l}
		id := taskID{j.rec.ID, plan.Map, 0}
		b.stage(actTaskStart{task: id, attempt: 1})
		l.carryOut([]action{actStart{task: id, attempt: 1, worker: 7}})
		delete(l.jobs, j.rec.ID)
	})
	if err != nil || j.rec.Map.Running != 0 || j.rec.Map.Attempts != 1 {
		t.Errorf("%+v, %v", j.rec.Map, err)
	}
}

// deaf is a worker that hears orders to give attempts up, and whose attempts go on.
type deaf struct{ heard chan plan.Attempt }

func (d deaf) Abandon(id plan.Attempt, _ *struct{}) error {
	d.heard <- id
	return nil
}

// An engine that stops waits for attempts that were given up a moment ago: that their workers have heard of
// it is not their answer. For those that have answered it does not wait.
func TestWhoIsWaitedForAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	ours, theirs := net.Pipe()
	s, worker := rpc.NewServer(), deaf{make(chan plan.Attempt, 1)}
	if err := s.RegisterName("Worker", worker); err != nil {
		t.Fatal(err)
	}
	go s.ServeConn(theirs)
	if err := e.AddWorker(rpc.NewClient(ours), 1); err != nil {
		t.Fatal(err)
	}
	var pending []plan.Attempt
	look := func(l *loop) { pending = l.pending() }
	err := e.request(ctx, func(l *loop) {
		for id := range plan.Attempt(3) {
			l.attempts[id] = &flight{task: taskID{job: "gone"}, worker: l.nextID, work: plan.Work{Attempt: id}, held: id == 1, done: id == 2}
		}
		l.abandon(0)
	})
	<-worker.heard
	time.Sleep(50 * time.Millisecond) // the answer is there
	if err = errors.Join(err, e.request(ctx, look)); err != nil || len(pending) != 1 || pending[0] != 0 {
		t.Errorf("the engine would wait for the attempts %v (%v)", pending, err)
	}
	err = e.request(ctx, func(l *loop) { clear(l.attempts) })
	if err != nil {
		t.Fatal(err)
	}
}

// Who tells the engine that a worker is lost goes on when what the worker has answered is on record, and
// not while more is gathered for the same transaction: then the runs are given up that it has sealed and
// that are not on record.
func TestLostIsRecorded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs) //nolint:errcheck // it ends with the test
	worker, err := e.Join(ctx, rpc.NewClient(ours), Member{Name: "w", Slots: 1, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	made, err := e.o.Store.CreateRun().Seal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var busy sync.WaitGroup
	begun := make(chan struct{})
	busy.Go(func() {
		e.request(ctx, func(*loop) { close(begun); time.Sleep(20 * time.Millisecond) }) //nolint:errcheck // the test has others to look at
	})
	<-begun
	for range 8 { // for a while there is always one more to be gathered
		busy.Go(func() {
			for range 50 {
				e.request(ctx, func(*loop) { time.Sleep(time.Millisecond) }) //nolint:errcheck // likewise
			}
		})
	}
	j := &job{rec: record{ID: newJobID(time.Now()), Spec: mr.Spec{NoCache: true}}, maps: make([]taskInfo, 2), splits: make([]input.Split, 2)}
	err = e.request(ctx, func(l *loop) {
		l.adopt(j)
		now := time.Now()
		l.core.step(evJoined{worker: 7, slots: 1, name: "another", lease: time.Minute}, now)
		l.core.step(evAdd{job: j.rec.ID, resumed: true}, now)
		for _, a := range l.core.step(evPlanned{job: j.rec.ID, maps: make([]planned, 2), resumed: true}, now) {
			if s, ok := a.(actStart); ok {
				l.attempts[s.attempt] = &flight{task: s.task, worker: workerID(worker), work: plan.Work{Attempt: s.attempt}}
				e.replies <- &rpc.Call{Args: &plan.Work{Attempt: s.attempt}, Reply: &plan.Result{Attempt: s.attempt, Made: plan.Made{Run: uint64(made)}}}
				break
			}
		}
	})
	err = errors.Join(err, e.Lost(ctx, worker, errors.New("gone")))
	e.o.Store.DropRun(made)
	done := false
	err = errors.Join(err, e.request(ctx, func(l *loop) {
		done = j.rec.Map.Run == 1
		l.core.step(evKill{job: j.rec.ID}, time.Now())
		delete(l.jobs, j.rec.ID)
	}))
	busy.Wait()
	if err != nil || !done {
		t.Errorf("its answer is on record: %t; %v", done, err)
	}
}

// Parts that are copied are put on record together, when nothing else is to be done and nothing waits for them.
func TestCopiesShareATransaction(t *testing.T) {
	const one, other = plan.Attempt(1), plan.Attempt(2)
	for name, c := range map[string]struct {
		change func(l *loop)
		want   bool
	}{
		"another is copied":           {func(*loop) {}, true},
		"none is left":                {func(l *loop) { l.attempts[other].done = true }, false},
		"the other reduces":           {func(l *loop) { l.attempts[other].work.Copy = false }, false},
		"the other is gone":           {func(l *loop) { delete(l.core.attempts, other) }, false},
		"this one has a slot":         {func(l *loop) { l.core.attempts[one].small = false }, false},
		"this one was a reduce":       {func(l *loop) { l.attempts[one].work.Copy = false }, false},
		"a tick":                      {func(l *loop) { l.queue = append(l.queue, evTick{}) }, false},
		"somebody waits for records":  {func(l *loop) { l.settled = append(l.settled, nil) }, false},
		"something else is to record": {func(l *loop) { l.owed = append(l.owed, nil) }, false},
		"nothing is to be done":       {func(l *loop) { l.queue = nil }, false},
	} {
		l := &loop{core: newCore(1), attempts: map[plan.Attempt]*flight{}}
		for _, id := range []plan.Attempt{one, other} {
			l.core.attempts[id] = &attempt{id: id, small: true}
			l.attempts[id] = &flight{work: plan.Work{Attempt: id, Copy: true}, done: id == one}
		}
		l.queue = []event{evDone{attempt: one, cached: true}}
		if c.change(l); l.moreCopied() != c.want {
			t.Errorf("%s: they wait: %v", name, !c.want)
		}
	}
}
