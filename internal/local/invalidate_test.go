package local

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// A part that was invalidated is made anew, also where the output to be replaced still has its
// file: whether the store has a copy, has evicted it, or has neither run nor copy to forget.
func TestInvalidatedPartsAreNotLinked(t *testing.T) {
	for _, evicted := range []bool{false, true} {
		for _, invalidated := range []bool{false, true} {
			t.Run(fmt.Sprintf("evicted=%t,invalidated=%t", evicted, invalidated), func(t *testing.T) {
				dir := t.TempDir()
				n := openBounded(t, filepath.Join(dir, "store"), 0)
				defer n.Close(t.Context()) //nolint:errcheck // the test is over
				cache := n.Jobs().(mr.Cache)
				in := filepath.Join(dir, "in")
				want := noise(t, in, 1, 4<<10)
				spec := mr.Spec{Job: "sort", Inputs: []string{in}, Output: filepath.Join(dir, "out"), Overwrite: true}
				runJob(t, n, spec)
				if evicted {
					if f, err := cache.CacheGC(t.Context(), mr.CacheGC{Limit: 1}); err != nil || f.Outputs != 2 {
						t.Fatalf("%+v, %v", f, err)
					}
				}
				reuse, why := 1, "the output was on record"
				if invalidated {
					reuse, why = 0, "invalidated "
					if _, err := cache.CacheInvalidate(t.Context(), "sort"); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 { // what is made anew may be used again
					s := runJob(t, n, spec)
					if s.State != mr.Succeeded || s.Reduce.Cached != reuse || output(t, spec.Output) != want {
						t.Errorf("%s %s: %d of %d parts used again, want %d", s.State, s.Error, s.Reduce.Cached, s.Reduce.Tasks, reuse)
					}
					x, err := n.Jobs().Explain(t.Context(), s.Job, "")
					if err != nil || !strings.HasPrefix(x.Rows[len(x.Rows)-1].Reason, why) {
						t.Errorf("%+v, %v", x.Rows, err)
					}
					reuse, why = 1, "the output was on record"
				}
			})
		}
	}
}
