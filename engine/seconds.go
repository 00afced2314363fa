package engine

import (
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// add books seconds to the phase they were spent in.
func add(s *mr.Seconds, phase string, seconds float64) {
	switch phase {
	case "planning":
		s.Plan += seconds
	case "map":
		s.Map += seconds
	case "shuffle", "reduce":
		s.Reduce += seconds
	case "commit":
		s.Commit += seconds
	}
}

// stepTimes add up what a job's attempts spent their time on, on all workers.
type stepTimes struct {
	Map, Reduce time.Duration // of attempts of either kind, all of it
	Steps       plan.Steps
}

// book adds a leg of an attempt.
func (s *stepTimes) book(kind plan.Kind, res *plan.Result) {
	if kind == plan.Map {
		s.Map += res.CPU
	} else {
		s.Reduce += res.CPU
	}
	s.Steps.Read += res.Steps.Read
	s.Steps.Sort += res.Steps.Sort
	s.Steps.Merge += res.Steps.Merge
	s.Steps.Output += res.Steps.Output
}

// share fills in the steps of sec's phases: attempts go on at the same time, so their
// steps have a phase's wall clock in the proportions of their own. Some steps are
// estimates, which together may come to more than the whole.
func (s *stepTimes) share(sec *mr.Seconds) {
	parts := func(phase float64, all, a, b time.Duration) (float64, float64) {
		if all = max(all, a+b); all <= 0 {
			return 0, 0
		}
		return phase * a.Seconds() / all.Seconds(), phase * b.Seconds() / all.Seconds()
	}
	sec.Read, sec.Sort = parts(sec.Map, s.Map, s.Steps.Read, s.Steps.Sort)
	sec.Merge, sec.Output = parts(sec.Reduce, s.Reduce, s.Steps.Merge, s.Steps.Output)
}
