package local

import (
	"errors"
	"path/filepath"
	"slices"
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

// Where the records of outputs are damaged, in the catalog itself, what they stand for is computed again,
// and recorded anew.
func TestDamagedRecordsOfOutputsCostTimeOnly(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	noise(t, in, 1, 4<<10)
	spec := mr.Spec{Job: "sort", Inputs: []string{in}, Output: filepath.Join(dir, "first"), SplitSize: 64 << 10, Reducers: 2}
	tasks := runJob(t, n, spec)
	want := output(t, spec.Output)
	err := n.Store().Update(func(tx *store.Tx) error {
		records := map[string][]byte{}
		err := tx.Scan(store.Outputs, nil, func(k, v []byte) error {
			v = slices.Clone(v)
			v[len(records)%len(v)] ^= 4
			records[string(k)] = v
			return nil
		})
		for k, v := range records {
			err = errors.Join(err, tx.Put(store.Outputs, []byte(k), v))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	spec.Output = filepath.Join(dir, "second")
	foreseen, err := n.Jobs().DryRun(t.Context(), spec)
	if err != nil || len(foreseen.Rows) == 0 {
		t.Errorf("foreseen: %+v, %v", foreseen.Rows, err)
	}
	s := runJob(t, n, spec)
	if s.Map.Run != tasks.Map.Tasks || s.Reduce.Run != tasks.Reduce.Tasks || output(t, spec.Output) != want {
		t.Errorf("%+v, %+v; is the output the same: %t", s.Map, s.Reduce, output(t, spec.Output) == want)
	}
	if len(s.Warnings) > 0 { // nothing came out different
		t.Errorf("warnings: %q", s.Warnings)
	}
	x, err := n.Jobs().Explain(t.Context(), s.Job, "")
	if err != nil || len(x.Rows) == 0 {
		t.Fatalf("%+v, %v", x.Rows, err)
	}
	if _, err := n.Jobs().(mr.Cache).CacheVerify(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := n.Jobs().(mr.Cache).CacheGC(t.Context(), mr.CacheGC{Limit: 1 << 40}); err != nil {
		t.Error(err)
	}
	spec.Output = filepath.Join(dir, "third")
	if s := runJob(t, n, spec); s.Map.Cached != s.Map.Tasks || s.Reduce.Cached != s.Reduce.Tasks || output(t, spec.Output) != want {
		t.Errorf("afterwards: %+v, %+v", s.Map, s.Reduce)
	}
}
