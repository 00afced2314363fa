package engine

import "time"

// A worker on which one attempt after the other fails is given a rest: a broken host
// fails faster than sound ones work, and would draw in task after task. It rests for
// longer each time, until an attempt succeeds on it. Where all workers are in that state
// it is the jobs that are broken, and none rests.
//
// Besides, a task that has failed on a worker is next tried on another one, if there is
// one, even if it has to wait for a slot: four attempts on one broken host say nothing
// about the job. So is a task that found no room: a worker that has joined has a disk of its
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

// awake reports whether some worker, other than one, does not rest.
func (c *core) awake(not workerID) bool {
	for id, w := range c.workers {
		if id != not && !w.silent && !c.now.Before(w.rests) {
			return true
		}
	}
	return false
}

// elsewhere finds a task that failed on w another worker. wait is true if none has a
// free slot, but one will.
func (c *core) elsewhere(t *task, w workerID) (other workerID, wait bool) {
	if t.failedOn != w {
		return w, false
	}
	if other = c.freeWorkerBut(w); other >= 0 {
		return other, false
	}
	return w, c.awake(w)
}
