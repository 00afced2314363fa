package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/rpc"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// startEngine runs an engine over a store of its own until ctx ends. ended waits for Run's end.
func startEngine(t *testing.T, ctx context.Context) (e *Engine, ended func()) {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })           //nolint:errcheck // the test is over
	err = s.Update(func(tx *store.Tx) error { // nothing is pruned beside the test
		b, err := time.Now().MarshalBinary()
		return errors.Join(err, tx.Put(store.Meta, []byte(prunedKey), b))
	})
	if err != nil {
		t.Fatal(err)
	}
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

// Workers join and go while others are asked for: who asks gets one that is there, also if
// there was none at first.
func TestAnyWorker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	running, stop := context.WithCancel(t.Context())
	e, ended := startEngine(t, running)
	defer func() { stop(); ended() }()

	never, giveUp := context.WithTimeout(ctx, 10*time.Millisecond)
	defer giveUp()
	if _, err := e.anyWorker(never); !errors.Is(err, mr.ErrInterrupted) {
		t.Errorf("without a worker: %v", err)
	}
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for range 500 {
				if _, err := e.anyWorker(ctx); err != nil {
					t.Errorf("asked for a worker: %v", err)
					return
				}
			}
		})
	}
	join := func() (c *rpc.Client, id int) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() }) //nolint:errcheck // the test is over
		c = rpc.NewClient(ours)
		id, err := e.Join(ctx, c, Member{Name: "w", Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c, id
	}
	for range 200 {
		_, first := join()
		second, id := join()
		if err := e.Lost(ctx, first, errors.New("gone")); err != nil {
			t.Fatal(err)
		}
		if c, err := e.anyWorker(ctx); err != nil || c != second {
			t.Fatalf("asked for a worker where one has gone: another (%v)", err)
		}
		if err := e.Lost(ctx, id, errors.New("gone")); err != nil {
			t.Fatal(err)
		}
	}
	join()
	asking.Wait()
}
