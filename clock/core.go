package clock

import (
	"errors"
	"fmt"
	"time"
)

// State says how far a clock may be trusted.
type State uint8

// The states of a clock.
const (
	Unsynced  State = iota // not enough samples yet, or so old that they say nothing
	Synced                 // Now answers
	Holdover               // Now answers, but no sample came of late: the bound grows
	Disrupted              // something broke the assumptions; not enough samples since
)

var stateNames = [...]string{"unsynced", "synced", "holdover", "disrupted"}

func (s State) String() string { return stateNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Errors of a clock that does not know the time.
var (
	ErrUnsynced  = errors.New("clock: not synchronised")
	ErrDisrupted = errors.New("clock: disrupted")
)

const (
	// bootStep is the growth of Boot − Mono that is a suspend.
	bootStep = 2 * time.Millisecond
	// wallStep and wallRate make a jump of Wall against Mono: the first covers a thread
	// stopped between two readings, the second the steering of the wall clock.
	wallStep = 20 * time.Millisecond
	wallRate = 500e-6
)

// Core is the estimator: samples and local readings in, intervals out. It is not safe
// for concurrent use, and every reading it gets must be later than the last.
type Core struct {
	o   Options
	rho float64

	last   Local // the latest reading; seen says that there is one
	seen   bool
	era    time.Duration // samples sent before it are of no use
	epoch  uint64        // the master's; 0: not known
	conn   uint64        // of the last sample
	agreed int           // samples since the era began
	broken bool          // the era began with a disruption, and is not confirmed yet
	span   span          // valid if agreed > 0
	good   time.Duration // T4 of the last sample used
	high   int64         // the highest Reading given out

	track track
	past  history
}

// NewCore returns a Core that knows nothing yet.
func NewCore(o Options) *Core {
	o = o.withDefaults()
	return &Core{o: o, rho: drift(o.Drift)}
}

// Observe looks at the local clocks for a suspend or a step. Every other method that
// takes a reading does the same.
func (c *Core) Observe(now Local) {
	prev := c.last
	if !c.seen {
		c.seen, c.last = true, now
		return
	}
	c.last = now
	passed := now.Mono - prev.Mono
	wall := now.Wall - prev.Wall - passed
	stepped := wall.Abs() > wallStep+time.Duration(float64(passed.Abs())*wallRate)
	if passed < 0 {
		c.disrupt(now.Mono, "the monotonic clock went back")
		return
	}
	if now.Boot == 0 || prev.Boot == 0 {
		// A jump of the wall clock may be a suspend, and nothing here can tell.
		if stepped {
			c.disrupt(now.Mono, fmt.Sprintf("suspended, or the wall clock stepped, by %v", wall.Round(time.Millisecond)))
		}
		return
	}
	if slept := now.Boot - prev.Boot - passed; slept > bootStep {
		c.disrupt(now.Mono, fmt.Sprintf("suspended for %v", slept.Round(time.Millisecond)))
	} else if stepped {
		c.past.steps++ // no matter: neither T1 nor T4 comes from the wall clock
	}
}

// disrupt forgets the samples: they say nothing about now.
func (c *Core) disrupt(at time.Duration, why string) {
	if c.agreed > 0 || c.broken {
		c.broken = true
		c.past.alarm(why)
	}
	c.agreed, c.era, c.track = 0, at, track{}
	c.past.forget()
}

// Add takes a sample, at the moment now. It returns why the sample was not used, or nil.
// An ErrConflict is an alarm: one of the samples, or an assumption, is false.
func (c *Core) Add(now Local, s Sample) error {
	c.Observe(now)
	err := c.add(s)
	c.past.count(err)
	return err
}

func (c *Core) add(s Sample) error {
	if err := s.check(c.rho); err != nil {
		return err
	}
	if s.Sent < c.era {
		return ErrSpan
	}
	if s.Reply.Epoch != c.epoch {
		if c.epoch != 0 {
			c.disrupt(s.Sent, "the master restarted, or its clock was stepped")
		}
		c.epoch = s.Reply.Epoch
	}
	if s.Conn != c.conn {
		c.conn = s.Conn
		return ErrWarmup
	}
	if s.RTT() > c.o.MaxRTT {
		return ErrSlow
	}
	own := s.span()
	if c.agreed > 0 {
		both, ok := c.span.intersect(own, s.Received, c.rho)
		if !ok {
			c.disrupt(s.Sent, c.conflict(own, s.Received))
			c.use(s, own, own)
			return ErrConflict
		}
		c.use(s, own, both)
		return nil
	}
	c.use(s, own, own)
	return nil
}

// use takes a sample in: own is what it says alone, all with the ones before.
func (c *Core) use(s Sample, own, all span) {
	c.span, c.good = all, s.Received
	if c.agreed++; c.agreed >= c.o.Confirm {
		c.broken = false
	}
	c.past.add(s)
	ppm, bound := c.past.drift()
	c.track.follow(own, s.Received, ppm, bound)
}

func (c *Core) conflict(own span, m time.Duration) string {
	lo, hi := c.span.at(m, c.rho)
	oLo, oHi := own.at(m, c.rho)
	gap := max(lo, oLo) - min(hi, oHi)
	return fmt.Sprintf("a sample contradicts the ones before by %v: the master's clock or ours ran wild, or lied", time.Duration(gap))
}

// State returns the state at the moment now.
func (c *Core) State(now Local) State {
	c.Observe(now)
	return c.state()
}

func (c *Core) state() State {
	if c.broken {
		return Disrupted
	}
	if c.agreed < c.o.Confirm {
		return Unsynced
	}
	if lo, hi := c.span.at(c.last.Mono, c.rho); hi-lo > 2*int64(c.o.MaxBound) {
		return Unsynced
	}
	if c.last.Mono-c.good > c.o.HoldoverAfter {
		return Holdover
	}
	return Synced
}

// Interval returns the earliest and the latest that the master's clock can show at
// the moment now.
func (c *Core) Interval(now Local) (earliest, latest time.Time, err error) {
	lo, hi, err := c.interval(now)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	return time.Unix(0, lo), time.Unix(0, hi), nil
}

func (c *Core) interval(now Local) (lo, hi int64, err error) {
	c.Observe(now)
	switch c.state() {
	case Unsynced:
		return 0, 0, ErrUnsynced
	case Disrupted:
		return 0, 0, fmt.Errorf("%w: %s", ErrDisrupted, c.past.lastAlarm)
	}
	lo, hi = c.span.at(now.Mono, c.rho)
	return lo + int64(now.Mono), hi + int64(now.Mono) + int64(tick), nil
}

// Now returns the likeliest moment in the interval, and its distance to the farther
// end: the middle and half the width, until the drift is known.
func (c *Core) Now(now Local) (t time.Time, uncertainty time.Duration, err error) {
	lo, hi, err := c.interval(now)
	if err != nil {
		return time.Time{}, 0, err
	}
	best, unc := c.track.answer(lo, hi, now.Mono)
	return time.Unix(0, best), unc, nil
}

// Reading is like Now, but never goes back in the life of c: where Now would, it
// stands still, and says so by a larger uncertainty.
func (c *Core) Reading(now Local) (t time.Time, uncertainty time.Duration, err error) {
	lo, hi, err := c.interval(now)
	if err != nil {
		return time.Time{}, 0, err
	}
	best, _ := c.track.answer(lo, hi, now.Mono)
	c.high = max(c.high, best)
	return time.Unix(0, c.high), time.Duration(max(c.high-lo, hi-c.high)), nil
}
