package worker

import (
	"context"
	"testing"
	"time"
)

// An attempt costs the time for which it had a core, and not that for which it waited for one.
func TestWaitingForACoreCostsNothing(t *testing.T) {
	s := New(Options{Cores: 1})
	first, second := &attempt{ctx: t.Context()}, &attempt{ctx: t.Context()}
	rest, err := s.compute(first)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Time)
	go func() {
		rest, err := s.compute(second)
		if err != nil {
			t.Error(err)
		} else {
			rest()
			rest() // once is enough
		}
		ended <- time.Now()
	}()
	const held = 50 * time.Millisecond
	time.Sleep(held)
	given := time.Now()
	rest()
	atMost := (<-ended).Sub(given)
	if got := time.Duration(first.computed.Load()); got < held {
		t.Errorf("who had the core for more than %v is charged %v", held, got)
	}
	if got := time.Duration(second.computed.Load()); got > atMost {
		t.Errorf("who had it for at most %v is charged %v", atMost, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.cores <- struct{}{}
	if _, err := s.compute(&attempt{ctx: ctx}); err == nil {
		t.Error("an attempt whose context is over has a core")
	}
}
