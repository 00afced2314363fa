package engine

import (
	"slices"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// This file is the core's handling of attempts: leasing, identification, completion,
// failure, loss.

// schedule hands free slots to jobs, one at a time: the job with the fewest attempts in
// flight first, the earlier submitted among equals. Within a job reduce tasks come
// before maps (there are maps beside them only when some were lost), by index.
func (c *core) schedule() {
	for {
		w := c.freeWorker()
		if w < 0 {
			return
		}
		j, k, i := c.nextTask()
		if j == nil {
			return
		}
		if c.mayBeMade(j, k, i) {
			continue
		}
		c.start(j, k, i, w)
	}
}

// mayBeMade reports whether a map task with a known key need not start now: because
// another task is computing that very output, or because the catalog is asked first.
func (c *core) mayBeMade(j *coreJob, k plan.Kind, i int) bool {
	t := &j.tasks(k)[i]
	if k != plan.Map || t.key.IsZero() || !j.share || t.fresh {
		return false
	}
	id := taskID{j.id, k, i}
	if other, taken := c.inflight[t.key]; taken && other != id {
		t.state = taskWaiting
		c.waiters[t.key] = append(c.waiters[t.key], id)
		return true
	}
	if !t.looked {
		t.state = taskWaiting
		c.do(actLookup{id, 0, t.key})
		return true
	}
	return false
}

func (c *core) freeWorker() workerID {
	best, free := workerID(-1), 0
	for id, w := range c.workers {
		if f := w.slots - w.busy; f > free || f == free && f > 0 && id < best {
			best, free = id, f
		}
	}
	return best
}

func (c *core) nextTask() (*coreJob, plan.Kind, int) {
	var best *coreJob
	var kind plan.Kind
	for _, j := range c.order {
		if j.phase >= phaseEnding || best != nil && j.running >= best.running {
			continue
		}
		if k, ok := j.peek(); ok {
			best, kind = j, k
		}
	}
	if best == nil {
		return nil, 0, 0
	}
	i := best.ready[kind][0]
	best.ready[kind] = best.ready[kind][1:]
	return best, kind, i
}

// peek drops stale entries from the ready queues and says which kind is next.
func (j *coreJob) peek() (plan.Kind, bool) {
	for _, k := range [...]plan.Kind{plan.Reduce, plan.Map} {
		if k == plan.Reduce && (j.left[plan.Map] > 0 || !j.cut || j.stale) {
			continue
		}
		q := j.ready[k]
		for len(q) > 0 && j.tasks(k)[q[0]].state != taskReady {
			q = q[1:]
		}
		if j.ready[k] = q; len(q) > 0 {
			return k, true
		}
	}
	return 0, false
}

func (c *core) start(j *coreJob, k plan.Kind, i int, w workerID) {
	t := &j.tasks(k)[i]
	c.seq++
	a := &attempt{id: plan.AttemptOf(c.epoch, c.seq), task: taskID{j.id, k, i}, worker: w}
	c.attempts[a.id] = a
	c.workers[w].busy++
	j.running++
	t.state = taskRunning
	t.running = append(t.running, a)
	t.looked = false
	if k == plan.Map && !t.key.IsZero() && j.share {
		if _, taken := c.inflight[t.key]; !taken {
			c.inflight[t.key] = a.task // others with the key wait for it
		}
	}
	c.do(actTaskStart{a.task, a.id})
	c.do(actStart{a.task, a.id, w})
}

// release takes an attempt that has answered, or whose worker is gone, off the books.
func (c *core) release(a *attempt) (*coreJob, *task) {
	delete(c.attempts, a.id)
	if w := c.workers[a.worker]; w != nil {
		w.busy--
	}
	j, t := c.task(a.task)
	if j == nil {
		return nil, nil
	}
	j.running--
	if t != nil {
		t.running = slices.DeleteFunc(t.running, func(b *attempt) bool { return b == a })
	}
	return j, t
}

func (c *core) identified(e evIdentified) {
	a := c.attempts[e.attempt]
	if a == nil {
		return
	}
	j, t := c.task(a.task)
	if j == nil || a.cancel || j.phase >= phaseEnding || t.state == taskDone {
		c.do(actAbandon{a.id})
		return
	}
	if t.key != e.key {
		c.dropInflight(t.key, a.task)
		t.key = e.key
	}
	switch {
	case !j.share || t.fresh:
		c.do(actProceed{a.id})
	default:
		c.do(actLookup{a.task, a.id, e.key})
	}
}

func (c *core) lookedUp(e evLookup) {
	a := c.attempts[e.attempt]
	if a == nil && e.attempt != 0 {
		return
	}
	j, t := c.task(e.task)
	if j == nil || j.phase >= phaseEnding || t.state == taskDone {
		if a != nil {
			c.do(actAbandon{a.id})
		}
		return
	}
	if e.hit {
		c.finishTask(j, t, e.task, 0, true, e.run, e.out) // stops the attempt that asked
		c.advance(j)
		return
	}
	if a == nil { // a waiter whose hope has failed
		if t.state == taskWaiting {
			t.looked = true
			c.setReady(j, e.task.kind, e.task.index)
		}
		return
	}
	if other, taken := c.inflight[t.key]; taken && other != e.task {
		t.state = taskWaiting
		c.waiters[t.key] = append(c.waiters[t.key], e.task)
		c.do(actAbandon{a.id})
		return
	}
	c.inflight[t.key] = e.task
	c.do(actProceed{a.id})
}

// done is the one place where an attempt's work becomes a task's output.
// Invariant: at most one actTaskDone for a task, until actTaskLost takes it back.
func (c *core) done(e evDone) {
	a := c.attempts[e.attempt]
	if a == nil {
		return // a zombie: fenced
	}
	j, t := c.release(a)
	if j == nil {
		return
	}
	if a.cancel || j.phase >= phaseEnding || t.state == taskDone {
		c.settle(j)
		return // a loser: what it made is swept
	}
	if a.task.kind == plan.Map {
		if t.key != e.key {
			c.dropInflight(t.key, a.task)
			t.key = e.key
		}
		if t.fresh && !t.out.IsZero() && t.out != e.out {
			c.redo(j, t.out)
		}
	}
	c.finishTask(j, t, a.task, a.id, e.cached, e.run, e.out)
	c.advance(j)
}

// finishTask marks t done. a is 0 if no attempt made the output: a hit.
func (c *core) finishTask(j *coreJob, t *task, id taskID, a plan.Attempt, cached bool, run uint64, out mr.Digest) {
	for _, twin := range t.running {
		if !twin.cancel && twin.id != a {
			twin.cancel = true
			c.do(actAbandon{twin.id})
		}
	}
	t.state, t.cached, t.run, t.out, t.fresh = taskDone, cached, run, out, false
	j.left[id.kind]--
	c.do(actTaskDone{id, a, cached})
	if id.kind == plan.Map {
		c.dropInflight(t.key, id)
	}
}

// dropInflight gives up a key; its waiters look again.
func (c *core) dropInflight(key mr.Digest, id taskID) {
	if key.IsZero() || c.inflight[key] != id {
		return
	}
	delete(c.inflight, key)
	for _, w := range c.waiters[key] {
		c.do(actLookup{w, 0, key})
	}
	delete(c.waiters, key)
}

func (c *core) failed(e evFailed) {
	a := c.attempts[e.attempt]
	if a == nil {
		return
	}
	j, t := c.release(a)
	if j == nil {
		return
	}
	if a.cancel || j.phase >= phaseEnding || t.state != taskRunning {
		if t.state == taskRunning && len(t.running) == 0 && j.phase < phaseEnding {
			c.setReady(j, a.task.kind, a.task.index) // cancelled, but still owed
		}
		c.settle(j)
		return
	}
	c.dropInflight(t.key, a.task)
	kind := e.kind
	if kind == plan.LostRun && !c.lose(e.lost) && j.left[plan.Map] == 0 && !e.copy {
		kind = plan.UserError // nothing to recompute would mend it
	}
	switch kind {
	case plan.Cancelled, plan.NoSpace:
		c.requeue(j, t, a.task)
	case plan.LostRun:
		c.requeue(j, t, a.task)
		c.advance(j)
	case plan.BadInput:
		c.do(actTaskFail{a.task, a.id})
		c.end(j, mr.FailedJob, e.err)
	default:
		t.failures++
		c.do(actTaskFail{a.task, a.id})
		if j.err == "" {
			j.err = e.err // the first failure's own words are the job's
		}
		if t.failures >= maxFailures {
			c.end(j, mr.FailedJob, j.err)
			return
		}
		c.requeue(j, t, a.task)
	}
}

// requeue puts a task back after an attempt that came to nothing, unless a twin runs.
func (c *core) requeue(j *coreJob, t *task, id taskID) {
	if len(t.running) > 0 || t.state != taskRunning {
		return
	}
	if id.kind == plan.Reduce && (j.left[plan.Map] > 0 || !j.cut || j.stale) {
		t.state = taskBlocked
		return
	}
	c.setReady(j, id.kind, id.index)
}

// lose makes every done map task of a live job that stands on one of the runs run
// again, and reports whether there was one.
func (c *core) lose(runs []uint64) (found bool) {
	for _, j := range c.order {
		if j.phase >= phaseCommit {
			continue
		}
		for i := range j.maps {
			t := &j.maps[i]
			if t.state == taskDone && slices.Contains(runs, t.run) {
				found = true
				t.fresh, t.run, t.cached = true, 0, false
				j.left[plan.Map]++
				c.do(actTaskLost{taskID{j.id, plan.Map, i}})
				c.setReady(j, plan.Map, i)
			}
		}
		if j.left[plan.Map] > 0 && (j.phase == phaseReduce || j.phase == phaseCutting) {
			for i := range j.reduces {
				if j.reduces[i].state == taskReady {
					j.reduces[i].state = taskBlocked
				}
			}
			c.advance(j)
		}
	}
	return found
}

// redo: a map was computed again and came out different, so its code is not
// deterministic. Whatever consumed the old output must not be mixed with the new one
// (SPARK-23207): every reduce task of the job runs again, on new ranges.
func (c *core) redo(j *coreJob, _ mr.Digest) {
	if !j.cut {
		return
	}
	j.stale = true
	for i := range j.reduces {
		t := &j.reduces[i]
		switch t.state {
		case taskDone:
			j.left[plan.Reduce]++
			c.do(actTaskLost{taskID{j.id, plan.Reduce, i}})
		case taskRunning:
			for _, a := range t.running {
				a.cancel = true
				c.do(actAbandon{a.id})
			}
		}
		t.state = taskBlocked
	}
}

func (c *core) workerGone(w workerID) {
	delete(c.workers, w)
	var gone []*attempt
	for _, a := range c.attempts {
		if a.worker == w {
			gone = append(gone, a)
		}
	}
	slices.SortFunc(gone, func(a, b *attempt) int { return int(int64(a.id) - int64(b.id)) })
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
				if !a.cancel {
					a.cancel = true
					c.do(actAbandon{a.id})
				}
			}
			if k == plan.Map {
				c.dropInflight(t.key, taskID{j.id, k, i})
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
