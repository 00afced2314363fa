package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

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

// An epoch that is lost, as by a wrong bit or with a catalog that was put back by hand, is none that runs on
// record are of: no run gets the id of another.
func TestEpochIsBeyondThoseOfRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	want := blocksOf('r', 2, 100)
	var ids []store.RunID
	for range 3 {
		s := openUnchecked(t, dir, store.Options{})
		ids = append(ids, write(t, s, want))
		closeStore(t, s)
		db, err := bolt.Open(filepath.Join(dir, "catalog.db"), 0, nil)
		if err == nil {
			err = db.Update(func(b *bolt.Tx) error { return b.Bucket([]byte("store")).Put([]byte("epoch"), make([]byte, 8)) })
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	s := openUnchecked(t, dir, store.Options{})
	defer closeStore(t, s)
	for _, id := range ids {
		mustRead(t, s, id, want)
	}
}
