package engine

import (
	"context"
	"errors"
	"math"
	"net"
	"net/rpc"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// beating is a worker that counts how often it is asked for a sign of life.
type beating struct{ n *atomic.Int32 }

// Beat is what the engine calls.
func (b beating) Beat(*plan.Beat, *plan.Alive) error {
	b.n.Add(1)
	return nil
}

// A worker goes while the store has no room. What becomes of its work is decided when there is room again, and
// who gives up what nobody has claimed waits for that. Until then workers are asked for signs of life.
func TestWorkersWhileThereIsNoRoom(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	running, stop := context.WithCancel(t.Context())
	e, ended := startEngine(t, running)
	defer func() { stop(); ended() }()
	join := func(name string) (asked *atomic.Int32, id int) {
		ours, theirs := net.Pipe()
		asked, srv := new(atomic.Int32), rpc.NewServer()
		if err := srv.RegisterName("Worker", beating{asked}); err != nil {
			t.Fatal(err)
		}
		go srv.ServeConn(theirs)
		id, err := e.Join(ctx, rpc.NewClient(ours), Member{Name: name, Slots: 1, Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return asked, id
	}
	_, gone := join("gone")
	asked, _ := join("there")
	before := asked.Load()
	var paused atomic.Bool
	lost := make(chan error, 1)
	e.requests <- func(l *loop) { // as where a turn's records find no room
		paused.Store(true)
		go func() { lost <- e.Lost(ctx, gone, errors.New("gone")) }()
		for range 20 {
			l.pause(20*time.Millisecond, syscall.ENOSPC) //nolint:errcheck // it ends with its time
		}
		paused.Store(false)
		l.unpause()
	}
	if err := <-lost; err != nil || paused.Load() {
		t.Errorf("the worker's end is settled while nothing can be recorded, %v", err)
	}
	there := true
	if err := e.request(ctx, func(l *loop) { there = l.core.workers[workerID(gone)] != nil }); err != nil || there {
		t.Errorf("it is on the books still, %v", err)
	}
	if n := asked.Load() - before; n < 3 {
		t.Errorf("the other worker was asked for %d signs of life", n)
	}
}

// Workers have room for no more tasks, all together, than can be answered at one moment: an answer that finds no
// room is lost, and its attempt would never end.
func TestTooManySlots(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	join := func(slots int) error {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() }) //nolint:errcheck // a pipe
		_, err := e.Join(ctx, rpc.NewClient(ours), Member{Name: "w", Slots: slots, Lease: time.Minute})
		return err
	}
	for _, slots := range []int{math.MaxInt, cap(e.replies)} {
		if err := join(slots); !errors.Is(err, mr.ErrRefused) {
			t.Errorf("one with room for %d tasks: %v", slots, err)
		}
	}
	if err := join(cap(e.replies) / 2); err != nil {
		t.Error(err)
	}
	if err := join(cap(e.replies) / 2); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("the second: %v", err)
	}
	if err := join(240); err != nil {
		t.Error(err)
	}
}
