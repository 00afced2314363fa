package clock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// oscillator is a clock that runs at 1 + ppb·10⁻⁹ of the true rate.
type oscillator struct {
	at, value, ppb int64
}

func (o *oscillator) read(t int64) int64 {
	d := t - o.at
	return o.value + d + d/1_000_000*o.ppb/1000 + d%1_000_000*o.ppb/1_000_000_000
}

func (o *oscillator) setRate(t, ppb int64) { o.value, o.at, o.ppb = o.read(t), t, ppb }
func (o *oscillator) step(by int64)        { o.value += by }

// freeze makes the clock stand still from t0 to t1.
func (o *oscillator) freeze(t0, t1 int64) { o.value, o.at = o.read(t0), t1 }

// world is a master, a client and the network between them, on a true time of its own.
type world struct {
	r      *rand.Rand
	t      int64 // true time, ns
	master oscillator
	mono   oscillator // the client's
	slept  int64      // while suspended
	wall   int64      // the client's wall clock minus (mono + slept)
	boot   bool       // the client has a clock that counts suspends
	epoch  uint64
	conn   uint64
	delay  func() int64

	core  *Core
	stale bool // the master stepped, and the client can't know yet
	high  time.Time
	log   []string
	reads int
}

const allowance = 50_000 // ppb a clock

func newWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 6))
	w := &world{r: r, t: r.Int64N(1 << 40), conn: 1, epoch: r.Uint64()&epochMask | 1, boot: r.IntN(2) == 0}
	w.master = oscillator{w.t, 1_700_000_000e9 + r.Int64N(20*365*86400e9) - 10*365*86400e9, w.rate()}
	w.mono = oscillator{w.t, r.Int64N(1e15), w.rate()}
	w.wall = 1_700_000_000e9 + r.Int64N(2e17) - 1e17
	w.delay = w.network()
	w.core = NewCore(Options{Confirm: 2 + r.IntN(3)})
	return w
}

func (w *world) rate() int64 {
	switch w.r.IntN(4) {
	case 0:
		return allowance
	case 1:
		return -allowance
	default:
		return w.r.Int64N(2*allowance+1) - allowance
	}
}

// network chooses how delays are spread.
func (w *world) network() func() int64 {
	base := int64(1000) << w.r.IntN(18)
	switch w.r.IntN(4) {
	case 0:
		return func() int64 { return base + w.r.Int64N(base/10+1) }
	case 1: // bimodal
		return func() int64 { return base + int64(w.r.IntN(2))*base*50 }
	case 2: // heavy tail
		return func() int64 { return base + int64(float64(base)/(w.r.Float64()+1e-4)) }
	default: // one way, almost nothing in the other
		away := false
		return func() int64 {
			if away = !away; away {
				return 20 * base
			}
			return 100
		}
	}
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%d: "+format, append([]any{w.t}, args...)...))
}

func (w *world) local() Local {
	mono := w.mono.read(w.t)
	l := Local{Mono: time.Duration(mono), Wall: time.Duration(mono + w.slept + w.wall)}
	if w.boot {
		l.Boot = time.Duration(mono + w.slept + 1)
	}
	return l
}

func (w *world) suspend() {
	d := int64(1e9) + w.r.Int64N(3600e9)
	w.note("suspend %d", d)
	w.mono.freeze(w.t, w.t+d)
	w.t += d
	w.slept += d
}

func (w *world) masterStep() {
	by := w.r.Int64N(7200e9) - 3600e9
	w.note("master restarts, stepped by %d", by)
	w.master.step(by)
	w.epoch++
	w.stale = true
}

