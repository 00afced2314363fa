package worker

import (
	"context"
	"testing"
	"time"

	"github.com/mrd-io/mr/plan"
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

// An order that arrives after its Abandon is not carried out, however many attempts were abandoned
// before that had answered already.
func TestAbandonedBeforeItBegins(t *testing.T) {
	s := New(Options{})
	for id := range plan.Attempt(3 * maxGone) {
		if err := s.Abandon(id, nil); err != nil {
			t.Fatal(err)
		}
		if len(s.gone) > maxGone {
			t.Fatalf("%d attempts are remembered", len(s.gone))
		}
	}
	res := &plan.Result{}
	if err := s.RunTask(&plan.Work{Attempt: 3*maxGone - 1}, res); err != nil || res.Failure.Kind != plan.Cancelled {
		t.Errorf("%v, %+v", err, res.Failure)
	}
}
