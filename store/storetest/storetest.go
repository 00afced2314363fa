// Package storetest verifies stores in tests.
package storetest

import (
	"context"
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