// exchange asks once. How it goes wrong, if it does, is up to the dice.
func (w *world) exchange() error {
	if w.r.IntN(12) == 0 {
		w.conn++
	}
	if w.r.IntN(50) == 0 {
		w.masterStep()
	}
	w.core.Observe(w.local())
	s := Sample{Sent: time.Duration(w.mono.read(w.t)), Nonce: w.r.Uint64(), Conn: w.conn}
	w.t += w.delay()
	rep := Reply{Nonce: s.Nonce, Epoch: w.epoch, T2: w.master.read(w.t)}
	if w.r.IntN(3) == 0 {
		w.t += w.delay() // processing
	}
	rep.T3 = w.master.read(w.t)
	if w.r.IntN(60) == 0 {
		w.suspend() // with the reply on its way
	}
	w.t += w.delay()
	s.Received = time.Duration(w.mono.read(w.t))
	lie := w.r.IntN(40) == 0
	if lie {
		w.lie(&rep)
	}
	s.Reply = rep
	w.t += w.r.Int64N(10_000)
	knew := w.core.agreed > 0 && w.core.epoch == w.epoch
	err := w.core.Add(w.local(), s)
	w.note("sample rtt %v: %v, state %v", s.RTT(), err, w.core.state())
	if lie && err == nil && knew {
		return errors.New("a lie was believed")
	}
	if rep.Nonce == s.Nonce && rep.Epoch == w.epoch && !errors.Is(err, ErrSpan) && s.check(w.core.rho) == nil {
		w.stale = false
	}
	return nil
}

// lie makes a reply false, by more than any round trip could hide.
func (w *world) lie(rep *Reply) {
	by := int64(2*3600e9) + w.r.Int64N(1e15)
	kind := w.r.IntN(6)
	w.note("lie %d by %d", kind, by)
	switch kind {
	case 0:
		rep.T2, rep.T3 = rep.T2+by, rep.T3+by
	case 1:
		rep.T2, rep.T3 = rep.T2-by, rep.T3-by
	case 2:
		rep.T3 = rep.T2 - 1
	case 3:
		rep.T2 -= by
	case 4:
		rep.Nonce++
	case 5:
		rep.T2, rep.T3 = -by, -by+10
	}
}

// look reads the clock in every way and compares with the truth.
func (w *world) look() error {
	now := w.local()
	truth := time.Unix(0, w.master.read(w.t))
	lo, hi, err := w.core.Interval(now)
	st := w.core.State(now)
	if (err == nil) != (st == Synced || st == Holdover) {
		return fmt.Errorf("state %v, but error %v", st, err)
	}
	if err != nil {
		if !errors.Is(err, ErrUnsynced) && !errors.Is(err, ErrDisrupted) {
			return fmt.Errorf("error of no kind: %v", err)
		}
		return nil
	}
	w.reads++
	mid, unc, _ := w.core.Now(now)
	mono, monoUnc, _ := w.core.Reading(now)
	if mono.Before(w.high) {
		return fmt.Errorf("the monotone reading went back by %v", w.high.Sub(mono))
	}
	w.high = mono
	if hi.Before(lo) {
		return fmt.Errorf("earliest %v after latest %v", lo, hi)
	}
	if w.stale {
		return nil
	}
	if truth.Before(lo) || truth.After(hi) {
		return fmt.Errorf("truth %d outside [%d, %d]", truth.UnixNano(), lo.UnixNano(), hi.UnixNano())
	}
	if truth.Sub(mid).Abs() > unc || truth.Sub(mono).Abs() > monoUnc {
		return fmt.Errorf("truth %v; now %v ± %v, reading %v ± %v", truth, mid, unc, mono, monoUnc)
	}
	return nil
}

// run lives through a few dozen events.
func (w *world) run() error {
	for range 40 {
		switch p := w.r.IntN(100); {
		case p < 55:
			if err := w.exchange(); err != nil {
				return err
			}
		case p < 80:
			w.t += w.r.Int64N(int64(1000) << w.r.IntN(27))
		case p < 90:
			w.master.setRate(w.t, w.rate())
			w.mono.setRate(w.t, w.rate())
		case p < 93:
			w.suspend()
		case p < 96:
			w.wall += w.r.Int64N(2e13) - 1e13
			w.note("wall clock stepped")
		}
		if err := w.look(); err != nil {
			return err
		}
	}
	return nil
}

