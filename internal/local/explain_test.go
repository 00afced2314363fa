package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// Two jobs are compared place by place: inputs, code, parameters.
func TestExplainComparesTwoJobs(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(in, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	jobs := 0
	run := func(args ...string) mr.Status {
		jobs++
		return runJob(t, n, mr.Spec{Job: "wordcount", Args: args, Inputs: []string{in}, SplitSize: 64, Output: filepath.Join(dir, fmt.Sprint("o", jobs))})
	}
	lines := strings.Repeat("a b c d e f g h i\n", 20)
	write("a", lines)
	write("b", lines+"x\n")
	first := run()
	write("b", lines+"y\n")
	second := run()
	letters := run("--letters")
	write("c", strings.Repeat("c d e f g\n", 40))
	third := run()
	for _, c := range []struct {
		now, then mr.JobID
		want      []string // rows that must be there
		none      string   // and one that must not
	}{
		{second.Job, first.Job, []string{"map the same", "map input changed", "reduce map outputs changed"}, "only in"},
		{letters.Job, second.Job, []string{"map parameter --letters: false → true"}, "input changed"},
		{third.Job, second.Job, []string{"map the same", "map only in " + string(third.Job)}, "input changed"},
		{second.Job, third.Job, []string{"map the same", "map only in " + string(third.Job)}, "input changed"},
		{first.Job, first.Job, []string{"map the same", "reduce the same"}, "changed"},
	} {
		x, err := n.Jobs().Explain(t.Context(), c.now, c.then)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, r := range x.Rows {
			fmt.Fprintf(&b, "%s %s\n", r.Phase, r.Reason)
		}
		for _, w := range c.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s vs %s lacks %q:\n%s", c.now, c.then, w, b.String())
			}
		}
		if strings.Contains(b.String(), c.none) {
			t.Errorf("%s vs %s has %q:\n%s", c.now, c.then, c.none, b.String())
		}
	}
	// A dry run stands beside the last job like it.
	x, err := n.Jobs().DryRun(t.Context(), mr.Spec{Job: "wordcount", Args: []string{"--letters"}, Inputs: []string{in}, SplitSize: 64, Output: filepath.Join(dir, "dry")})
	if err != nil {
		t.Fatal(err)
	}
	differs := ""
	for _, k := range x.Keys {
		if k.Differs {
			differs += k.Name + ": " + k.Earlier + " → " + k.Value + "\n"
		}
	}
	if !strings.Contains(differs, "parameter --letters: false → true") {
		t.Errorf("a dry run differs from the last job in:\n%s", differs)
	}
}
