package store_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/mrd-io/mr/store"
)

// TestDamagedRunRecord holds that a run whose record in the catalog is damaged is lost, and that
// volumes are collected all the same: the one that it may have been in, too.
func TestDamagedRunRecord(t *testing.T) {
	for name, collect := range map[string]func(s *store.Store) (int64, error){
		"gc":      func(s *store.Store) (int64, error) { return s.GC(t.Context()) },
		"reclaim": func(s *store.Store) (int64, error) { return s.Reclaim(t.Context(), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openUnchecked(t, dir, store.Options{VolumeCap: 1})
			var ids []store.RunID
			for range 3 {
				ids = append(ids, write(t, s, blocks(1, 2, 150_000)))
			}
			deleteRuns(t, s, ids[1])
			closeStore(t, s)
			db, err := bolt.Open(filepath.Join(dir, "catalog.db"), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = db.Update(func(tx *bolt.Tx) error {
				runs := tx.Bucket([]byte(store.Runs))
				k, v := runs.Cursor().First()
				k, v = bytes.Clone(k), bytes.Clone(v)
				v[5] ^= 4
				return runs.Put(k, v)
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			s = openUnchecked(t, dir, store.Options{VolumeCap: 1})
			if freed, err := collect(s); freed == 0 || err != nil || volumeFiles(t, s) != 1 {
				t.Errorf("%d bytes were freed, and %d volumes are left; %v", freed, volumeFiles(t, s), err)
			}
			if _, err := s.OpenRun(ids[0]); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("the run with the damaged record opens with %v", err)
			}
			mustRead(t, s, ids[2], blocks(1, 2, 150_000))
		})
	}
}
