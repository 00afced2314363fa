package robustness

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
)

// TestRedoneWork kills a daemon when half of a phase is done: what was in flight is all that
// is done again. Nothing comes from the outputs on record of other jobs, which would hide
// a task that is not taken up.
func TestRedoneWork(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for name, half := range map[string]func(mr.Status) bool{
		"maps":    func(s mr.Status) bool { return 2*s.Map.Run > s.Map.Tasks },
		"reduces": func(s mr.Status) bool { return s.Reduce.Tasks > 0 && 2*s.Reduce.Run > s.Reduce.Tasks },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=worker/split-read=sleep:20ms;worker/part-made=sleep:20ms"}}
			d := start(t, l)
			cl := d.client()
			spec := mr.Spec{Job: "sort", Inputs: []string{c.dir}, Output: filepath.Join(dir, "out"), SplitSize: 256 << 10, Reducers: 16, NoCache: true}
			id := submit(t, cl, "redone", spec)
			until(t, cl, id, "half of the "+name, half)
			d.kill()
			d = start(t, l)
			s := succeed(t, d.client(), id)
			if got, _ := parts(t, spec.Output); !bytes.Equal(got, c.want["sort"]) {
				t.Error("the output differs")
			}
			for _, p := range []mr.PhaseStatus{s.Map, s.Reduce} {
				if p.Run != p.Tasks || p.Tasks < 12 || p.Attempts > p.Tasks+p.Speculative+inFlight {
					t.Errorf("%d attempts and %d twins for %d tasks, of which %d ran", p.Attempts, p.Speculative, p.Tasks, p.Run)
				}
			}
		})
	}
}
