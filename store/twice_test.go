package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr/store"
)

// A snapshot that is restored twice leads to epochs of its own each time: what was written after
// the first time is in the volumes still, under places that no run may get again.
func TestRestoredTwice(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Snapshot(0), s.Close()); err != nil {
		t.Fatal(err)
	}
	var last uint64
	var taken time.Time
	for _, blocks := range []int{20, 3} {
		r, err := store.Restore(dir, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !taken.IsZero() && !r.Taken.Equal(taken) {
			t.Errorf("the snapshot of %s is said to be of %s", taken, r.Taken)
		}
		taken = r.Taken
		if s, err = store.Open(dir, store.Options{}); err != nil {
			t.Fatal(err)
		}
		if s.Epoch() <= last {
			t.Errorf("epoch %d comes after %d", s.Epoch(), last)
		}
		last = s.Epoch()
		want := blocksOf('r', blocks, 100_000)
		id, err := writeRun(s, want)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(readRun(s, id, want), s.Check(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	}
}
