package store_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/mrd-io/mr/store"
)

// Whoever has sealed a run reads it before its commit, and goes on reading whatever is
// decided; nobody else finds it.
func TestSealedRunsAreReadByTheirMaker(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 200_000} { // in the catalog, in a volume
		s := open(t, t.TempDir(), store.Options{})
		data := blocks(7, 3, size)
		for _, decide := range []func(store.RunID){func(id store.RunID) { commit(t, s, id) }, s.DropRun} {
			id := seal(t, s, data)
			r, err := s.OpenSealed(id)
			if err != nil {
				t.Fatal(err)
			}
			decide(id)
			if err := s.Update(func(tx *store.Tx) error {
				if !tx.HasRun(id) {
					return nil
				}
				return tx.DeleteRun(id)
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.GC(context.Background()); err != nil {
				t.Fatal(err)
			}
			for i := range data {
				if b, err := r.ReadBlock(i, nil); err != nil || !bytes.Equal(b, data[i]) {
					t.Errorf("block %d: %d bytes, %v", i, len(b), err)
				}
			}
			r.Close()
			if _, err := s.OpenSealed(id); !errors.Is(err, store.ErrNoRun) {
				t.Errorf("a run that was decided about opens as sealed: %v", err)
			}
		}
	}
}
