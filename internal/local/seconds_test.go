package local

import (
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
)

// The steps of a phase are parts of it; a job that runs nothing has spent nothing on them.
func TestSecondsSayWhereTheTimeWent(t *testing.T) {
	dir := t.TempDir()
	n := openBounded(t, filepath.Join(dir, "store"), 0)
	noise(t, filepath.Join(dir, "in"), 1, 40<<10)
	run := func(job, out string) mr.Status {
		return runJob(t, n, mr.Spec{Job: job, Inputs: []string{filepath.Join(dir, "in")}, SplitSize: 128 << 10, Reducers: 2, Output: filepath.Join(dir, out)})
	}
	for _, job := range []string{"sort", "wordcount"} { // two ways of merging
		s := run(job, job).Seconds
		for name, steps := range map[string][3]float64{"map": {s.Map, s.Read, s.Sort}, "reduce": {s.Reduce, s.Merge, s.Output}} {
			if steps[1] <= 0 || steps[2] <= 0 || steps[1]+steps[2] > steps[0]*1.000001 {
				t.Errorf("%s: %s took %v s, its steps %v and %v", job, name, steps[0], steps[1], steps[2])
			}
		}
	}
	s := run("sort", "again")
	if s.Reduce.Run == 0 && (s.Seconds.Merge != 0 || s.Seconds.Sort != 0) {
		t.Errorf("nothing ran: %+v", s.Seconds)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
