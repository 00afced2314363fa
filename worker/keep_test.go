package worker

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// madeRuns remembers what it has created.
type madeRuns struct {
	memoryRuns
	made []*memoryRun
}

func (m *madeRuns) Create() RunSink {
	r := &memoryRun{m: &m.memoryRuns}
	m.made = append(m.made, r)
	return r
}

// A part that will be too large to be kept is not written to the store for long, and one that
// will not is kept, also if it begins with many keys.
func TestKeptPartsAreGivenUpEarly(t *testing.T) {
	const records, runCount = 60_000, 6
	for _, c := range []struct {
		name   string
		single float64 // share of each run's records, from its first on, whose keys no other run has
		kept   bool
	}{
		{"every key once", 1, false},
		{"every key in all runs", 0, true},
		{"many keys at first", .06, true},
	} {
		runs := &madeRuns{}
		s := New(Options{Runs: runs, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
		f := &fold{t: t, s: s, program: plan.Program{Job: "counts"}}
		var w plan.Work
		var raw int64
		for i := range runCount {
			counts := map[string]int64{}
			for k := range records {
				n, mine := k, 0
				if float64(k) < c.single*records {
					mine = i + 1
				}
				r := rand.New(rand.NewPCG(uint64(n), uint64(mine)))
				key := fmt.Sprintf("%06d %d %016x%016x", n, mine, r.Uint64(), r.Uint64())
				counts[key] = 1
				raw += int64(len(key) + 1)
			}
			w.Runs = append(w.Runs, putCounts(t, &runs.memoryRuns, counts))
		}
		w.KeepMost = raw / 2
		part, res := f.reduce(w)
		var written int64
		for _, r := range runs.made {
			for _, b := range r.blobs {
				written += int64(len(b))
			}
		}
		if kept := res.Made.Run != 0; kept != c.kept {
			t.Errorf("%s: kept is %v; a part of %d bytes from %d", c.name, kept, len(part), raw)
		}
		if !c.kept && written > raw/6 {
			t.Errorf("%s: %d bytes of %d were written to the store before it was given up", c.name, written, len(part))
		}
	}
}
