package clock

import "time"

// track is where in the interval the truth most likely is. The interval must allow for
// any drift within the allowance; the track believes the drift that was measured, so
// that its edges age slowly and the quickest exchanges of many seconds count. It moves
// the answer inside the interval and nothing else: if the measured drift is wrong, the
// answer is worse and the bound still holds.
type track struct {
	span span
	rate float64 // of the offset, per local second
	rho  float64 // how far the rate may be off; 0: nothing is tracked
}

const (
	trackable = 25e-6 // a drift known worse than this is not worth following
	wander    = 1e-6  // what a rate may change while it is being followed
)

// at returns the track's edges at the moment m.
func (t *track) at(s span, m time.Duration) (lo, hi int64) {
	edgeAt := func(e edge) (drifted, aged int64) {
		return e.offset + int64(float64(m-e.at)*t.rate), age(m-e.at, t.rho)
	}
	l, la := edgeAt(s.lo)
	h, ha := edgeAt(s.hi)
	return l - la, h + ha
}

// follow takes in a sample's span at the moment m, and the drift as measured so far.
func (t *track) follow(own span, m time.Duration, ppm, bound float64) {
	if bound == 0 || bound*1e-6 > trackable {
		t.rho = 0
		return
	}
	fresh := t.rho == 0
	t.rate, t.rho = ppm*1e-6, bound*1e-6+wander
	if fresh {
		t.span = own
		return
	}
	lo, hi := t.at(t.span, m)
	ownLo, ownHi := t.at(own, m)
	if max(lo, ownLo) > min(hi, ownHi) {
		t.span = own // the rate has changed
		return
	}
	if ownLo > lo {
		t.span.lo = own.lo
	}
	if ownHi < hi {
		t.span.hi = own.hi
	}
}

// answer returns the best guess in the interval [lo, hi] of the master's clock, and how
// far off it can be.
func (t *track) answer(lo, hi int64, m time.Duration) (best int64, uncertainty time.Duration) {
	best = lo + (hi-lo)/2
	if t.rho > 0 {
		tLo, tHi := t.at(t.span, m)
		best = min(max(tLo+(tHi-tLo)/2+int64(m), lo), hi)
	}
	return best, time.Duration(max(best-lo, hi-best))
}
