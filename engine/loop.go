package engine

import (
	"cmp"
	"errors"
	"maps"
	"net/rpc"
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// loop owns the engine's state. Everything in it is touched by Run's goroutine only.
type loop struct {
	e        *Engine
	core     *core
	jobs     map[mr.JobID]*job
	workers  map[workerID]*rpc.Client
	members  map[workerID]*member
	nextID   workerID
	joined   chan struct{} // closed when a worker joins; nil: nobody waits for one
	attempts map[plan.Attempt]*flight
	outputs  map[string]mr.JobID // output folders that live jobs write, by job.place
	fastKey  uint64              // of the store; see fast.go
	audits   []drawnHit          // hits drawn for another execution; see determinism.go
	auditing bool

	fencedOff map[plan.Attempt]fenced // whose answers are still to come; see workers.go

	queue   []event                    // to be stepped in this turn
	owed    []func(tx *store.Tx) error // what the next transaction is to hold besides
	paused  bool                       // the store has no room: what the core has done is not on record yet
	after   []func()
	settled []chan struct{} // closed when all that has come is on record
}

// flight is an attempt as the loop sees it: the order, who has it, and its answer.
type flight struct {
	task    taskID
	worker  workerID
	work    plan.Work
	split   input.Split // of a map task, as ordered: its files may get other stamps meanwhile
	started time.Time
	result  plan.Result
	held    bool        // identified: no call is pending
	done    bool        // its success is on the core's queue
	n       int         // which attempt of its task it is, from 0
	settled bool        // the split's files had been quiet long enough when it was ordered
	opened  []mr.Digest // lists of files: of the inner nodes that it was ordered to read, whatever becomes of them
}

// batch bounds how many events share one transaction.
const batch = 4096

// tick is how often the loop looks at the clock by itself.
const tick = 500 * time.Millisecond

func (l *loop) run() error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if !l.moreCopied() {
			if err := l.turn(); err != nil {
				l.shut()
				if errors.Is(err, errDraining) {
					return nil // what is not on record is done again in the next life
				}
				return err
			}
			for _, ch := range l.settled {
				close(ch)
			}
			l.settled = nil
		}
		select {
		case <-l.e.draining:
			l.shut()
			return nil
		case ev := <-l.e.events:
			l.queue = append(l.queue, ev)
		case call := <-l.e.replies:
			l.answered(call)
		case fn := <-l.e.requests:
			fn(l)
		case <-ticker.C:
			l.flushLogs()
			l.beatAll()
			l.queue = append(l.queue, evTick{})
			l.auditInIdleTime()
		}
		l.gather()
	}
}

// gather takes what else has come, so that it shares the turn's transaction.
func (l *loop) gather() {
	for range batch {
		select {
		case ev := <-l.e.events:
			l.queue = append(l.queue, ev)
		case call := <-l.e.replies:
			l.answered(call)
		case fn := <-l.e.requests:
			fn(l)
		default:
			return
		}
	}
}

// moreCopied reports whether all there is to do is to put copied parts on record, while others are being
// copied: they share a transaction then, and its syncs don't keep the disk from the parts
// that are still written. Nothing waits for that, it takes no longer than a tick, and
// after a crash what was not on record is copied again.
func (l *loop) moreCopied() bool {
	if len(l.queue) == 0 || len(l.owed)+len(l.settled) > 0 {
		return false
	}
	for _, ev := range l.queue {
		if done, ok := ev.(evDone); !ok || !l.copies(done.attempt) {
			return false
		}
	}
	for id, f := range l.attempts {
		if !f.done && l.copies(id) {
			return true
		}
	}
	return false
}

// copies reports whether an attempt copies a part, and none of the slots that others wait for is its.
func (l *loop) copies(id plan.Attempt) bool {
	a, f := l.core.attempts[id], l.attempts[id]
	return a != nil && f != nil && a.small && f.work.Copy
}

// turn steps the core over the queued events, makes the result durable, and carries
// out the rest. Lookups answer at once and are stepped in the same turn.
func (l *loop) turn() error {
	for len(l.queue)+len(l.owed) > 0 {
		evs := l.queue
		l.queue = nil
		now := l.e.o.Now()
		var acts []action
		for _, ev := range evs {
			acts = append(acts, l.step(ev, now)...)
		}
		if err := failpoint.Hit("engine/before-persist"); err != nil {
			return err
		}
		if err := l.persist(acts); err != nil {
			return err
		}
		if err := failpoint.Hit("engine/after-persist"); err != nil {
			return err
		}
		for _, fn := range l.after {
			fn()
		}
		l.after = nil
		l.carryOut(acts)
	}
	return nil
}

// step steps the core over one event. Of an attempt that is held no call is pending: where one is
// abandoned, its end is stepped as well, so that what the core has to say to that, such as what
// begins in its place, shares the transaction.
func (l *loop) step(ev event, now time.Time) []action {
	acts := l.core.step(ev, now)
	for i := 0; i < len(acts); i++ {
		a, ok := acts[i].(actAbandon)
		if !ok {
			continue
		}
		if f := l.attempts[a.attempt]; f != nil && f.held && l.core.attempts[a.attempt] != nil {
			acts = append(acts, l.core.step(evFailed{attempt: a.attempt, kind: plan.Cancelled, err: "abandoned"}, now)...)
		}
	}
	return acts
}

