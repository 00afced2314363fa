package clock

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Clock estimates a master's time by asking it. All methods may be called
// concurrently; Run or Sync do the asking, one caller at a time.
type Clock struct {
	o  Options
	x  Exchanger
	lr localReader

	asking sync.Mutex // held during an exchange

	mu   sync.Mutex // guards core; readings are taken under it, so that they come in order
	core *Core
}

// New returns an Unsynced Clock of the master that x asks.
func New(x Exchanger, o Options) *Clock {
	o = o.withDefaults()
	return &Clock{o: o, x: x, lr: newLocalReader(), core: NewCore(o)}
}

// Now returns the master's time and its uncertainty: the truth is within t ± uncertainty.
// A clock that doesn't know answers ErrUnsynced or ErrDisrupted, never a guess.
func (c *Clock) Now() (t time.Time, uncertainty time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Now(c.lr.read())
}

// Interval returns the earliest and the latest that the master's clock can show now.
func (c *Clock) Interval() (earliest, latest time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Interval(c.lr.read())
}

// Reading is Now, except that it never goes back.
func (c *Clock) Reading() (t time.Time, uncertainty time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Reading(c.lr.read())
}

// State returns how far the clock may be trusted.
func (c *Clock) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.State(c.lr.read())
}

// Report describes the clock and its samples.
func (c *Clock) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Report(c.lr.read())
}

// Sample makes one exchange. It returns the Exchanger's error, or why the sample was
// not used.
func (c *Clock) Sample(ctx context.Context) error {
	c.asking.Lock()
	defer c.asking.Unlock()
	c.mu.Lock()
	c.core.Observe(c.lr.read())
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	nonce := rand.Uint64() & epochMask
	ex, err := c.x.Exchange(ctx, nonce)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.Add(c.lr.read(), Sample{
		Sent: c.lr.mono(ex.Sent), Received: c.lr.mono(ex.Received),
		Nonce: nonce, Conn: ex.Conn, Reply: ex.Reply,
	})
}

// Sync samples until the clock is Synced and n more exchanges have been made. It gives up when ctx ends, and
// after a few exchanges that failed or whose replies were refused. More exchanges make a tighter bound: the
// quickest of them decides.
func (c *Clock) Sync(ctx context.Context, n int) error {
	for failed := 0; ; {
		err := c.Sample(ctx)
		switch {
		case ctx.Err() != nil:
			return errors.Join(ErrUnsynced, err)
		case c.State() == Synced:
			if n--; n < 0 {
				return nil
			}
		}
		if err == nil || err == ErrWarmup {
			continue
		}
		if failed++; failed > 3 {
			return errors.Join(ErrUnsynced, err)
		}
		if err := sleep(ctx, jittered(50*time.Millisecond)); err != nil {
			return errors.Join(ErrUnsynced, err)
		}
	}
}

func isRefusal(err error) bool { return err == ErrWarmup || slices.Contains(refusals[:], err) }

// Run keeps the clock synchronised until ctx ends, and returns nil. A master that
// cannot be reached is asked again, ever less often, up to two seconds.
func (c *Clock) Run(ctx context.Context) error {
	const first, most = 50 * time.Millisecond, 2 * time.Second
	away := first
	for {
		wait := c.o.Interval
		for range c.o.Burst {
			if err := c.Sample(ctx); err != nil && !isRefusal(err) {
				wait = away
				away = min(2*away, most)
				break
			}
			away = first
		}
		if st := c.State(); st == Unsynced || st == Disrupted {
			wait = min(wait, away)
		}
		if sleep(ctx, jittered(wait)) != nil {
			return nil
		}
	}
}

// jittered is d, a tenth more or less, so that clients don't ask in step.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
