package engine

import (
	"slices"
	"time"
)

// A worker on which one attempt after the other fails is given a rest: a broken host
// fails faster than sound ones work, and would draw in task after task. It rests for
// longer each time, until an attempt succeeds on it. Where all workers are in that state
// it is the jobs that are broken, and none rests.
//
// Besides, a task that has failed on a worker is next tried on another one, if there is
// one, even if it has to wait for a slot: four attempts on broken hosts say nothing
// about the job. The last of them is made in this process, whose files are those that the
// job was planned with. So is a task that found no room: a worker that has joined has a disk of its
// own, and nobody else need wait for room there.
const (
	restAfter = 3 // failed attempts in a row
	restFirst = 500 * time.Millisecond
	restMost  = time.Minute
)

func (w *coreWorker) hasFailed(now time.Time) {
	if w.failed++; w.failed >= restAfter {
		w.rests = now.Add(min(restFirst<<min(w.failed-restAfter, 10), restMost))
	}
}

// deaths are how often a worker of a name has gone away with attempts in flight since an
// attempt last succeeded on one. It rests like one on which attempts fail, also when it
// comes back: a host that takes tasks and dies is no better than one that fails them.
type deaths struct {
	n     int
	rests time.Time // until then
}

func (c *core) died(id workerID, held int) {
	w := c.workers[id]
	if w == nil || w.name == "" || held == 0 {
		return
	}
	d := c.deaths[w.name]
	if d.n++; d.n >= restAfter {
		d.rests = c.now.Add(min(restFirst<<min(d.n-restAfter, 10), restMost))
	}
	c.deaths[w.name] = d
}

func (c *core) hasWorked(id workerID) {
	w := c.workers[id]
	w.failed, w.rests = 0, time.Time{}
	delete(c.deaths, w.name)
}

// awake reports whether some worker, other than those, does not rest.
func (c *core) awake(not ...workerID) bool {
	for id, w := range c.workers {
		if !slices.Contains(not, id) && !w.silent && !c.now.Before(w.rests) {
			return true
		}
	}
	return false
}

// failedOn notes that a task failed, or found no room, on w.
func (c *core) failedOn(t *task, w workerID) {
	t.failedOn = slices.DeleteFunc(t.failedOn, func(id workerID) bool { return id == w || c.workers[id] == nil })
	t.failedOn = append(t.failedOn, w)
}

// elsewhere finds a task, for which w is free, a worker that it did not fail on, or else the one on
// which that was longest ago. wait is true if it has no free slot, but will have one.
func (c *core) elsewhere(t *task, w workerID) (other workerID, wait bool) {
	if c.wantsOwn(t) {
		return c.own()
	}
	for not := t.failedOn; len(not) > 0; not = not[1:] { // the last of them is the last to be tried again
		if !slices.Contains(not, w) {
			return w, false
		}
		if other = c.freeWorkerBut(not...); other >= 0 {
			return other, false
		}
		if c.awake(not...) {
			return w, true
		}
	}
	return w, false
}

// wantsOwn reports whether a task's next attempt is the last that its job has, and all the others failed
// on other hosts: these may have the wrong files, and say nothing about the job.
func (c *core) wantsOwn(t *task) bool {
	if t.failures < maxFailures-1 {
		return false
	}
	there := false
	for id, w := range c.workers {
		if w.lease == 0 {
			there = true
			if slices.Contains(t.failedOn, id) {
				return false
			}
		}
	}
	return there
}

// own finds a task one of the workers in this process, or has it wait for one.
func (c *core) own() (id workerID, wait bool) {
	all := !c.awake() // then none rests
	id = -1
	for i, w := range c.workers {
		if w.lease == 0 && w.busy < w.slots && (all || !c.now.Before(w.rests)) && (id < 0 || i < id) {
			id = i
		}
	}
	return id, id < 0
}
