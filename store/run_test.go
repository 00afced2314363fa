package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr/store"
)

// TestBigBlocks writes blocks of 70 MiB, in a volume whose cap is less.
func TestBigBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := store.Options{VolumeCap: 16 << 20}
	s := open(t, dir, o)
	data := [][]byte{bytes.Repeat([]byte("big block "), 7<<20), []byte("small"), bytes.Repeat([]byte("another "), 1<<16)}
	id := write(t, s, data)
	mustRead(t, s, id, data)
	closeStore(t, s)
	mustRead(t, openUnchecked(t, dir, o), id, data)
}

func TestInlineRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ limit, size, volumes int }{
		{0, 16 << 10, 0}, {0, 16<<10 + 1, 1}, {100, 100, 0}, {100, 101, 1}, {-1, 1, 1},
	} {
		dir := t.TempDir()
		s := open(t, dir, store.Options{InlineLimit: c.limit})
		data := [][]byte{nil, bytes.Repeat([]byte{1}, c.size/2), bytes.Repeat([]byte{2}, c.size-c.size/2)}
		id := write(t, s, data)
		if st := s.Stats(); len(st.Volumes) != c.volumes || st.InlineRuns != 1-c.volumes || st.RunBytes != int64(c.size) {
			t.Errorf("%+v: %+v", c, st)
		}
		closeStore(t, s)
		mustRead(t, openUnchecked(t, dir, store.Options{}), id, data)
	}
}

// What was read for the last time can be read again all the same.
func TestLastRead(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 100_000, 3 << 20} {
		s := open(t, t.TempDir(), store.Options{})
		data, other := blocks(1, 12, size), blocks(2, 12, size)
		id, next := write(t, s, data), write(t, s, other)
		for range 2 {
			r, err := s.OpenRun(id)
			if err != nil {
				t.Fatal(err)
			}
			r.LastRead()
			for _, i := range []int{0, 1, 2, 7, 8, 3, 11} {
				if b, err := r.ReadBlock(i, nil); err != nil || !bytes.Equal(b, data[i]) {
					t.Errorf("block %d of %d bytes: %d, %v", i, size, len(b), err)
				}
			}
			r.Close()
			mustRead(t, s, id, data)
			mustRead(t, s, next, other)
		}
	}
}

func TestUncommittedRuns(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := open(t, t.TempDir(), store.Options{})
			data := blocks(1, 30, size)
			w := s.CreateRun()
			for _, b := range data {
				if err := w.WriteBlock(b); err != nil {
					t.Fatal(err)
				}
			}
			try := func() error { return s.Update(func(tx *store.Tx) error { return tx.CommitRun(w.ID()) }) }
			if err := try(); !errors.Is(err, store.ErrNoRun) {
				t.Errorf("commit before seal: %v", err)
			}
			id, err := w.Seal(context.Background())
			if err != nil || id != w.ID() {
				t.Fatal(id, err)
			}
			if err := w.WriteBlock(nil); err == nil {
				t.Error("a block was taken after Seal")
			}
			if _, err := w.Seal(context.Background()); err == nil {
				t.Error("sealed twice")
			}
			// A commit that is rolled back leaves the run sealed.
			stop := errors.New("stop")
			err = s.Update(func(tx *store.Tx) error { return errors.Join(tx.CommitRun(id), stop) })
			if !errors.Is(err, stop) {
				t.Errorf("rolled back with %v", err)
			}
			if _, err := s.OpenRun(id); !errors.Is(err, store.ErrNoRun) {
				t.Errorf("rolled back, and opens with %v", err)
			}
			if err := try(); err != nil {
				t.Fatal(err)
			}
			w.Discard() // too late
			mustRead(t, s, id, data)
			committed := id
			if err := try(); !errors.Is(err, store.ErrNoRun) {
				t.Errorf("second commit: %v", err)
			}
			twice := seal(t, s, data)
			err = s.Update(func(tx *store.Tx) error {
				if err := tx.CommitRun(twice); err != nil {
					return err
				}
				return tx.CommitRun(twice)
			})
			if err == nil {
				t.Error("committed twice in one transaction")
			}
			w = s.CreateRun()
			if err := w.WriteBlock(data[0]); err != nil {
				t.Fatal(err)
			}
			if id, err = w.Seal(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.Discard()
			w.Discard()
			if err := try(); !errors.Is(err, store.ErrNoRun) {
				t.Errorf("commit after Discard: %v", err)
			}
			dropped := seal(t, s, data)
			s.DropRun(dropped)
			s.DropRun(dropped)
			s.DropRun(twice + 1000)
			err = s.Update(func(tx *store.Tx) error { return tx.CommitRun(dropped) })
			if !errors.Is(err, store.ErrNoRun) {
				t.Errorf("commit after DropRun: %v", err)
			}
			s.DropRun(committed)
			mustRead(t, s, committed, data)
		})
	}
}

