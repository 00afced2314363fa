package local

import (
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// Where the catalog says that an output's run is another one, that run is not read in its place, sound
// as it is: both maps run again.
func TestAnotherRunIsNotTheOutput(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	noise(t, a, 1, 2<<10)
	noise(t, b, 2, 2<<10)
	spec := mr.Spec{Job: "sort", Inputs: []string{a, b}, Output: filepath.Join(dir, "both"), SplitSize: 64 << 10, Reducers: 2}
	runJob(t, n, spec)
	want := output(t, spec.Output)
	err := n.Store().Update(func(tx *store.Tx) error {
		var maps []*lineage.Output
		err := lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			if o.Kind == plan.Map && len(maps) < 2 {
				maps = append(maps, o)
			}
			return nil
		})
		if err != nil || len(maps) < 2 {
			t.Fatalf("%d map outputs, %v", len(maps), err)
		}
		maps[0].Made.Run = maps[1].Made.Run
		return lineage.PutOutput(tx, maps[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	spec.Output, spec.Reducers = filepath.Join(dir, "again"), 3
	if s := runJob(t, n, spec); s.State != mr.Succeeded || s.Map.Recomputed != 2 || output(t, spec.Output) != want {
		t.Errorf("%s %s, %d map outputs made again; is the output the same: %t", s.State, s.Error, s.Map.Recomputed, output(t, spec.Output) == want)
	}
}
