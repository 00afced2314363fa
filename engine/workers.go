package engine

import (
	"context"
	"fmt"
	"net/rpc"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// DaemonName is what the worker in the daemon's own process is called, and no other.
const DaemonName = "daemon"

// Member says who a worker is.
type Member struct {
	Name  string
	Host  string
	PID   int
	Slots int
	Lease time.Duration // how long it may give no sign of life; 0: it is in this process

	TaskMemory int64 // bytes an attempt may use there; 0: the engine's
}

// member is a worker as the loop sees it.
type member struct {
	Member
	joined  time.Time
	beating bool // a Beat is on its way
	beats   uint64
	alive   plan.Alive // the last answer
}

// fenced is an attempt that was taken from a worker which may not know it yet.
type fenced struct {
	job    mr.JobID
	name   string // of the attempt
	worker string
}

// maxFenced bounds the memory of fenced attempts; it serves the log only.
const maxFenced = 4096

// Join hands the engine a worker of another process, that serves on c. It returns a name
// for Lost.
func (e *Engine) Join(ctx context.Context, c *rpc.Client, m Member) (id int, err error) {
	var refused error
	err = e.request(ctx, func(l *loop) {
		// Answers that find no room in the channel are dropped by net/rpc.
		most := min(m.Slots, cap(e.replies))
		for _, w := range l.members {
			most += w.Slots
		}
		if most += (len(l.members) + 1) * (smallSlots + 64); most > cap(e.replies) {
			refused = mr.Errorf(mr.Refused, "a worker with room for %d tasks is one too many beside the %d that there are; join fewer, with more --workers each", m.Slots, len(l.members))
			return
		}
		l.addWorker(c, m)
		id = int(l.nextID)
	})
	if err == nil {
		err = refused
	}
	return id, err
}

// Lost tells the engine that a worker's connection is gone. When it returns without an error, whatever
// the worker has answered before is committed or dropped, and nothing else will be. For that it waits as long
// as there is no room to commit anything, and ctx goes on.
func (e *Engine) Lost(ctx context.Context, id int, why error) error {
	recorded := make(chan struct{})
	err := e.request(context.WithoutCancel(ctx), func(l *loop) {
		for range cap(e.replies) {
			select {
			case call := <-e.replies:
				l.answered(call)
				continue
			default:
			}
			break
		}
		l.workerGone(workerID(id), why)
		l.settled = append(l.settled, recorded)
	})
	if err != nil {
		return err
	}
	select {
	case <-recorded:
		return nil
	case <-ctx.Done():
		return mr.Errorf(mr.Interrupted, "gave up waiting for what a worker has answered to be recorded: %w", ctx.Err())
	case <-e.stopped:
		return errStopped
	}
}

// Holds reports whether an attempt is on the books (started in this life, and not answered,
// fenced or given up) with that part file, and that part to link from, unless it is empty.
func (e *Engine) Holds(ctx context.Context, a plan.Attempt, part, from string) (held bool, err error) {
	err = e.request(ctx, func(l *loop) {
		f := l.attempts[a]
		on := l.core.attempts[a]
		held = f != nil && !f.done && on != nil && !on.cancel && f.work.Part == part && (from == "" || f.work.LinkFrom == from)
	})
	return held, err
}

// beatAll asks the workers of other processes for a sign of life.
func (l *loop) beatAll() {
	for id, m := range l.members {
		if m.Lease == 0 || m.beating {
			continue
		}
		m.beating = true
		m.beats++
		l.workers[id].Go("Worker.Beat", &beat{Number: m.beats, worker: id}, &plan.Alive{}, l.e.replies)
	}
}

// beat is a plan.Beat that remembers whom it was sent to.
type beat struct {
	Number uint64
	worker workerID
}

func (l *loop) wasBeaten(call *rpc.Call, b *beat) {
	m := l.members[b.worker]
	if m == nil {
		return
	}
	m.beating = false
	if call.Error != nil {
		l.workerGone(b.worker, call.Error)
		return
	}
	m.alive = *call.Reply.(*plan.Alive)
	if w := l.core.workers[b.worker]; w != nil && w.silent {
		l.e.log.Info("a worker that was silent is back", "worker", m.Name, "host", m.Host)
	}
	if !l.paused { // what was not heard in a pause is nobody's fault: see expire
		l.queue = append(l.queue, evBeat{b.worker})
	}
}

// fence takes an attempt from a worker that is silent.
func (l *loop) fence(id plan.Attempt) {
	f := l.attempts[id]
	if f == nil {
		return
	}
	m := l.members[f.worker]
	name := l.attemptName(f)
	if j := l.jobs[f.task.job]; j != nil && m != nil {
		next := ""
		if c, t := l.core.task(f.task); c != nil && c.phase < phaseEnding && t.state != taskDone { // it was not overtaken
			next = ", and the task is given to another"
		}
		l.logf(j, name, "worker %s was silent for more than %s: its attempt is fenced%s", m.Name, m.Lease, next)
	}
	if m != nil && len(l.fencedOff) < maxFenced {
		l.fencedOff[id] = fenced{f.task.job, name, m.Name}
	}
	if f.done {
		l.dropSealed(&f.result)
	}
	l.orderEnd(f)
	l.drop(f)
}

// zombieSpoke logs what a fenced attempt has answered.
func (l *loop) zombieSpoke(id plan.Attempt, res *plan.Result) {
	f, ok := l.fencedOff[id]
	if !ok {
		return
	}
	delete(l.fencedOff, id)
	what := "its work"
	if res.Failure.Kind != plan.NoFailure {
		what = "its failure"
	}
	text := fmt.Sprintf("the fenced attempt on worker %s has answered after all; %s is dropped", f.worker, what)
	if j := l.jobs[f.job]; j != nil {
		l.logf(j, f.name, "%s", text)
		return
	}
	l.e.log.Info(text, "job", string(f.job), "task", f.name)
}

// Workers implements mr.Fleet.
func (e *Engine) Workers(ctx context.Context) (list []mr.Worker, err error) {
	err = e.request(ctx, func(l *loop) {
		for id, m := range l.members {
			list = append(list, l.describeWorker(id, m))
		}
	})
	slices.SortFunc(list, func(a, b mr.Worker) int {
		if a.Lease == 0 || b.Lease == 0 {
			return int(min(a.Lease, 1) - min(b.Lease, 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, err
}

func (l *loop) describeWorker(id workerID, m *member) mr.Worker {
	w := mr.Worker{
		Name: m.Name, Host: m.Host, PID: m.PID, Slots: m.Slots, Lease: m.Lease, Joined: m.joined,
		State: mr.WorkerIdle, Clock: m.alive.Clock,
	}
	if m.Lease == 0 {
		w.Clock = "its own"
	}
	if m.alive.Known {
		w.Offset, w.Bound = m.alive.Offset, m.alive.Bound
	}
	c := l.core.workers[id]
	if c == nil {
		return w
	}
	now := l.e.o.Now()
	w.Running = c.busy + c.small
	if m.Lease > 0 {
		w.Silent = max(now.Sub(c.heard), 0)
	}
	switch {
	case c.silent:
		w.State = mr.WorkerSilent
	case now.Before(c.rests):
		w.State, w.Rests = mr.WorkerResting, c.rests
	case w.Running > 0:
		w.State = mr.WorkerBusy
	}
	return w
}

// Workers needs an engine.
func (c Catalog) Workers(context.Context) ([]mr.Worker, error) { return nil, errNoEngine }

var (
	_ mr.Fleet = (*Engine)(nil)
	_ mr.Fleet = Catalog{}
)
