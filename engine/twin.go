package engine

import (
	"slices"
	"time"

	"github.com/mrd-io/mr/plan"
)

// A straggler gets a twin: a second attempt of its task, on a slot that would stand
// idle. The first to finish wins; the other is abandoned, and what it made is swept.
// Outputs and counters come from the one that wins alone.
//
// An attempt is well behind when it has run for three times the median of its phase's
// attempts that are done, and for two seconds: below that, starting another costs more
// than it can win. There must be three of those, and a quarter of the phase done, for
// the median to mean something. Rates of progress (as in LATE) would tell sooner, but
// the engine does not see inside an attempt.
//
// A task of which both could fail and leave no attempt for a worker that was not tried (rest.go) gets none.
//
// A job may do without (Spec.NoSpeculation), and so may a daemon (Options.NoTwins): where attempts are slow
// because they all wait for one thing, a second one only adds to it.
const (
	twinFactor  = 3
	twinMinimum = 2 * time.Second
	twinSample  = 3
	twinShare   = 4 // one in so many tasks of the phase must be done
)

// addTwins starts twins while slots are idle. schedule comes first, so nothing is ready.
func (c *core) addTwins() {
	if !c.speculate {
		return
	}
	for c.freeWorker() >= 0 {
		a := c.straggler()
		if a == nil {
			return
		}
		w := c.freeWorkerBut(a.worker) // what slows the attempt may be its worker
		if w < 0 {
			w = a.worker
		}
		a.twinned = true
		c.start(a.task, w, true)
	}
}

// straggler returns the attempt that is well behind, has run for the longest time and
// never had a twin, or nil. A twin that outlives its sibling may get one of its own.
func (c *core) straggler() (worst *attempt) {
	for _, j := range c.order {
		if j.phase >= phaseCommit || j.lone {
			continue
		}
		for k := plan.Map; k <= plan.Reduce; k++ {
			limit, ok := j.patience(k)
			if !ok || k == plan.Reduce && !j.reducible() {
				continue
			}
			for i := range j.tasks(k) {
				t := &j.tasks(k)[i]
				if t.live() != 1 {
					continue
				}
				a := t.running[slices.IndexFunc(t.running, func(a *attempt) bool { return !a.cancel })]
				late := !a.twinned && t.failures+2 < maxFailures && c.now.Sub(a.started) >= limit
				if late && (worst == nil || a.started.Before(worst.started)) {
					worst = a
				}
			}
		}
	}
	return worst
}

// patience is how long an attempt of a phase may run before it is well behind. ok is
// false while too little is known.
func (j *coreJob) patience(k plan.Kind) (limit time.Duration, ok bool) {
	n, took := len(j.tasks(k)), j.took[k]
	if j.left[k] == 0 || len(took) < twinSample || (n-j.left[k])*twinShare < n {
		return 0, false
	}
	slices.Sort(took) // nearly sorted since the last time; the order means nothing
	return max(twinFactor*took[len(took)/2], twinMinimum), true
}
