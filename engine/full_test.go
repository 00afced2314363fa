package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// TestFullDiskIsToldOnce has a disk be full for hours: each second an attempt finds that out, under a name
// of its own, and the job's record does not grow by it.
func TestFullDiskIsToldOnce(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	l := &New(Options{Store: s, Logger: slog.New(slog.DiscardHandler)}).loop
	j := &job{rec: record{ID: "job"}}
	l.adopt(j)
	for i := range 1000 {
		l.fail(j, &flight{
			task:   taskID{"job", plan.Kind(i % 2), 0},
			result: plan.Result{Failure: plan.Failure{Kind: plan.NoSpace, Message: fmt.Sprintf("writing part.%d: no space left on device", i)}},
		})
	}
	if len(j.rec.Warnings) != 2 || len(j.lines) != 2 {
		t.Errorf("there are %d warnings and %d lines in the log", len(j.rec.Warnings), len(j.lines))
	}
}

// living is a worker that counts how often it is asked for a sign of life.
type living struct{ asked atomic.Int64 }

func (w *living) Beat(*plan.Beat, *plan.Alive) error {
	w.asked.Add(1)
	return nil
}

// A joined worker hears from an engine whose store has no room, for as long as that lasts: one that hears
// nothing for long leaves, and what it computes is lost.
func TestWorkersHearOfAPausedEngine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	ours, theirs := net.Pipe()
	s, worker := rpc.NewServer(), &living{}
	if err := s.RegisterName("Worker", worker); err != nil {
		t.Fatal(err)
	}
	go s.ServeConn(theirs)
	if _, err := e.Join(ctx, rpc.NewClient(ours), Member{Name: "w", Slots: 1, Lease: time.Minute}); err != nil {
		t.Fatal(err)
	}
	err := e.request(ctx, func(l *loop) {
		before := worker.asked.Load()
		for range 10 {
			if err := l.pause(50*time.Millisecond, syscall.ENOSPC); err != nil {
				t.Error(err)
			}
		}
		if n := worker.asked.Load() - before; n < 5 {
			t.Errorf("in ten pauses it is asked %d times", n)
		}
		l.unpause()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Who tells the engine that a worker is lost goes on when what the worker has answered is on record, also if
// there is no room for that yet: then the runs that it has sealed are given up, but for those of these answers.
func TestLostWhileThereIsNoRoom(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	ours, theirs := net.Pipe()
	go io.Copy(io.Discard, theirs) //nolint:errcheck // it ends with the test
	id, err := e.Join(ctx, rpc.NewClient(ours), Member{Name: "w", Slots: 1, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan error, 1)
	early := false
	err = e.request(ctx, func(l *loop) {
		go func() { lost <- e.Lost(ctx, id, errors.New("gone")) }()
		for range 4 {
			if err := l.pause(50*time.Millisecond, syscall.ENOSPC); err != nil {
				t.Error(err)
			}
		}
		early = len(lost) > 0
		l.unpause()
	})
	if err = errors.Join(err, <-lost); err != nil || early {
		t.Errorf("before there was room: %t; %v", early, err)
	}
}
