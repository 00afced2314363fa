package robustness

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// result is what the tests read of mrctl's --json.
type result struct {
	State    string   `json:"state"`
	Warnings []string `json:"warnings"`
	Map      struct{ Tasks, Cached, Run, Recomputed int }
	Reduce   struct{ Tasks, Cached, Run int }
	Merge    struct{ Nodes, Cached, Run int }
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

// TestIndeterminateCodeIsNotShared: the first use of new code executes one map task and
// one reduce task twice, unless that runs none of it. Code that makes other records is named, and its outputs are not
// used again; code that makes the same records in another order is. The job itself is
// consistent whatever its code does.
func TestIndeterminateCodeIsNotShared(t *testing.T) {
	c := newCorpus(t, 3, 2, 300<<10)
	for _, test := range []struct {
		job          string // below testdata
		maps, parts  string // what its stages turn out to be
		mapsAreNamed bool   // the stage that is not deterministic
	}{
		{"dice", "indeterminate", "", true}, // nothing of the author's reduces
		{"clock", "indeterminate", "", true},
		{"shuffled", "unordered", "deterministic", true},
		{"draw", "deterministic", "indeterminate", false},
		{"jumble", "deterministic", "unordered", false},
		{"../../examples/wordcount", "deterministic", "deterministic", false},
		{"../../bench/jobs/wordcount", "deterministic", "", false},
	} {
		t.Run(filepath.Base(test.job), func(t *testing.T) {
			st := filepath.Join(t.TempDir(), "store")
			pkg, err := filepath.Abs(filepath.Join("testdata", test.job))
			if err != nil {
				t.Fatal(err)
			}
			out := func(name string) string { return filepath.Join(filepath.Dir(st), name) }
			first := runJSON(t, st, pkg, "--input", c.dir, "--split-size", "64KiB", "--output", out("o1"))
			log, _ := mrctl(t, st, "logs", "last")
			for phase, want := range map[string]string{"m": test.maps, "r": test.parts} {
				tried := regexp.MustCompile(phase + "-.*executed once more: (.*)").FindStringSubmatch(log)
				if len(tried) == 0 && want != "" || len(tried) > 0 && tried[1] != want {
					t.Errorf("a task %s- is to be executed once more and come out %q; the log says\n%s", phase, want, log)
				}
			}
			second := runJSON(t, st, pkg, "--input", c.dir, "--split-size", "64KiB", "--output", out("o2"))
			if first.State != "SUCCEEDED" || second.State != "SUCCEEDED" {
				t.Fatalf("%+v, %+v", first, second)
			}
			shared := test.maps != "indeterminate"
			if (second.Map.Run == 0) != shared {
				t.Errorf("of the second job's %d maps %d ran", second.Map.Tasks, second.Map.Run)
			}
			if shared && (second.Reduce.Run == 0) != (test.parts != "indeterminate") {
				t.Errorf("of the second job's %d reduces %d ran", second.Reduce.Tasks, second.Reduce.Run)
			}
			bad := !shared || test.parts == "indeterminate"
			if why, _ := mrctl(t, st, "explain", "last"); strings.Contains(why, "indeterminate: ") != bad {
				t.Errorf("explain says\n%s", why)
			}
			lineage, _ := mrctl(t, st, "lineage", out("o2"), "--json")
			for _, v := range []string{"indeterminate", "unordered"} {
				if strings.Contains(lineage, ", "+v) != (test.maps == v || test.parts == v) {
					t.Errorf("lineage does not tell %s as it is:\n%s", v, lineage)
				}
			}
			if warned := len(first.Warnings) > 0; warned != bad || bad && !strings.Contains(first.Warnings[0], "a "+map[bool]string{true: "map", false: "reduce"}[test.mapsAreNamed]+" task") {
				t.Errorf("warnings: %q", first.Warnings)
			}
			mrctl(t, st, "verify", out("o1"))
			mrctl(t, st, "verify", out("o2"))
		})
	}
}

// TestIndeterminateNodesAreNotShared: what a combiner made that differs each time is no more read
// from an inner node than from a part, in jobs after the one that found it out.
func TestIndeterminateNodesAreNotShared(t *testing.T) {
	dir := t.TempDir()
	in, st := filepath.Join(dir, "in"), filepath.Join(dir, "store")
	pkg, err := filepath.Abs(filepath.Join("testdata", "stamped"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for i := range 8000 { // no word twice in a split: maps fold nothing, and are deterministic
		text.WriteString("word" + strconv.Itoa(i%400) + "\n")
	}
	for round := range 3 {
		if err := os.WriteFile(in, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		text.WriteString("another" + strconv.Itoa(round) + "\n")
		r := runJSON(t, st, pkg, "--input", in, "--split-size", "2KiB", "--incremental", "--output", filepath.Join(dir, strconv.Itoa(round)))
		switch {
		case round == 0 && (r.Merge.Run == 0 || len(r.Warnings) == 0):
			t.Fatalf("the first job is to keep nodes, and to warn: %+v", r)
		case round > 0 && r.Map.Cached == 0:
			t.Errorf("maps were not shared: %+v", r)
		case round > 0 && (r.Merge.Cached > 0 || r.Merge.Run > 0):
			t.Errorf("job %d has read or kept nodes of indeterminate code: %+v", round, r)
		}
	}
}

// TestJobsAtOnceKeepWhatTheyMayNotShare: jobs of the same code over the same input, at the same
// time, make their map outputs each by itself where they may not share them, and none takes those
// of another away.
func TestJobsAtOnceKeepWhatTheyMayNotShare(t *testing.T) {
	c := newCorpus(t, 3, 2, 300<<10)
	pkg, err := filepath.Abs(filepath.Join("testdata", "dice"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	st := filepath.Join(dir, "store")
	startDaemon(t, st).client()
	var ids []string
	for i := range 3 {
		out, _ := mrctl(t, st, "submit", "--quiet", pkg, "--input", c.dir, "--split-size", "16KiB", "--output", filepath.Join(dir, strconv.Itoa(i)))
		ids = append(ids, strings.TrimSpace(out))
	}
	for _, id := range ids {
		out, _ := mrctl(t, st, "wait", "--json", "--quiet", id)
		var r result
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.State != "SUCCEEDED" || r.Map.Run != r.Map.Tasks || r.Map.Recomputed != 0 {
			t.Errorf("job %s: %+v, %v", id, r, err)
		}
	}
}
