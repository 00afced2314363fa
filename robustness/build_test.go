package robustness

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// build makes the programs once for all tests of the process, with failpoints.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mr-robustness-*")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some daemons run as another user
		return "", err
	}
	for _, args := range [][]string{
		{"-tags", "failpoint", "-o", dir, "../cmd/mrd", "../cmd/mrctl"},
		{"-o", filepath.Join(dir, "job"), "../examples/wordcount"},
		{"-o", filepath.Join(dir, "odd"), "./testdata/odd"},
	} {
		if out, err := exec.Command("go", append([]string{"build"}, args...)...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	// These tests wait for other processes more than they compute.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	code := m.Run()
	if dir, err := build(); err == nil {
		os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	}
	os.Exit(code)
}

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// failpoints are the names of all places in the source.
func failpoints(t *testing.T) (names []string) {
	t.Helper()
	call := regexp.MustCompile(`failpoint\.Hit\("([^"]+)"\)`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range call.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if all := slices.Compact(slices.Clone(names)); len(all) != len(names) || len(all) == 0 {
		t.Fatalf("places are not named apart: %q", names)
	}
	return names
}

// TestReleaseHasNoFailpoints holds that nothing of them is in what users run.
func TestReleaseHasNoFailpoints(t *testing.T) {
	t.Parallel()
	release := filepath.Join(t.TempDir(), "mrd")
	if out, err := exec.Command("go", "build", "-o", release, "../cmd/mrd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	released, err := os.ReadFile(release)
	if err != nil {
		t.Fatal(err)
	}
	tagged, err := os.ReadFile(program(t, "mrd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(failpoints(t), "MR_FAILPOINTS") {
		if bytes.Contains(released, []byte(name)) {
			t.Errorf("the released mrd contains %q", name)
		}
		if !bytes.Contains(tagged, []byte(name)) { // else the search itself finds nothing
			t.Errorf("the build with failpoints does not contain %q", name)
		}
	}
}
