// Package storetest verifies stores in tests.
package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/mrd-io/mr/store"
)

// CheckOnCleanup verifies the whole store in dir when the test and the cleanups registered
// after this call have ended. Call it before the store is opened; the store must be
// closed by then.
func CheckOnCleanup(t testing.TB, dir string) {
	t.Helper()
	t.Cleanup(func() {
		t.Helper()
		s, err := store.Open(dir, store.Options{ReadOnly: true})
		if err != nil {
			t.Errorf("open to check: %v", err)
			return
		}
		if err := s.Check(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Bloat puts n MiB of records into the catalog of the store in dir, which it makes if there is none, and
// takes them out again. The store must not be open.
func Bloat(t testing.TB, dir string, n int) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	key := func(i, j int) []byte { return fmt.Appendf(nil, "bloat/%04d/%04d", i, j) }
	const records = 256 // of 4 KiB
	record := make([]byte, 4<<10)
	for i := range n {
		err := s.Update(func(tx *store.Tx) error {
			for j := range records {
				if err := tx.Put(store.Logs, key(i, j), record); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		err := s.Update(func(tx *store.Tx) error {
			for j := range records {
				if err := tx.Delete(store.Logs, key(i, j)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
