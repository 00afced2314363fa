package worker

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRemotePartBegunAnew: an attempt that finds on the way that its part can't be made of an earlier one
// begins it anew, under the same name.
func TestRemotePartBegunAnew(t *testing.T) {
	c := newCounter(t)
	path := filepath.Join(t.TempDir(), "_temporary", "job", "part")
	c.held[7] = path
	for i := range 200 {
		f, err := c.remote.Parts().Create(7, path)
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		if _, err := f.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		f.Discard()
		if _, err := os.Lstat(path); err == nil {
			t.Fatalf("part %d is there after it was discarded", i)
		}
	}
}

// TestStreamsAreOpenedByAndBy: many runs that are sealed in one moment have all their streams, and few are
// being opened at a time.
func TestStreamsAreOpenedByAndBy(t *testing.T) {
	c := newCounter(t)
	c.remote.Close()
	var now, most atomic.Int32
	dial := c.remote.dial
	r := NewRemote(16, func() (net.Conn, error) {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		return dial()
	})
	defer r.Close()
	var held sync.WaitGroup
	streams := make([]*stream, 100)
	for i := range streams {
		held.Go(func() {
			var err error
			if streams[i], err = r.take(); err != nil {
				t.Error(err)
			}
		})
	}
	held.Wait()
	if n := most.Load(); n > maxDials {
		t.Errorf("%d streams were being opened at a time", n)
	}
	for _, s := range streams {
		s.give(false)
	}
}

// Streams that nobody uses any more end, also if none is asked for again.
func TestIdleStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		r := NewRemote(4, func() (net.Conn, error) {
			open.Add(1)
			here, there := net.Pipe()
			go func() {
				io.Copy(io.Discard, there) //nolint:errcheck // to its end
				open.Add(-1)
			}()
			return here, nil
		})
		defer r.Close()
		var held []*stream
		for range 10 {
			s, err := r.take()
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, s)
		}
		for _, s := range held[1:] {
			s.give(false)
			time.Sleep(time.Second)
		}
		time.Sleep(idleStream - 5500*time.Millisecond)
		synctest.Wait()
		if n := open.Load(); n != 6 {
			t.Errorf("%d streams are open, and should be the last five that were used and the one in use", n)
		}
		time.Sleep(idleStream)
		held[0].give(false)
		synctest.Wait()
		if n := open.Load(); n != 1 {
			t.Errorf("%d streams are open, and should be one", n)
		}
		time.Sleep(idleStream)
		synctest.Wait()
		if n := open.Load(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
}