func TestRunSurvivesDeletionForItsReader(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	data := blocks(1, 5, 50_000)
	id := write(t, s, data)
	r, err := s.OpenRun(id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	deleteRuns(t, s, id)
	if _, err := s.OpenRun(id); !errors.Is(err, store.ErrNoRun) {
		t.Errorf("opens with %v", err)
	}
	if b, err := r.ReadBlock(4, nil); err != nil || !bytes.Equal(b, data[4]) {
		t.Errorf("read: %v", err)
	}
	for _, i := range []int{-1, 5} {
		if _, err := r.ReadBlock(i, nil); err == nil {
			t.Errorf("block %d was read", i)
		}
	}
	r.Close()
	r.Close()
	if _, err := r.ReadBlock(0, nil); err == nil {
		t.Error("read after Close")
	}
}

func TestClosedStore(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	data := blocks(1, 30, 100_000)
	id := write(t, s, data)
	r, err := s.OpenRun(id)
	if err != nil {
		t.Fatal(err)
	}
	w := s.CreateRun()
	closeStore(t, s)
	if b, err := r.ReadBlock(3, nil); err != nil || !bytes.Equal(b, data[3]) {
		t.Errorf("an open reader: %v", err)
	}
	r.Close()
	err = nil
	for _, b := range data {
		if err == nil {
			err = w.WriteBlock(b)
		}
	}
	if err == nil {
		_, err = w.Seal(context.Background())
	}
	if err == nil {
		t.Error("a run was sealed in a closed store")
	}
	w.Discard()
	if _, err := s.OpenRun(id); !errors.Is(err, store.ErrClosed) {
		t.Errorf("open: %v", err)
	}
}

func TestSealGivesUpWithItsContext(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		w := s.CreateRun()
		if err := w.WriteBlock(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if id, err := w.Seal(ctx); err != nil {
			if !errors.Is(err, context.Canceled) || id != 0 {
				t.Fatal(id, err)
			}
			w.Discard()
			return
		}
		w.Discard()
	}
	t.Error("Seal never looked at its context")
}

// TestEverythingAtOnce has writers, readers and transactions at work together.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, store.Options{VolumeCap: 4 << 20})
	const writers, each = 6, 12
	var mu sync.Mutex
	done := make(map[store.RunID]uint64)
	shape := func(seed uint64) [][]byte { return blocks(seed, 1+int(seed%5), int(seed%7)*30_000+1) }
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := range each {
				seed := uint64(g*100 + i)
				id, err := writeRun(s, shape(seed))
				if err != nil {
					t.Error(err)
					return
				}
				if err := readRun(s, id, shape(seed)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				done[id] = seed
				mu.Unlock()
			}
		})
		wg.Go(func() {
			for range each {
				mu.Lock()
				some := make(map[store.RunID]uint64)
				for id, seed := range done {
					if some[id] = seed; len(some) > 3 {
						break
					}
				}
				mu.Unlock()
				for id, seed := range some {
					if err := readRun(s, id, shape(seed)); err != nil {
						t.Error(err)
					}
				}
				if st := s.Stats(); st.Runs < len(some) {
					t.Errorf("%d runs on record, %d seen", st.Runs, len(some))
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	if err := s.Check(context.Background()); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
	s = openUnchecked(t, dir, store.Options{})
	for id, seed := range done {
		mustRead(t, s, id, shape(seed))
	}
	if len(done) != writers*each {
		t.Errorf("%d runs have distinct ids", len(done))
	}
}