// shut stops the workers. Their attempts are on record as started and not done.
func (l *loop) shut() {
	for _, f := range l.attempts {
		l.orderEnd(f)
	}
	deadline := time.After(shutdownGrace)
	for len(l.pending()) > 0 {
		select {
		case call := <-l.e.replies:
			if f := l.flightOf(call); f != nil && !f.result.Identified {
				l.dropSealed(&f.result)
				delete(l.attempts, f.work.Attempt)
			} else if f != nil {
				f.held = true
			}
			continue
		case <-deadline:
		}
		break
	}
	for _, c := range l.workers {
		c.Close() //nolint:errcheck // going away
	}
	l.flushLogs()
	for _, j := range l.jobs {
		l.wake(j)
	}
}

// shutdownGrace is how long a stopping engine waits for cancelled attempts to answer.
const shutdownGrace = 8 * time.Second

// pending are the attempts that still owe an answer.
func (l *loop) pending() (ids []plan.Attempt) {
	for id, f := range l.attempts {
		if !f.held && !f.done {
			ids = append(ids, id)
		}
	}
	return ids
}

func (l *loop) addWorker(c *rpc.Client, m Member) {
	m.TaskMemory = cmp.Or(m.TaskMemory, l.e.o.TaskMemory)
	l.nextID++
	l.workers[l.nextID] = c
	l.members[l.nextID] = &member{Member: m, joined: l.e.o.Now()}
	if m.Lease > 0 {
		l.queue = append(l.queue, evJoined{l.nextID, m.Slots, m.Name, m.Lease, smallFor(m.TaskMemory)})
	} else {
		l.queue = append(l.queue, evWorker{l.nextID, m.Slots})
	}
	if l.joined != nil {
		close(l.joined)
		l.joined = nil
	}
}

// anyWorker returns the worker that joined first of those there are, or what to wait for.
func (l *loop) anyWorker() (c *rpc.Client, joined <-chan struct{}) {
	if len(l.workers) > 0 {
		return l.workers[slices.Min(slices.Collect(maps.Keys(l.workers)))], nil
	}
	if l.joined == nil {
		l.joined = make(chan struct{})
	}
	return nil, l.joined
}

func (l *loop) workerGone(id workerID, why error) {
	c := l.workers[id]
	if c == nil {
		return
	}
	l.e.log.Warn("worker lost", "worker", l.members[id].Name, "host", l.members[id].Host, "err", why)
	delete(l.workers, id)
	delete(l.members, id)
	c.Close() //nolint:errcheck // it is broken
	for _, f := range l.attempts {
		if f.worker == id && !f.done {
			l.drop(f)
		}
	}
	l.queue = append(l.queue, evWorkerGone{id})
}

// add takes a new job over from Submit.
func (l *loop) add(j *job) {
	if l.jobs[j.rec.ID] != nil {
		return
	}
	l.adopt(j)
	l.logf(j, "", "submitted: %s", j.rec.Spec.Code.Source)
	l.queue = append(l.queue, evAdd{job: j.rec.ID, share: !j.rec.Spec.NoCache, lone: j.rec.Spec.NoSpeculation})
}

func (l *loop) adopt(j *job) {
	j.begun = l.e.o.Now()
	j.phaseBegun = j.begun
	j.warned = map[string]bool{}
	j.over = make(chan struct{})
	l.jobs[j.rec.ID] = j
	if j.place == "" { // of an earlier life
		j.place = resolve(j.rec.Spec.Output)
	}
	l.outputs[j.place] = j.rec.ID
}

// flightOf finds the attempt that a finished call was about.
func (l *loop) flightOf(call *rpc.Call) *flight {
	switch arg := call.Args.(type) {
	case *plan.Work:
		return l.attempts[arg.Attempt]
	case plan.Attempt:
		return l.attempts[arg]
	}
	return nil
}

// answered turns a worker's answer into an event.
func (l *loop) answered(call *rpc.Call) {
	if b, ok := call.Args.(*beat); ok {
		l.wasBeaten(call, b)
		return
	}
	f := l.flightOf(call)
	if f == nil {
		if res, ok := call.Reply.(*plan.Result); ok && call.Error == nil {
			l.e.log.Info("a late answer is fenced: nothing of it is used", "attempt", res.Attempt.String())
			l.dropSealed(res) // a zombie's work
			l.zombieSpoke(res.Attempt, res)
		}
		return
	}
	id := f.work.Attempt
	if call.Error != nil {
		if _, server := call.Error.(rpc.ServerError); !server {
			l.workerGone(f.worker, call.Error)
			return
		}
		f.result = plan.Result{Failure: plan.Failure{Kind: plan.UserError, Message: call.Error.Error()}}
	} else {
		f.result = *call.Reply.(*plan.Result)
	}
	res := &f.result
	j := l.jobs[f.task.job]
	if j == nil {
		delete(l.attempts, id)
		l.dropSealed(res)
		l.queue = append(l.queue, evFailed{attempt: id, kind: plan.Cancelled, err: "its job has ended"})
		return
	}
	if res.Read > 0 {
		j.rec.Bytes.Read += res.Read
	}
	j.rec.Steps.book(f.task.kind, res)
	for _, line := range res.Log {
		l.log(j, l.attemptName(f), line)
	}
	switch {
	case res.Identified:
		f.held = true
		l.checkStamp(j, f)
		_ = failpoint.Hit("engine/task-identified") // a crash or a delay: there is nothing that can fail
		l.queue = append(l.queue, evIdentified{id, j.mapKey(f.task.index, res.Split, res.Start)})
	case res.Failure.Kind != plan.NoFailure:
		l.fail(j, f)
	default:
		ev := evDone{attempt: id, run: res.Made.Run, out: res.Made.Digest, cached: f.work.Copy}
		if f.task.kind == plan.Map {
			ev.key = j.mapKey(f.task.index, res.Split, res.Start)
		}
		f.done = true
		l.queue = append(l.queue, ev)
	}
}
