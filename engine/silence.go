package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/mrd-io/mr/plan"
)

// A worker that has joined from another process holds its attempts under a lease: as long
// as it gives signs of life, the lease is extended; when it has given none for the lease's
// length, its attempts are fenced, and their tasks given to others. The worker stays on the
// books: if it was only stopped, or cut off, it works again from its next sign of life.
// What the fenced attempts answer then is dropped, because they are no longer on the books.
//
// Time is the step's, which is monotonic. When the engine itself was stopped, nobody is to
// blame for signs that it could not see: a gap between ticks is added to all leases.

// tickGap is the time between two ticks from which on the engine itself was away.
const tickGap = 2 * time.Second

type (
	// evJoined is evWorker for a worker in another process.
	evJoined struct {
		worker workerID
		slots  int
		name   string
		lease  time.Duration
		small  int // attempts at small tasks that it takes beside its slots; 0: as others do
	}
	evBeat struct{ worker workerID } // a sign of life

	// actFence: the attempt is off the books, its worker may not know it yet, and what it
	// answers is nobody's any more.
	actFence struct{ attempt plan.Attempt }
)

func (evJoined) event()  {}
func (evBeat) event()    {}
func (actFence) action() {}

func (c *core) joined(e evJoined) {
	c.workers[e.worker] = &coreWorker{
		slots: e.slots, name: e.name, lease: e.lease, most: e.small, heard: c.now,
		rests: c.deaths[e.name].rests,
	}
}

func (c *core) beat(id workerID) {
	if w := c.workers[id]; w != nil {
		w.heard, w.silent = c.now, false
	}
}

// expire ends the leases that have run out.
func (c *core) expire() {
	away := c.now.Sub(c.ticked)
	if c.ticked.IsZero() || away < tickGap {
		away = 0
	}
	c.ticked = c.now
	for _, id := range slices.Sorted(maps.Keys(c.workers)) {
		w := c.workers[id]
		if w.lease == 0 || w.silent {
			continue
		}
		if w.heard = w.heard.Add(away); w.heard.After(c.now) {
			w.heard = c.now
		}
		if c.now.Sub(w.heard) <= w.lease {
			continue
		}
		w.silent = true
		for _, a := range c.heldBy(id) {
			c.do(actFence{a.id})
			c.failed(evFailed{attempt: a.id, kind: plan.Cancelled, err: "its worker was silent for too long"})
		}
	}
}

// heldBy returns a worker's attempts, in order.
func (c *core) heldBy(id workerID) (held []*attempt) {
	for _, a := range c.attempts {
		if a.worker == id {
			held = append(held, a)
		}
	}
	slices.SortFunc(held, func(a, b *attempt) int { return int(int64(a.id) - int64(b.id)) })
	return held
}
