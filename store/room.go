package store

import (
	"sync/atomic"
	"time"
)

// room is a bound on what the store takes, kept by somebody who deletes runs and calls
// Reclaim. It only slows writers down: nothing is ever refused for it.
type room struct {
	bound   atomic.Int64 // 0: none
	overrun atomic.Bool
	grown   chan struct{} // holds a token when volumes have grown since it was taken
}

const (
	roomPoll = 5 * time.Millisecond
	roomWait = 2 * time.Second // then the keeper is slower than the disk, or gone
)

// Bound makes writers of runs wait for a moment while the store takes more than so many
// bytes, so that whoever frees room keeps up with them. 0: they don't wait.
func (s *Store) Bound(bytes int64) { s.room.bound.Store(bytes) }

// Overrun says that the bound can't be kept for now: writers would wait in vain.
func (s *Store) Overrun(on bool) { s.room.overrun.Store(on) }

// Grown receives when volumes have grown, whatever becomes of what was put there.
func (s *Store) Grown() <-chan struct{} { return s.room.grown }

func (r *room) grow() {
	select {
	case r.grown <- struct{}{}:
	default:
	}
}

// waitForRoom is where a writer waits.
func (s *Store) waitForRoom() {
	for begun := time.Now(); s.isFull(); {
		if time.Since(begun) > roomWait {
			s.Overrun(true)
		}
		time.Sleep(roomPoll)
	}
}

func (s *Store) isFull() bool {
	bound := s.room.bound.Load()
	if bound <= 0 || s.room.overrun.Load() {
		return false
	}
	n := s.DiskBytes()
	for _, l := range s.lanes {
		n += int64(l.waiting())
	}
	return n > bound
}
