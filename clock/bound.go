package clock

import (
	"math"
	"time"
)

// tick is the coarsest clock we run on (41.7 ns on Apple's), rounded up: a stamp may
// be this much behind the moment it was taken.
const tick = 50 * time.Nanosecond

// edge is one end of the interval of the offset, master minus local monotonic, in ns:
// true at the moment at, and wider by the drift at any other.
type edge struct {
	offset int64
	at     time.Duration
}

// span is what the samples say of the offset.
type span struct{ lo, hi edge }

// drift is the fastest that two clocks can drift apart, per second of the local one,
// when each is within ppm of true seconds.
func drift(ppm float64) float64 {
	r := ppm * 1e-6
	return 2 * r / (1 - r)
}

// age is how much wider an edge is after d.
func age(d time.Duration, rho float64) int64 {
	return int64(math.Ceil(math.Abs(float64(d)) * rho))
}

// at returns the interval of the offset at the moment m.
func (s span) at(m time.Duration, rho float64) (lo, hi int64) {
	return s.lo.offset - age(m-s.lo.at, rho), s.hi.offset + age(m-s.hi.at, rho)
}

// intersect keeps, at the moment m, the tighter of the edges of s and o. Since both age
// alike, the tighter one stays the tighter. It reports false if nothing is left.
func (s span) intersect(o span, m time.Duration, rho float64) (span, bool) {
	sLo, sHi := s.at(m, rho)
	oLo, oHi := o.at(m, rho)
	if oLo > sLo {
		s.lo = o.lo
	}
	if oHi < sHi {
		s.hi = o.hi
	}
	return s, max(sLo, oLo) <= min(sHi, oHi)
}
