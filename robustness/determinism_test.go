package robustness

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// result is what the tests read of mrctl's --json.
type result struct {
	State    string   `json:"state"`
	Warnings []string `json:"warnings"`
	Map      struct{ Tasks, Cached, Run int }
}

// mrctl runs the program on a store and returns what it prints.
func mrctl(t *testing.T, store string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(program(t, "mrctl"), append([]string{"--store", store}, args...)...)
	var out, msg strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		t.Fatalf("mrctl %s: %v\n%s", strings.Join(args, " "), err, msg.String())
	}
	return out.String(), msg.String()
}

func runJSON(t *testing.T, store string, args ...string) (r result) {
	t.Helper()
	out, _ := mrctl(t, store, append([]string{"run", "--json", "--quiet"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return r
}

// TestIndeterminateCodeIsNotShared: the first use of new code executes one task twice.
// Code that makes other records is named, and its outputs are not used again; code that
// makes the same records in another order is.
func TestIndeterminateCodeIsNotShared(t *testing.T) {
	c := newCorpus(t, 3, 2, 300<<10)
	for _, test := range []struct {
		job    string // below testdata
		shared bool
		log    string
	}{
		{"dice", false, "indeterminate"},
		{"shuffled", true, "unordered"},
		{"../../examples/wordcount", true, "deterministic"},
	} {
		t.Run(filepath.Base(test.job), func(t *testing.T) {
			st := filepath.Join(t.TempDir(), "store")
			pkg, err := filepath.Abs(filepath.Join("testdata", test.job))
			if err != nil {
				t.Fatal(err)
			}
			out := func(name string) string { return filepath.Join(filepath.Dir(st), name) }
			first := runJSON(t, st, pkg, "--input", c.dir, "--split-size", "64KiB", "--output", out("o1"))
			if log, _ := mrctl(t, st, "logs", "last"); !strings.Contains(log, "executed once more: "+test.log) {
				t.Errorf("the log does not tell of a trial that came out %s:\n%s", test.log, log)
			}
			second := runJSON(t, st, pkg, "--input", c.dir, "--split-size", "64KiB", "--output", out("o2"))
			if first.State != "SUCCEEDED" || second.State != "SUCCEEDED" {
				t.Fatalf("%+v, %+v", first, second)
			}
			if shared := second.Map.Run == 0; shared != test.shared {
				t.Errorf("of the second job's %d maps %d ran", second.Map.Tasks, second.Map.Run)
			}
			if why, _ := mrctl(t, st, "explain", "last"); strings.Contains(why, "indeterminate: ") == test.shared {
				t.Errorf("explain says\n%s", why)
			}
			if warned := len(first.Warnings) > 0; warned == test.shared {
				t.Errorf("warnings: %q", first.Warnings)
			}
			if _, err := os.Stat(filepath.Join(out("o2"), "_SUCCESS")); err != nil {
				t.Error(err)
			}
		})
	}
}
