package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

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
