package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// A file whose times don't vouch for it, since they were too young when it was read, has not been touched.
func TestForeseenYoungFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string) {
		if err := os.WriteFile(filepath.Join(in, name), []byte(name+" b\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	jobs := 0
	spec := func(split int64, args ...string) mr.Spec {
		jobs++
		return mr.Spec{Job: "wordcount", Args: args, Inputs: []string{in}, SplitSize: split, Output: filepath.Join(dir, fmt.Sprint("o", jobs))}
	}
	settle := func() { time.Sleep(2100 * time.Millisecond) }
	foreseen := func(s mr.Spec, want string) {
		t.Helper()
		x, err := n.Jobs().DryRun(t.Context(), s)
		if err != nil || len(x.Rows) != 1 || x.Rows[0].Reason != want {
			t.Errorf("%+v, %v, want %q", x.Rows, err, want)
		}
	}
	const first = ": read and digested first, then looked up"
	write("a")
	write("b")
	runJob(t, n, spec(0))
	foreseen(spec(0), "files have changed within two seconds, or have times to come"+first)
	settle()
	foreseen(spec(0), "files had just changed when they were last read"+first)
	foreseen(spec(0, "--letters"), "parameter --letters: false → true; files had just changed when they were last read"+first)
	runJob(t, n, spec(0)) // which reads them, and hits
	foreseen(spec(0), "the output is on record")
	write("c")
	foreseen(spec(0), "other files are packed together"+first)
	if err := os.Remove(filepath.Join(in, "c")); err != nil {
		t.Fatal(err)
	}
	write("b")
	foreseen(spec(0), "files were touched"+first)
	runJob(t, n, spec(0)) // reads them too early, and hits: the output is older than b
	settle()
	foreseen(spec(0), "files had just changed when they were last read"+first)
}

// Of several things that changed the code or a parameter is named, and files that are only cut elsewhere
// have not been touched.
func TestForeseenCutAndCode(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte(strings.Repeat("a b c\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, SplitSize: 400, Output: filepath.Join(dir, "o1")}
	runJob(t, n, spec)
	spec.SplitSize, spec.Args, spec.Output = 200, []string{"--letters"}, filepath.Join(dir, "o2")
	x, err := n.Jobs().DryRun(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range x.Rows {
		if strings.Contains(r.Reason, "touched") {
			t.Errorf("%d tasks: %s", r.Tasks, r.Reason)
		}
	}
}

// Of files that did not change it is said that others were packed with them, or that they were cut elsewhere.
func TestExplainKnowsFilesThatDidNotChange(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(in, 0o700), os.WriteFile(filepath.Join(in, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	jobs := 0
	why := func(split int64, noCache bool) (reasons []string) {
		t.Helper()
		jobs++
		s := runJob(t, n, mr.Spec{Job: "wordcount", Inputs: []string{in}, SplitSize: split, NoCache: noCache, Output: filepath.Join(dir, fmt.Sprint("o", jobs))})
		x, err := n.Jobs().Explain(t.Context(), s.Job, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range x.Rows {
			if r.Phase == "map" && r.State == mr.Succeeded {
				reasons = append(reasons, r.Reason)
			}
		}
		return reasons
	}
	check := func(got []string, want ...string) {
		t.Helper()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	const packed = "input changed: other files are packed together"
	write("a", "one two\n")
	write("b", "three\n")
	check(why(100, true), "--no-cache")
	check(why(100, false), "new input") // nothing was kept of the other
	if err := os.Remove(filepath.Join(in, "b")); err != nil {
		t.Fatal(err)
	}
	check(why(100, false), packed)
	write("c", "three four\n")
	check(why(100, false), packed)
	lines := func(n int) string { // of four bytes each
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%03d\n", i)
		}
		return b.String()
	}
	write("c", lines(40)) // which is cut alone now, in two
	check(why(100, false), "input changed: "+in+"/c@[0,100)", "new input")
	write("c", lines(60))
	check(why(100, false), "input changed: "+in+"/c@[100,200)", "new input")
	check(why(50, false), "--split-size: 100 → 50")
}
