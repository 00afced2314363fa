package engine

import (
	"fmt"
	"slices"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// This file is the core's handling of attempts: identification, completion, failure,
// loss.

// maxFailures is how many failed attempts of one task fail its job, as in the MapReduce
// and Hadoop tradition. Cancelled attempts, lost runs and full disks don't count.
const maxFailures = 4

// maxLosses is how often the output of one map task may be lost within a job. What is computed
// again each time would otherwise go on for ever where storage keeps nothing.
const maxLosses = 4

// start begins an attempt of a ready task, or a twin of the one that runs.
func (c *core) start(id taskID, w workerID, twin bool) {
	j, t := c.task(id)
	c.seq++
	a := &attempt{id: plan.AttemptOf(c.epoch, c.seq), task: id, worker: w, key: t.key, remade: j.remade, started: c.now}
	c.attempts[a.id] = a
	if a.small = t.small() && !twin && c.hasSmall(c.workers[w]); a.small {
		c.workers[w].small++
	} else {
		c.workers[w].busy++
	}
	j.running++
	j.served = c.seq
	t.state = taskRunning
	t.running = append(t.running, a)
	if id.kind == plan.Map && !t.key.IsZero() && j.share {
		c.take(t.key, id)
	}
	c.do(actTaskStart{id, a.id, twin})
	c.do(actStart{id, a.id, w})
}

// live counts the attempts that may still bring t's output.
func (t *task) live() (n int) {
	for _, a := range t.running {
		if !a.cancel {
			n++
		}
	}
	return n
}

// abandon gives an attempt up. It stays on the books until it answers.
// Invariant: whoever abandons an attempt sees to its task.
func (c *core) abandon(a *attempt) {
	if !a.cancel {
		a.cancel = true
		c.do(actAbandon{a.id})
	}
}

// release takes an attempt that has answered, or whose worker is gone, off the books.
func (c *core) release(a *attempt) (*coreJob, *task) {
	delete(c.attempts, a.id)
	if w := c.workers[a.worker]; w != nil {
		if a.small {
			w.small--
		} else {
			w.busy--
		}
	}
	j, t := c.task(a.task)
	j.running--
	t.running = slices.DeleteFunc(t.running, func(b *attempt) bool { return b == a })
	return j, t
}

func (c *core) identified(e evIdentified) {
	a := c.attempts[e.attempt]
	if a == nil {
		return
	}
	if a.cancel {
		c.do(actAbandon{a.id}) // its answer and the first order to drop it crossed
		return
	}
	j, t := c.task(a.task)
	a.key = e.key
	c.rekey(t, a.task, e.key)
	if !j.share {
		c.do(actProceed{a.id})
		return
	}
	c.do(actLookup{a.task, a.id, e.key})
}

// rekey notes what a map task's split has turned out to hold.
func (c *core) rekey(t *task, id taskID, key mr.Digest) {
	if t.key != key {
		c.dropInflight(t.key, id)
		t.key, t.stale = key, false
	}
}

// lookedUp hears what the catalog says. A task that asked without an attempt is waiting;
// of one that asked with an attempt, the attempt is held.
func (c *core) lookedUp(e evLookup) {
	j, t := c.task(e.task)
	if j == nil || j.phase >= phaseEnding {
		return
	}
	a := c.attempts[e.attempt]
	switch {
	case e.attempt == 0 && t.state != taskWaiting:
		return
	case e.attempt != 0 && (a == nil || a.cancel):
		return
	case a != nil:
		c.rekey(t, e.task, a.key)
	}
	switch {
	case e.hit:
		c.finishTask(j, t, e.task, 0, true, e.run, e.out) // stops the attempt that asked
		c.advance(j)
	case c.madeElsewhere(t, e.task):
		if a != nil {
			c.abandon(a)
		}
		if t.live() == 0 {
			c.await(t, e.task)
		}
	case a != nil:
		c.take(t.key, e.task)
		c.do(actProceed{a.id})
	default:
		c.missed[t.key] = true
		c.setReady(j, e.task.kind, e.task.index)
	}
}

// done is the one place where an attempt's work becomes a task's output.
// Invariant: at most one actTaskDone for a task, until actTaskLost takes it back.
func (c *core) done(e evDone) {
	a := c.attempts[e.attempt]
	if a == nil {
		return // a zombie: fenced
	}
	j, t := c.release(a)
	if a.cancel {
		c.do(actDiscard{a.id}) // a loser
		c.settle(j)
		return
	}
	if a.task.kind == plan.Map {
		c.rekey(t, a.task, e.key)
	}
	c.hasWorked(a.worker)
	if !e.cached {
		j.took[a.task.kind] = append(j.took[a.task.kind], c.now.Sub(a.started))
	}
	c.finishTask(j, t, a.task, a.id, e.cached, e.run, e.out)
	c.advance(j)
}

// finishTask marks t done. a is 0 if no attempt made the output: a hit.
func (c *core) finishTask(j *coreJob, t *task, id taskID, a plan.Attempt, cached bool, run uint64, out mr.Digest) {
	for _, twin := range t.running {
		c.abandon(twin)
	}
	before := t.out
	t.state, t.cached, t.run, t.out, t.stale = taskDone, cached, run, out, false
	j.left[id.kind]--
	c.do(actTaskDone{id, a, cached})
	if id.kind != plan.Map {
		return
	}
	c.dropInflight(t.key, id)
	if !before.IsZero() {
		j.remade++
		if before != out {
			c.redo(j)
		}
	}
}

// dropInflight gives up a key; its waiters look again.
func (c *core) dropInflight(key mr.Digest, id taskID) {
	if key.IsZero() || c.inflight[key] != id {
		return
	}
	delete(c.inflight, key)
	for _, w := range c.waiters[key] {
		if j := c.alive(w.job); j != nil {
			c.do(actLookup{w, 0, key})
		}
	}
	delete(c.waiters, key)
}

func (c *core) failed(e evFailed) {
	a := c.attempts[e.attempt]
	if a == nil {
		return
	}
	j, t := c.release(a)
	if a.cancel {
		c.settle(j)
		return
	}
	t.stale = t.stale || e.changed
	t.tiny = t.tiny && !e.copy
	if t.live() == 0 {
		c.dropInflight(t.key, a.task)
		if t.stale {
			t.key, t.stale = mr.Digest{}, false // what is under the old key is no longer what the split holds
		}
	}
	kind := e.kind
	if kind == plan.LostRun && !c.lose(e.lost, e.where) && j.left[plan.Map] == 0 && j.remade == a.remade && !e.copy {
		kind = plan.UserError // nothing was, or is to be, made again that would mend it
	}
	switch kind {
	case plan.Cancelled:
		c.requeue(j, t, a.task)
	case plan.NoSpace:
		if c.awake(a.worker) { // the disk may be that worker's own, which others don't need
			c.failedOn(t, a.worker)
		}
		c.requeue(j, t, a.task)
	case plan.LostRun:
		if j.phase == phaseEnding { // it is lost too often
			return
		}
		c.requeue(j, t, a.task)
		c.advance(j)
	case plan.BadInput:
		c.do(actTaskFail{a.task, a.id})
		c.end(j, mr.FailedJob, e.err)
	default:
		t.failures++
		c.failedOn(t, a.worker)
		if w := c.workers[a.worker]; w != nil {
			w.hasFailed(c.now)
		}
		c.do(actTaskFail{a.task, a.id})
		if t.err == "" {
			t.err = e.err // its first failure's own words are the job's
		}
		if t.failures >= maxFailures {
			c.end(j, mr.FailedJob, t.err)
			return
		}
		c.requeue(j, t, a.task)
	}
}

// requeue puts a task back after an attempt that came to nothing, unless a twin runs.
func (c *core) requeue(j *coreJob, t *task, id taskID) {
	if t.live() == 0 {
		c.setReady(j, id.kind, id.index)
	}
}

// lose makes every done map task of a live job that stands on one of the runs run
// again, and reports whether there was one. A task whose output is lost again and again fails
// its job.
func (c *core) lose(runs []uint64, where string) (found bool) {
	lost := make(map[uint64]bool, len(runs))
	for _, run := range runs {
		lost[run] = true
	}
	for _, j := range c.order {
		if j.phase >= phaseCommit || j.complete() {
			continue
		}
		some, hopeless := false, ""
		for i := range j.maps {
			t := &j.maps[i]
			if t.state == taskDone && lost[t.run] {
				some = true
				if t.losses++; t.losses >= maxLosses {
					hopeless = fmt.Sprintf("%s: storage has lost its output %d times (%s); check the disk below the store, then submit the job again",
						plan.TaskName(plan.Map, i), t.losses, where)
				}
				c.do(actTaskLost{taskID{j.id, plan.Map, i}, t.run})
				t.run, t.cached = 0, false
				j.left[plan.Map]++
				c.setReady(j, plan.Map, i)
			}
		}
		found = found || some
		switch {
		case hopeless != "":
			c.end(j, mr.FailedJob, hopeless)
		case some:
			c.advance(j)
		}
	}
	return found
}

func (c *core) wasCut(e evCut) {
	j := c.alive(e.job)
	if j == nil || j.phase != phaseCutting {
		return
	}
	switch {
	case e.err != "":
		c.end(j, mr.FailedJob, e.err)
	case len(e.lost) > 0:
		j.phase = phaseMap
		if !c.lose(e.lost, e.where) && j.left[plan.Map] == 0 && j.remade == j.cutAt {
			c.end(j, mr.FailedJob, "outputs of map tasks cannot be read, and it is not known whose they are")
			return
		}
		if j.phase == phaseEnding {
			return
		}
		c.do(actJobPhase{j.id})
		c.advance(j)
	default:
		j.cut = true
		j.phase = phaseReduce
		j.reduces = c.adopt(j, plan.Reduce, e.reduces)
		c.do(actJobPhase{j.id})
		c.advance(j)
	}
}

// complete reports whether all that a job needs is there: it only waits for attempts
// that were abandoned.
func (j *coreJob) complete() bool {
	return j.reducible() && j.left[plan.Reduce] == 0
}

// redo: a map was computed again and came out different, so its code is not
// deterministic. Whatever consumed the old output must not be mixed with the new one
// (SPARK-23207): every reduce task of the job runs again, on what is there now.
func (c *core) redo(j *coreJob) {
	if !j.cut && j.phase != phaseCutting {
		return
	}
	j.stale = true
	for i := range j.reduces {
		t := &j.reduces[i]
		if t.state == taskDone {
			j.left[plan.Reduce]++
			c.do(actTaskLost{taskID{j.id, plan.Reduce, i}, 0})
		}
		for _, a := range t.running {
			c.abandon(a)
		}
		t.state = taskBlocked
	}
}

func (c *core) workerGone(w workerID) {
	gone := c.heldBy(w)
	c.died(w, len(gone))
	delete(c.workers, w)
	for _, a := range gone {
		c.failed(evFailed{attempt: a.id, kind: plan.Cancelled, err: "its worker went away"})
	}
}

// settle lets a job go on that waited for cancelled attempts to answer.
func (c *core) settle(j *coreJob) {
	switch {
	case j.phase == phaseEnding && j.running == 0:
		c.do(actFinish{j.id, j.end})
	case j.phase < phaseEnding:
		c.advance(j)
	}
}

// end begins a job's end: cancel what runs, and finish when it has stopped.
func (c *core) end(j *coreJob, state mr.State, err string) {
	j.phase, j.end, j.err = phaseEnding, state, err
	for k := plan.Map; k <= plan.Reduce; k++ {
		for i := range j.tasks(k) {
			t := &j.tasks(k)[i]
			for _, a := range t.running {
				c.abandon(a)
			}
			if k == plan.Map {
				c.dropInflight(t.key, taskID{j.id, k, i})
				delete(c.missed, t.key)
			}
		}
	}
	c.settle(j)
}

func (c *core) committed(e evCommitted) {
	j := c.jobs[e.job]
	if j == nil || j.phase != phaseCommit {
		return
	}
	if e.err != "" {
		c.end(j, mr.FailedJob, e.err)
		return
	}
	j.end, j.err = mr.Succeeded, ""
	c.finished(j.id)
}

func (c *core) finished(id mr.JobID) {
	j := c.jobs[id]
	if j == nil || j.phase == phaseEnded {
		return
	}
	j.phase = phaseEnded
	c.do(actJobEnd{j.id, j.end, j.err})
	delete(c.jobs, id)
	c.order = slices.DeleteFunc(c.order, func(o *coreJob) bool { return o == j })
}
