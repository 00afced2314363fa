package clock

import (
	"testing"
	"time"
)

// TestOffsetBoundHasThePairing: where the wall clock was read at another moment than the monotonic one, as by a
// thread that was stopped in between, the offset to it is off by that much, and its bound says so.
func TestOffsetBoundHasThePairing(t *testing.T) {
	const wall, apart = 1_700_000_000 * time.Second, 5 * time.Millisecond
	c := NewCore(Options{})
	at := func(mono time.Duration) Local { return Local{Mono: mono, Wall: wall + mono, Boot: mono + 1} }
	mono := time.Second
	for i := range 8 { // the master's clock is this machine's
		sent, received := mono, mono+20*time.Microsecond
		there := int64(wall + sent + 10*time.Microsecond)
		s := Sample{Sent: sent, Received: received, Conn: 1, Nonce: uint64(i), Reply: Reply{Nonce: uint64(i), Epoch: 7, T2: there, T3: there}}
		if err := c.Add(at(received), s); err != nil && err != ErrWarmup {
			t.Fatal(err)
		}
		mono += 100 * time.Millisecond
	}
	odd := at(mono)
	odd.Wall -= apart // read before
	odd.Pair = apart
	if r := c.Report(odd); r.Offset.Abs() > r.Bound {
		t.Errorf("the offset is 0, and said to be %v within %v", r.Offset, r.Bound)
	}
	if r := c.Report(at(mono)); r.Offset.Abs() > r.Bound || r.Bound > time.Millisecond {
		t.Errorf("the offset is 0, and said to be %v within %v", r.Offset, r.Bound)
	}
	l := newLocalReader().read()
	if l.Pair <= 0 || l.Pair > time.Second {
		t.Errorf("two readings are up to %v apart", l.Pair)
	}
}
