package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// BenchmarkPatch makes a part of 500,000 lines of an earlier one, of which one in 30 changes.
func BenchmarkPatch(b *testing.B) {
	runs := &memoryRuns{}
	s := New(Options{Runs: runs, TempDir: b.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
	all, gone, added := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for i := range 500_000 {
		key := fmt.Sprintf("word%x", i*2654435761%1_000_000_007)
		if all[key] = int64(i%90 + 2); i%30 == 0 {
			gone[key], added[key] = 1, 2
		}
	}
	n, dir := 0, b.TempDir()
	reduce := func(w plan.Work) *plan.Result {
		n++
		w.Kind, w.Program, w.Attempt, w.Memory = plan.Reduce, plan.Program{Job: "counts"}, plan.Attempt(n), 1<<30
		w.OutputFormat, w.Part, w.KeepMost = FormatText, filepath.Join(dir, "part"), 1<<30
		res := &plan.Result{}
		if err := s.RunTask(&w, res); err != nil || res.Failure.Kind != plan.NoFailure {
			b.Fatalf("%v, %+v", err, res.Failure)
		}
		if err := os.Remove(w.Part); err != nil {
			b.Fatal(err)
		}
		return res
	}
	base := reduce(plan.Work{Runs: []uint64{putCounts(b, runs, all)}})
	w := plan.Work{Patch: plan.Patch{
		Base: base.Made.Run, Totals: "1 bytes", Records: base.Made.Records, Positive: base.Positive,
		Minus: []uint64{putCounts(b, runs, gone)}, Plus: []uint64{putCounts(b, runs, added)},
	}}
	had := len(runs.runs)
	b.SetBytes(base.Made.Raw)
	for b.Loop() {
		if res := reduce(w); !res.Patched {
			b.Fatal("the part was not made of the earlier one")
		}
		runs.runs = runs.runs[:had] // without what it has kept
	}
}
