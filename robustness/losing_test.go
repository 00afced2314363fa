package robustness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// TestStorageThatKeepsNothing runs a job on a store that loses every map output as soon as it
// is read: the job fails, and says why, instead of computing for ever.
func TestStorageThatKeepsNothing(t *testing.T) {
	t.Parallel()
	c := newCorpus(t, 13, 2, 300<<10)
	dir := t.TempDir()
	d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=store/run-opened=error:EIO"}})
	cl := d.client()
	spec := mr.Spec{Job: "sort", Inputs: []string{c.dir}, Output: filepath.Join(dir, "out"), Reducers: 2}
	s := wait(t, cl, submit(t, cl, "lost", spec))
	for _, says := range []string{"m-00000: storage has lost its output 4 times", "damaged); check the disk"} {
		if !strings.Contains(s.Error, says) {
			t.Errorf("the job is %s, and its error does not say %q: %s", s.State, says, s.Error)
		}
	}
	if s.Map.Recomputed != 4*s.Map.Tasks || s.Map.Failed != 0 || s.Map.Tasks != 1 {
		t.Errorf("%+v", s.Map)
	}
	d.alive()
	if _, err := os.Lstat(spec.Output); !os.IsNotExist(err) {
		t.Errorf("the failed job leaves its output folder: %v", err)
	}
}
