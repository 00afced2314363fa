package engine

import (
	"cmp"
	"slices"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// This file is the core's leasing: which task starts next, on which worker's slot.

// schedule hands free slots to jobs, one at a time: the job with the fewest attempts in
// flight first; among equals the one that was served longest ago, so that none starves
// where there are more jobs than slots. Within a job reduce tasks come
// before maps (there are maps beside them only when some were lost), by index.
func (c *core) schedule() {
	if c.idle {
		return
	}
	var waiting []taskID
	for {
		w, small := c.freeWorker(), c.freeForSmall()
		j, k, i := c.nextTask(w >= 0, small >= 0)
		if j == nil {
			break
		}
		if c.mayBeMade(j, k, i) {
			continue
		}
		id := taskID{j.id, k, i}
		if j.tasks(k)[i].small() && small >= 0 {
			c.start(id, small, false)
		} else if w, wait := c.elsewhere(&j.tasks(k)[i], w); wait {
			waiting = append(waiting, id)
		} else {
			c.start(id, w, false)
		}
	}
	for _, id := range slices.Backward(waiting) { // first in line for the next slot
		j := c.jobs[id.job]
		j.ready[id.kind] = slices.Insert(j.ready[id.kind], 0, id.index)
	}
}

// mayBeMade reports whether a map task with a known key need not start now: the catalog
// is asked first. It may have the output, or else another task may be making it.
func (c *core) mayBeMade(j *coreJob, k plan.Kind, i int) bool {
	t := &j.tasks(k)[i]
	if k != plan.Map || t.key.IsZero() || !j.share {
		return false
	}
	if c.missed[t.key] {
		return false
	}
	t.state = taskWaiting
	c.do(actLookup{taskID{j.id, k, i}, 0, t.key})
	return true
}

// madeElsewhere reports whether another task's attempt is making id's output.
func (c *core) madeElsewhere(t *task, id taskID) bool {
	other, taken := c.inflight[t.key]
	return taken && other != id
}

func (c *core) await(t *task, id taskID) {
	t.state = taskWaiting
	c.waiters[t.key] = append(c.waiters[t.key], id)
}

// take makes id the one that makes key: others with the key wait for it.
func (c *core) take(key mr.Digest, id taskID) {
	c.inflight[key] = id
	delete(c.missed, key)
}

// freeWorker returns the worker with the most free slots, or -1.
func (c *core) freeWorker() workerID { return c.freeWorkerBut() }

func (c *core) freeWorkerBut(not ...workerID) workerID {
	best, free := workerID(-1), 0
	rest := c.awake()
	for id, w := range c.workers {
		if slices.Contains(not, id) || w.silent || rest && c.now.Before(w.rests) {
			continue
		}
		if f := w.slots - w.busy; f > free || f == free && f > 0 && id < best {
			best, free = id, f
		}
	}
	return best
}

// small tasks have slots of their own beside a worker's others, many of them: such a task
// is over in less time than its order, its answer and its commit take, and only with
// many in flight do they share transactions. A task that has failed is not small, nor is one that
// found no room on a worker, and should go to another.
func (t *task) small() bool { return t.tiny && t.failures == 0 && len(t.failedOn) == 0 }

// hasSmall says whether a worker has a slot for a small task.
func (c *core) hasSmall(w *coreWorker) bool { return w.small < cmp.Or(w.most, c.smallSlots) }

// freeForSmall returns the worker with the fewest small attempts, or -1.
func (c *core) freeForSmall() workerID {
	best := workerID(-1)
	rest := c.awake()
	for id, w := range c.workers {
		if w.silent || !c.hasSmall(w) || rest && c.now.Before(w.rests) {
			continue
		}
		if best < 0 || w.small < c.workers[best].small || w.small == c.workers[best].small && id < best {
			best = id
		}
	}
	return best
}

// nextTask takes the task whose turn it is from its queue, of those for which there is
// a slot: a big one, or one for small tasks.
func (c *core) nextTask(big, small bool) (*coreJob, plan.Kind, int) {
	if !big && !small {
		return nil, 0, 0
	}
	var best *coreJob
	var kind plan.Kind
	for _, j := range c.order {
		if j.phase >= phaseEnding || best != nil && !j.before(best) {
			continue
		}
		k, ok := j.peek()
		if !ok {
			continue
		}
		if j.tasks(k)[j.ready[k][0]].small() && small || big {
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

// reducible reports whether reduce attempts may start: all maps are done, and the
// ranges were cut from what they have made.
func (j *coreJob) reducible() bool { return j.left[plan.Map] == 0 && j.cut && !j.stale }

// before reports whether j's turn comes before other's.
func (j *coreJob) before(other *coreJob) bool {
	if j.running != other.running {
		return j.running < other.running
	}
	return j.served < other.served
}

// peek drops stale entries from the ready queues and says which kind is next.
func (j *coreJob) peek() (plan.Kind, bool) {
	for _, k := range [...]plan.Kind{plan.Reduce, plan.Map} {
		if k == plan.Reduce && !j.reducible() {
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
