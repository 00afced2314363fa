package worker

import (
	"testing"
	"time"
)

// TestSilenceIsCountedInTicks: a child hangs when as many ticks as make a silence have come and
// no frame, and not before.
func TestSilenceIsCountedInTicks(t *testing.T) {
	for _, frames := range []bool{false, true} {
		var v vitals
		tick, stop, hangs := make(chan time.Time), make(chan struct{}), make(chan bool, 1)
		go func() { hangs <- v.hangs(tick, stop) }()
		for range ticksPerSilence - 1 {
			tick <- time.Time{}
		}
		if frames {
			v.beat()
			for range ticksPerSilence - 1 {
				tick <- time.Time{}
			}
			v.ourTurn.Add(1) // however long that takes
			for range 3 * ticksPerSilence {
				tick <- time.Time{}
			}
			close(stop)
		} else {
			tick <- time.Time{}
		}
		if <-hangs == frames {
			t.Errorf("frames %t: hangs %t", frames, !frames)
		}
	}
}
