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
// steps have a phase's wall clock in the proportions of their own.
func (s *stepTimes) share(sec *mr.Seconds) {
	part := func(of float64, step, all time.Duration) float64 {
		if all <= 0 {
			return 0
		}
		return of * min(step.Seconds()/all.Seconds(), 1)
	}
	sec.Read, sec.Sort = part(sec.Map, s.Steps.Read, s.Map), part(sec.Map, s.Steps.Sort, s.Map)
	sec.Merge, sec.Output = part(sec.Reduce, s.Steps.Merge, s.Reduce), part(sec.Reduce, s.Steps.Output, s.Reduce)
}