// TestTruthInside lives through seeded worlds that keep the assumptions: skews of years,
// drift up to the allowance, delays of every kind, suspends, steps, restarts and lies.
// MR_CLOCK_CASES sets how many; the long form is 1,000,000.
func TestTruthInside(t *testing.T) {
	cases := uint64(20_000)
	if raceEnabled {
		cases = 2_000
	}
	if s := os.Getenv("MR_CLOCK_CASES"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		cases = n
	}
	reads, alarms := 0, 0
	for seed := range cases {
		w := newWorld(seed)
		if err := w.run(); err != nil {
			for _, line := range w.log {
				t.Log(line)
			}
			t.Fatalf("seed %d at %d: %v", seed, w.t, err)
		}
		reads += w.reads
		alarms += w.core.past.alarms
	}
	t.Logf("a row for bench/RESULTS.md:\n| %d simulated cases | %d readings, all inside | %d alarms |", cases, reads, alarms)
	if reads < int(cases) || alarms < int(cases)/10 {
		t.Errorf("too little happened: %d readings, %d alarms in %d worlds", reads, alarms, cases)
	}
}

// TestViolationsFlagged breaks the assumptions in ways that samples can show, and
// wants an alarm before the clock is trusted again.
func TestViolationsFlagged(t *testing.T) {
	for _, tc := range []struct {
		name  string
		wreck func(w *world)
	}{
		{"the master steps in the same epoch", func(w *world) { w.master.step(int64(time.Minute)) }},
		{"the master steps back in the same epoch", func(w *world) { w.master.step(-int64(time.Minute)) }},
		{"the local clock stops unseen, as in a paused virtual machine", func(w *world) { w.mono.freeze(w.t, w.t+60e9); w.t += 60e9 }},
		{"the local clock runs 1 % fast for a minute", func(w *world) { w.mono.setRate(w.t, 10_000_000); w.t += 60e9; w.mono.setRate(w.t, 0) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(1)
			w.delay = func() int64 { return 50_000 }
			quiet := func() error { return w.ask() }
			for range 8 {
				if err := quiet(); err != nil && err != ErrWarmup {
					t.Fatal(err)
				}
			}
			if st := w.core.State(w.local()); st != Synced {
				t.Fatalf("state %v", st)
			}
			tc.wreck(w)
			if err := quiet(); err != ErrConflict {
				t.Fatalf("the sample after it: %v; want a conflict", err)
			}
			if w.core.o.Confirm > 1 {
				if _, _, err := w.core.Now(w.local()); !errors.Is(err, ErrDisrupted) {
					t.Errorf("Now: %v; want disrupted", err)
				}
			}
			for range 8 {
				quiet()
			}
			if err := w.look(); err != nil {
				t.Error(err)
			}
			if r := w.core.Report(w.local()); r.State != Synced || r.Alarms != 1 || r.LastAlarm == "" {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// ask makes an exchange in which nothing goes wrong.
func (w *world) ask() error {
	s := Sample{Sent: time.Duration(w.mono.read(w.t)), Nonce: 7, Conn: w.conn}
	w.t += w.delay()
	now := w.master.read(w.t)
	w.t += w.delay()
	s.Received = time.Duration(w.mono.read(w.t))
	s.Reply = Reply{Nonce: 7, Epoch: w.epoch, T2: now, T3: now}
	return w.core.Add(w.local(), s)
}

// TestSimulationBites runs the same worlds with a core that allows for less drift than
// there is: a simulation that can't find that would prove nothing.
func TestSimulationBites(t *testing.T) {
	for seed := range uint64(2000) {
		w := newWorld(seed)
		w.core.rho = drift(25)
		if w.run() != nil {
			return
		}
	}
	t.Error("half the drift allowance went unnoticed")
}
