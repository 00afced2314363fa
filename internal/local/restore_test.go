package local

import (
	"errors"
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
