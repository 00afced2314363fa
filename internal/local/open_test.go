package local

import (
	"errors"
	"os"
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

// A folder that is no store, and has what a store would clear or write over, is left as it is.
func TestStoreInAFolderOfAnother(t *testing.T) {
	for path, fine := range map[string]bool{
		"tmp/notes": false, "bin/import-photos": false, "tmp": false, "src/main.go": true, "lost+found/x": true, "lock": false,
	} {
		const text = "somebody's\n"
		dir := t.TempDir()
		file := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it may be a store
			n, err := Open(dir, Options{Workers: 1, CacheSize: -1})
			if fine != (err == nil) || !fine && !errors.Is(err, mr.ErrRefused) {
				t.Errorf("a folder with %s: %v", path, err)
			}
			if err == nil {
				if err := n.Close(t.Context()); err != nil {
					t.Error(err)
				}
			} else if entries, _ := os.ReadDir(dir); len(entries) > 1 {
				t.Errorf("a folder with %s has %d entries", path, len(entries))
			}
			if left, err := os.ReadFile(file); err != nil || string(left) != text {
				t.Errorf("%s is %q: %v", path, left, err)
			}
		}
	}
}
