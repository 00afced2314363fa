package mr

import (
	"math"
	"time"
)

// A pulse tells the engine that an author's functions are at work: a block is a million bytes, and for
// whoever takes a second for a line that is hours without a word, as of one that hangs.
type pulse struct {
	tell   func() error // nil: nobody listens
	left   int          // records until the clock is looked at, which costs as much as a short one
	looked time.Time
	told   time.Time
}

// beat is called for each record.
func (p *pulse) beat() error {
	if p.left--; p.left > 0 {
		return nil
	}
	return p.look()
}

func (p *pulse) look() error {
	if p.tell == nil {
		p.left = math.MaxInt
		return nil
	}
	const often, quick = 100 * time.Millisecond, 16
	now := time.Now()
	p.left = quick
	if now.Sub(p.looked) > often {
		p.left = 1
	}
	p.looked = now
	if now.Sub(p.told) < often {
		return nil
	}
	p.told = now
	return p.tell()
}
