package clock

import "time"

// Options configure a Core or a Clock; the zero value is a good one.
type Options struct {
	Drift         float64       // how far one clock's rate may be off, ppm; 0: 50
	Confirm       int           // samples in a row that must agree before the clock is Synced, at least 2; 0: 3
	MaxRTT        time.Duration // a slower exchange tells too little; 0: 10 s
	HoldoverAfter time.Duration // without a good sample; 0: 10 s
	MaxBound      time.Duration // a clock less certain than this is Unsynced; 0: 1 s

	// For Clock.Run.
	Interval time.Duration // between bursts; 0: 100 ms, at which ageing adds at most 10 µs
	Burst    int           // exchanges in a burst; 0: 4
	Timeout  time.Duration // of one exchange; 0: 2 s
}

func (o Options) withDefaults() Options {
	if o.Drift <= 0 {
		o.Drift = 50
	}
	if o.Confirm < 2 { // one sample alone may be the lie
		o.Confirm = 3
	}
	if o.Burst <= 0 {
		o.Burst = 4
	}
	for _, d := range []struct {
		v  *time.Duration
		to time.Duration
	}{
		{&o.MaxRTT, 10 * time.Second}, {&o.HoldoverAfter, 10 * time.Second}, {&o.MaxBound, time.Second},
		{&o.Interval, 100 * time.Millisecond}, {&o.Timeout, 2 * time.Second},
	} {
		if *d.v <= 0 {
			*d.v = d.to
		}
	}
	return o
}
