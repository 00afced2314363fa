package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// What is to be changed in a snapshot is changed before it is anybody's catalog, and with it or not at all.
func TestRestoreMends(t *testing.T) {
	t.Parallel()
	dir, path := restorable(t)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	mends := 0
	mend := func(tx *store.Tx, taken time.Time) error {
		mends++
		if now, err := os.Stat(path); err != nil || !os.SameFile(now, before) {
			t.Errorf("the catalog is replaced already (%v)", err)
		}
		if s, err := store.Open(dir, store.Options{LockWait: time.Millisecond}); err == nil {
			t.Error("others get in meanwhile")
			closeStore(t, s)
		}
		if time.Since(taken).Abs() > time.Minute {
			t.Errorf("a snapshot of %s", taken)
		}
		return tx.Put(store.Meta, []byte("mended"), []byte("v"))
	}
	_, err = store.Restore(dir, true, func(tx *store.Tx, taken time.Time) error {
		if err := mend(tx, taken); err != nil {
			return err
		}
		return mr.Errorf(mr.Damaged, "no record can be read")
	})
	if mr.KindOf(err) != mr.Damaged || !since(t, dir) {
		t.Errorf("what can't be mended: %v", err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	if _, err = store.Restore(dir, true, mend); err != nil || since(t, dir) || mends != 2 {
		t.Errorf("%d times: %v", mends, err)
	}
	s := openUnchecked(t, dir, store.Options{})
	defer closeStore(t, s)
	err = s.View(func(tx *store.Tx) error {
		if tx.Get(store.Meta, []byte("mended")) == nil {
			t.Error("it was not mended")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A catalog that somebody has open is not replaced, not by force either, and not where the lock of the store is gone.
func TestRestoreLeavesWhatIsOpen(t *testing.T) {
	t.Parallel()
	dir, path := restorable(t)
	s := openUnchecked(t, dir, store.Options{})
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	for _, force := range []bool{false, true} {
		if _, err := store.Restore(dir, force, nil); mr.KindOf(err) != mr.Unreachable || strings.Contains(err.Error(), "--force") {
			t.Errorf("force %v: %v", force, err)
		}
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	closeStore(t, s)
	if _, err := store.Restore(dir, true, nil); err != nil || since(t, dir) {
		t.Errorf("when it is closed: %v", err)
	}
}
