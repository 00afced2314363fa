package local

import (
	"errors"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// A node that can't be opened, since the engine can't read what is on record, leaves nothing running.
func TestFailedOpenLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := s.Update(func(tx *store.Tx) error { return tx.Put(store.Jobs, []byte("job"), []byte("{")) })
	if err := errors.Join(put, s.Close()); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range 10 {
		if _, err := Open(dir, Options{Workers: 1}); mr.KindOf(err) != mr.Damaged {
			t.Fatalf("opened with a bad record: %v", err)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
