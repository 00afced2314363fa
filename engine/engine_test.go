package engine

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr/store"
)

// startEngine runs an engine over a store of its own until ctx ends. ended waits for Run's end.
func startEngine(t *testing.T, ctx context.Context) (e *Engine, ended func()) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the test is over
	e = New(Options{Store: s, Logger: slog.New(slog.DiscardHandler)})
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	return e, func() {
		t.Helper()
		select {
		case err := <-ran:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the engine does not stop")
		}
	}
}

// An engine stops though more has come for its loop, from beside it, than is read any more.
func TestStopsWithMuchToBeRead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e, ended := startEngine(t, ctx)
	err := e.request(ctx, func(*loop) {
		for range 2 * cap(e.events) { // jobs whose planning ends with the engine
			e.spawn(func() {
				<-e.ctx.Done()
				e.post(evPlanFailed{job: "job", err: e.ctx.Err().Error()})
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ended()
}

// An engine whose store has no room stops when its context ends, as it does when it is drained.
func TestStopsWithoutRoom(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e, ended := startEngine(t, ctx)
	paused := make(chan error, 1)
	e.requests <- func(l *loop) {
		cancel()
		paused <- l.pause(time.Hour, syscall.ENOSPC)
	}
	ended()
	if err := <-paused; !errors.Is(err, errDraining) {
		t.Errorf("the pause ended with %v", err)
	}
}
