package local

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// Of more reducers than there are places to cut the last have nothing to do, and say so.
func TestExplainEmptyRanges(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte(strings.Repeat("a b c\n", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{"first", "second"} {
		s := runJob(t, n, mr.Spec{Job: "wordcount", Inputs: []string{in}, Reducers: 20, Output: filepath.Join(dir, out)})
		x, err := n.Jobs().Explain(t.Context(), s.Job, "")
		if err != nil {
			t.Fatal(err)
		}
		empty := 0
		for _, r := range x.Rows {
			switch {
			case r.Phase != "reduce" || r.State == mr.Cached:
			case r.Reason == "empty key range":
				empty += r.Tasks
			case r.Reason != "new key range" || out != "first":
				t.Errorf("%s: %d reduce tasks: %s", out, r.Tasks, r.Reason)
			}
		}
		if out == "first" && empty < 10 {
			t.Errorf("%d reduce tasks had nothing to do: %+v", empty, x.Rows)
		}
	}
}

// Nothing has changed but how a job is cut, or the name of a file: input and map outputs are not
// said to have changed, neither by itself, nor beside the earlier job, nor beforehand.
func TestExplainTellsCutsFromChanges(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} { // runs follow each other by key, so ranges can be cut
		text := strings.Repeat(name+"a\n"+name+"b\n", 40)
		if err := os.WriteFile(filepath.Join(in, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(from, to string) {
		if err := os.Rename(filepath.Join(in, from), filepath.Join(in, to)); err != nil {
			t.Fatal(err)
		}
	}
	jobs := 0
	spec := func(job string) mr.Spec {
		jobs++
		s := mr.Spec{Job: job, Inputs: []string{in}, SplitSize: 100, Reducers: 2, Output: filepath.Join(dir, fmt.Sprint("o", jobs))}
		if job == "grep" {
			s.Args, s.SplitSize = []string{"b"}, 0
		}
		return s
	}
	reasons := func(x mr.Explanation, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, r := range x.Rows {
			fmt.Fprintf(&b, "%s %s\n", r.Phase, r.Reason)
		}
		return b.String()
	}
	for _, c := range []struct {
		name, job string
		edit      func(*mr.Spec)
		want      string
	}{
		{"split size", "wordcount", func(s *mr.Spec) { s.SplitSize = 50 }, "map --split-size: 100 → 50"},
		{"chunking", "wordcount", func(s *mr.Spec) { s.Chunking = "content" }, "map --chunking: fixed → content"},
		{"reducers", "count", func(s *mr.Spec) { s.Reducers = 3 }, "reduce the key range ends elsewhere"},
		{"another name", "grep", func(*mr.Spec) { rename("c", "cc") }, "map a file's name or the place in the file changed"},
	} {
		then := runJob(t, n, spec(c.job))
		s := spec(c.job)
		c.edit(&s)
		dry := reasons(n.Jobs().DryRun(t.Context(), s))
		now := runJob(t, n, s)
		for how, got := range map[string]string{
			"by itself": reasons(n.Jobs().Explain(t.Context(), now.Job, "")), "beside": reasons(n.Jobs().Explain(t.Context(), now.Job, then.Job)), "dry": dry,
		} {
			foreseen := strings.HasPrefix(c.want, "map --")
			if (how != "dry" || foreseen) && !strings.Contains(got, c.want) || strings.Contains(got, "input changed") || foreseen && strings.Contains(got, "touched") {
				t.Errorf("%s, %s: %q is missing, or something else is not true:\n%s", c.name, how, c.want, got)
			}
		}
	}
}

// Of two jobs between which nothing has changed all tasks are the same: also those that write out what a
// map has made, and those that have nothing to do.
func TestExplainComparesTheSame(t *testing.T) {
	dir := t.TempDir()
	each := mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
		emit(line, 1)
		return nil
	})
	jobs := map[string]*mr.Definition{"counts": mr.Job("counts", each, mr.Combine(mr.Sum[int64])), "lines": mr.Job("lines", each)}
	n, err := Open(filepath.Join(dir, "store"), Options{Workers: 2, Builtin: func(name string) (*mr.Definition, bool) {
		d, ok := jobs[name]
		return d, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte(strings.Repeat("a b c\n", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []mr.Spec{
		{Job: "counts", Reducers: 20},
		{Job: "lines", SplitSize: 50},
	} {
		var ids []mr.JobID
		for range 2 {
			spec.Inputs, spec.Output = []string{in}, filepath.Join(dir, fmt.Sprint(spec.Job, len(ids)))
			ids = append(ids, runJob(t, n, spec).Job)
		}
		x, err := n.Jobs().Explain(t.Context(), ids[1], ids[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range x.Rows {
			if r.Reason != "the same" {
				t.Errorf("%s: %d %s tasks: %s", spec.Job, r.Tasks, r.Phase, r.Reason)
			}
		}
	}
}

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

// Variants of a job that take turns over the same input are explained each by its own last
// run: what one found changed is not that the other was there in between.
func TestVariantsInTurnAreExplainedEachByItself(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "log")
	for round := range 3 {
		text := fmt.Sprintf("error %d\n%s", round, strings.Repeat("an error\na warning\n", 20))
		if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			spec := mr.Spec{
				Job: "grep", Args: []string{fmt.Sprint("error|", i)}, Inputs: []string{in},
				SplitSize: 256, Output: filepath.Join(dir, fmt.Sprint("o", round, i)),
			}
			want := "changed"
			switch {
			case round == 0 && i == 0:
				want = "new "
			case round == 0:
				want = "parameter arg0"
			}
			dry, err := n.Jobs().DryRun(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			x, err := n.Jobs().Explain(t.Context(), runJob(t, n, spec).Job, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range x.Rows {
				if r.State != mr.Cached && !strings.Contains(r.Reason, want) {
					t.Errorf("round %d, variant %d: %s %q, want %q", round, i, r.Phase, r.Reason, want)
				}
			}
			for _, r := range dry.Rows {
				if foreseen := strings.Contains(r.Reason, "parameter"); foreseen != (want == "parameter arg0") {
					t.Errorf("round %d, variant %d: foreseen %q, want %q", round, i, r.Reason, want)
				}
			}
		}
	}
}

// A job under way explains itself: what is done says why it was, and what is not says why
// it will be. A dry run says the same before there is a job.
func TestExplainOfAJobUnderWay(t *testing.T) {
	dir := t.TempDir()
	reached, release := make(chan struct{}, 1), make(chan struct{})
	var mapped atomic.Int64
	const lines, some = 120_000, 36_000 // of some, fifteen splits' worth are more than four
	gate := mr.JobFunc("gate", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		shut := fs.Bool("shut", false, "")
		return func([]string) ([]mr.Option, error) {
			return []mr.Option{mr.Version("1"), mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
				// By then one split at least is mapped, whichever of three tasks had the cores.
				if *shut && mapped.Add(1) > some {
					select {
					case reached <- struct{}{}:
					default: // told already
					}
					<-release
				}
				emit(line, "")
				return nil
			})}, nil
		}
	})
	n, err := Open(filepath.Join(dir, "store"), Options{Workers: 1, Builtin: func(string) (*mr.Definition, bool) { return gate, true }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background()) //nolint:errcheck // the test is over
	open := sync.OnceFunc(func() { close(release) })
	defer open()
	in := filepath.Join(dir, "in.txt")
	var text strings.Builder // splits that don't count as small, so that slots are few
	for i := range lines {
		fmt.Fprintf(&text, "line %06d\n", i)
	}
	if err := os.WriteFile(in, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := mr.Spec{Job: "gate", Inputs: []string{in}, SplitSize: 100 << 10, Output: filepath.Join(dir, "o1")}
	if s := runJob(t, n, spec); s.State != mr.Succeeded {
		t.Fatalf("%+v", s)
	}
	spec.Args, spec.Output = []string{"--shut"}, filepath.Join(dir, "o2")
	said := func(x mr.Explanation, err error) string {
		t.Helper()
		var b strings.Builder
		for _, r := range x.Rows {
			fmt.Fprintf(&b, "%s %d %s %s\n", r.Phase, r.Tasks, r.State, r.Reason)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const why = "parameter --shut: false → true"
	before := said(n.Jobs().DryRun(t.Context(), spec))
	if !strings.Contains(before, "PENDING "+why) || strings.Contains(before, "SUCCEEDED") {
		t.Errorf("a dry run says\n%s", before)
	}
	id, err := n.Jobs().Submit(t.Context(), "under way", spec)
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	under := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && !strings.Contains(under, "SUCCEEDED"); time.Sleep(time.Millisecond) {
		under = said(n.Jobs().Explain(t.Context(), id, "")) // the first one's records are on their way
	}
	for _, want := range []string{"SUCCEEDED " + why, "RUNNING " + why, "PENDING " + why} {
		if !strings.Contains(under, want) {
			t.Errorf("a job under way does not say %q:\n%s", want, under)
		}
	}
	open()
	var s mr.Status
	for !s.State.Done() {
		if s, err = n.Jobs().Wait(t.Context(), id, s.Version); err != nil {
			t.Fatal(err)
		}
	}
	after := said(n.Jobs().Explain(t.Context(), id, ""))
	if want := fmt.Sprintf("map %d SUCCEEDED %s\n", s.Map.Tasks, why); !strings.HasPrefix(after, want) {
		t.Errorf("the job says\n%s, want\n%s", after, want)
	}
}

// An output is computed anew, and replaces its record: what the earlier jobs did stays told as
// it was, and nobody is said to have used what was made after it had ended.
func TestLineageOutlivesTheRecordsItNames(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte("a b\na\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := func(i int) string { return filepath.Join(dir, fmt.Sprint("o", i)) }
	run := func(i int) mr.JobID {
		return runJob(t, n, mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: out(i)}).Job
	}
	made := func(i int) (m map[string]mr.LineageNode) {
		g, err := n.Jobs().Lineage(t.Context(), out(i), -1)
		if err != nil {
			t.Fatal(err)
		}
		m = map[string]mr.LineageNode{}
		for _, node := range g.Nodes {
			if node.Kind == "map" || node.Kind == "reduce" {
				m[node.ID] = node
			}
		}
		return m
	}
	first, _ := run(1), run(2)
	then := made(1)
	for id, node := range made(2) {
		if node.State != mr.Cached || node.Job != first || node.Attempt != then[id].Attempt || node.Attempt == "" {
			t.Errorf("%s of the second job: %+v", id, node)
		}
	}
	if _, err := n.Jobs().(mr.Cache).CacheInvalidate(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	third := run(3)
	for id, node := range made(1) {
		if node.State != mr.Succeeded || node.Job != first || node.Attempt != then[id].Attempt {
			t.Errorf("%s of the first job was %+v, and is now %+v", id, then[id], node)
		}
	}
	for id, node := range made(2) {
		if node.State != mr.Cached || node.Job != "" || node.Attempt != "" || node.CPU != 0 {
			t.Errorf("%s of the second job, which used what is gone: %+v", id, node)
		}
	}
	for id, node := range made(3) {
		if node.State != mr.Succeeded || node.Job != third || node.Attempt == then[id].Attempt {
			t.Errorf("%s of the third job: %+v", id, node)
		}
	}
}

// The parts of a map-only job are nobody's to be used again, whatever was written before.
func TestExplainOfAMapOnlyJob(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte(strings.Repeat("a\nb\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := mr.Job("lines", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
		emit(line, 1)
		return nil
	}))
	n, err := Open(filepath.Join(dir, "store"), Options{Workers: 1, CacheSize: -1, Builtin: func(string) (*mr.Definition, bool) { return lines, true }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	for range 2 {
		s := runJob(t, n, mr.Spec{Job: "lines", Inputs: []string{in}, SplitSize: 128, Output: filepath.Join(dir, "out"), Overwrite: true})
		x, err := n.Jobs().Explain(t.Context(), s.Job, "")
		if err != nil || !s.MapOnly || len(x.Rows) == 0 {
			t.Fatalf("%s: %s, %v", s.State, s.Error, err)
		}
		for _, r := range x.Rows {
			if r.Phase == "reduce" && !strings.Contains(r.Reason, "map-only") {
				t.Errorf("%d tasks: %s", r.Tasks, r.Reason)
			}
		}
	}
}
