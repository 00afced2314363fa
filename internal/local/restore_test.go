package local

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// A record that can't be read is damage: that is said when the store is opened, and the
// snapshot takes the catalog's place.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	for table, value := range map[store.Table]string{store.Jobs: "{", store.Outputs: "\x01"} {
		t.Run(string(table), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			s, err := store.Open(dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			put := func(tx *store.Tx) error { return tx.Put(table, []byte("job_x"), []byte(value)) }
			if err := errors.Join(s.Snapshot(0), s.Update(put), s.Close()); err != nil {
				t.Fatal(err)
			}
			if n, err := Open(dir, Options{Workers: 1}); err == nil {
				n.Close(t.Context()) //nolint:errcheck // outputs are read when they are needed
				if table == store.Jobs {
					t.Error("a store with a damaged job is opened")
				}
			} else if mr.KindOf(err) != mr.Damaged || !strings.Contains(err.Error(), "mrctl store restore") {
				t.Errorf("kind %d: %v", mr.KindOf(err), err)
			}
			if _, err := Restore(dir, false, time.Now()); err != nil {
				t.Fatal(err)
			}
			n, err := Open(dir, Options{Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := Restore(dir, false, time.Now()); mr.KindOf(err) != mr.Refused {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// A snapshot with the damage that its catalog has is nothing but older, and a catalog with records of a later
// version is not damaged: both stay.
func TestRestoreGainsSomething(t *testing.T) {
	t.Parallel()
	sum := func(b []byte) []byte {
		return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	}
	for name, c := range map[string]struct {
		record     []byte // of an output
		inSnapshot bool
		kind       mr.Kind
		why        string
	}{
		"the same damage":    {record: []byte("no record"), inSnapshot: true, kind: mr.Damaged, why: "too"},
		"of a later version": {record: sum([]byte{9}), kind: mr.Refused, why: "--force"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "store")
			s, err := store.Open(dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			put := func(key string, b []byte) error {
				return s.Update(func(tx *store.Tx) error { return tx.Put(store.Outputs, []byte(key), b) })
			}
			if c.inSnapshot {
				err = put("old", c.record)
			}
			err = errors.Join(err, s.Snapshot(0), put("new", c.record), s.Close())
			if err != nil {
				t.Fatal(err)
			}
			_, err = Restore(dir, false, time.Now())
			if mr.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.why) {
				t.Errorf("kind %d: %v", mr.KindOf(err), err)
			}
			if s, err = store.Open(dir, store.Options{}); err != nil {
				t.Fatal(err)
			}
			err = s.View(func(tx *store.Tx) error {
				if tx.Get(store.Outputs, []byte("new")) == nil {
					t.Error("the catalog was replaced")
				}
				return nil
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Error(err)
			}
			if _, err := Restore(dir, true, time.Now()); err != nil {
				t.Errorf("by force: %v", err)
			}
		})
	}
}
