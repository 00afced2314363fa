package robustness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestSameLineAgain kills an mrctl run, which is its own engine, at each step of publishing its
// output. The same line, typed again, then does what it says, over an input that has grown since.
func TestSameLineAgain(t *testing.T) {
	t.Parallel()
	for _, at := range []string{
		"engine/publish-part=kill@1", "engine/publish-part=kill@2", "engine/publish-manifest=kill", "engine/publish-success=kill",
		"engine/published=kill", "engine/clean-up=kill", "engine/before-committed=kill",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
			run := func(text, failpoints string) error {
				t.Helper()
				if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(program(t, "mrctl"), "run", "sort", "--input", in, "--output", out, "--reducers", "2")
				cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "MR_STORE=" + filepath.Join(dir, "store"), "MR_FAILPOINTS=" + failpoints}
				if said, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("%w\n%s", err, said)
				}
				return nil
			}
			if err := run("b\na\n", at); err == nil {
				t.Fatal("it was not killed")
			}
			if err := run("b\na\nc\n", ""); err != nil {
				t.Fatal(err)
			}
			got, others := parts(t, out)
			slices.Sort(others)
			if want := []string{"_SUCCESS", "_manifest.json"}; !bytes.Equal(got, []byte("a\nb\nc\n")) || !slices.Equal(others, want) {
				t.Errorf("the output is %q, beside %q", got, others)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
				t.Errorf("%q is left (%v)", left, err)
			}
			checkStore(t, filepath.Join(dir, "store"))
		})
	}
}
