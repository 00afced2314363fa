package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// A binary that was named since it was chosen to go, as by a job that is just being submitted, stays.
func TestBinaryThatIsNamedMeanwhileStays(t *testing.T) {
	e, s, now := pruning(t, Options{})
	bin := filepath.Join(s.Dir(), "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		path, used := filepath.Join(bin, mr.Digest{byte(i)}.String()), now.Add(-time.Hour)
		if err := os.WriteFile(path, []byte("a binary"), 0o500); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	gone, _, err := e.spareBinaries(0)
	if err != nil || len(gone) != 2 {
		t.Fatalf("%v, %v", gone, err)
	}
	if err := os.Chtimes(gone[0].path, now, now); err != nil {
		t.Fatal(err)
	}
	for i, b := range gone {
		removed, err := b.remove()
		if err != nil || removed != (i == 1) || exists(b.path) != (i == 0) {
			t.Errorf("binary %d: removed %v, there %v; %v", i, removed, exists(b.path), err)
		}
	}
}

// What a dry run says would go beside the binaries that stay is what goes.
func TestDryRunLeavesBinariesTheirShare(t *testing.T) {
	e, s, now := pruning(t, Options{})
	err := s.Update(func(tx *store.Tx) error {
		o := &lineage.Output{Key: mr.Digest{1}, Made: plan.Made{Run: smallRun(t, s)}, Created: now}
		return errors.Join(tx.CommitRun(store.RunID(o.Made.Run)), lineage.PutOutput(tx, o))
	})
	bin := filepath.Join(s.Dir(), "bin")
	limit := s.DiskBytes() // within it but for the binary
	if err == nil {
		err = errors.Join(os.Mkdir(bin, 0o700), os.WriteFile(filepath.Join(bin, mr.Digest{1}.String()), make([]byte, limit/20), 0o500))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		if f, err := e.CacheGC(t.Context(), mr.CacheGC{Limit: limit, DryRun: dry}); err != nil || f.Outputs != 1 || f.Binaries != 0 {
			t.Errorf("dry %v: %+v, %v", dry, f, err)
		}
	}
}
