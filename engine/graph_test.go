package engine

import (
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// Lineage is told while the catalog outgrows its address space: who reads runs in a transaction waits for
// the writer, and the writer for that transaction.
func TestLineageWhileTheCatalogGrows(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{CatalogMap: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r := &record{ID: newJobID(now), State: mr.Succeeded, Submitted: now, Ended: now, Spec: mr.Spec{Output: filepath.Join(t.TempDir(), "out")}}
	r.Traits.Reduce, r.Reduce.Tasks = true, 1
	err = s.Update(func(tx *store.Tx) error {
		for i := range 100 { // their runs have gone, which to find out takes as long
			if err := lineage.PutTask(tx, r.ID, plan.Map, i, &lineage.Task{State: lineage.TaskDone, Made: plan.Made{Run: uint64(i + 1)}}); err != nil {
				return err
			}
		}
		if err := lineage.PutTask(tx, r.ID, plan.Reduce, 0, &lineage.Task{State: lineage.TaskDone}); err != nil {
			return err
		}
		return putJob(tx, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	told, stop := make(chan error, 1), make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				told <- nil
				return
			default:
			}
			if g, err := (Catalog{s}).Lineage(t.Context(), r.Spec.Output, -1); err != nil || len(g.Nodes) < 100 {
				told <- err
				return
			}
		}
	}()
	grown := make(chan error, 1)
	go func() {
		var err error
		for i := uint64(0); i < 100 && err == nil; i++ {
			err = s.Update(func(tx *store.Tx) error {
				return tx.Put(store.Meta, binary.BigEndian.AppendUint64(nil, i), make([]byte, 64<<10))
			})
		}
		grown <- err
	}()
	select {
	case err = <-grown:
	case <-time.After(20 * time.Second): // and the store can't be closed
		t.Fatal("the catalog does not grow while lineage is told")
	}
	close(stop)
	if told := <-told; told != nil || err != nil {
		t.Errorf("%v, %v", told, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
