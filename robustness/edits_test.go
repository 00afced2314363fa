package robustness

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// editedJob is the source that TestEdits edits.
const editedJob = `package main

import (
	"iter"
	"strings"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("edited",
		mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
			for word := range strings.FieldsSeq(line) {
				emit(word, 1) // counted
			}
			return nil
		}),
		mr.Combine(mr.Sum[int64]),
		mr.Reduce(reduce)))
}

// reduce adds up.
func reduce(t *mr.Task, word string, counts iter.Seq[int64], emit mr.Emit[string, int64]) error {
	var n int64
	for c := range counts {
		n += c
	}
	emit(word, n)
	return nil
}
`

// edits are changes of editedJob, one at a time, and whether maps that ran before run
// again. A false miss is one that need not: known, slow, and sound; RATIONALE.md lists
// them. The quick ones are tried in go test, all of them in make crash.
var edits = []struct {
	name, old, with string
	imports         string // a package that the edit brings in
	maps            bool
	miss            string // why they run, if they need not
	quick           bool
}{
	{name: "nothing", quick: true},
	{name: "a comment in the reducer", old: "// reduce adds up.", with: "// reduce adds all of them up."},
	{name: "a comment in the mapper", old: "// counted", with: "// counted, one by one"},
	{name: "a line below everything", old: "return nil\n}\n", with: "return nil\n}\n\n// The end.\n"},
	{name: "lines above the mapper", old: "func main() {", with: "// main tells.\n\n\nfunc main() {"},
	{name: "the reducer's sum", old: "n += c", with: "n += 2 * c", quick: true},
	{name: "the reducer's output", old: "emit(word, n)", with: "if n > 1 {\n\t\temit(word, n)\n\t}"},
	{name: "the reducer's new string", old: "emit(word, n)", with: "emit(\"<\"+word, n)"},
	{name: "a reducer that fails never", old: "return nil\n}\n", with: "return error(nil)\n}\n"},
	{name: "the reducer's use of what the mapper imports", old: "\temit(word, n)", with: "\temit(strings.ToUpper(word), n)"},
	{name: "the reducer's new import", old: "\temit(word, n)", with: "\tsort.Strings(nil)\n\temit(word, n)", imports: "sort", quick: true},
	{name: "the reducer's new import, which initialises", old: "\temit(word, n)", with: "\t_ = json.Valid(nil)\n\temit(word, n)", imports: "encoding/json",
		maps: true, miss: "what a package sets up at its start, the mapper could see"},
	{name: "a helper of the reducer, above the mapper", old: "func main() {", with: "func twice(n int64) int64 {\n\treturn 2 * n\n}\n\nfunc main() {"},
	{name: "a reducer above the mapper", old: "func main() {", with: "func other(t *mr.Task, word string, counts iter.Seq[int64], emit mr.Emit[string, int64]) error {\n\treturn nil\n}\n\nfunc main() {"},
	{name: "the mapper's value", old: "emit(word, 1)", with: "emit(word, 3)", maps: true, quick: true},
	{name: "the mapper's key", old: "emit(word, 1)", with: "emit(word+word, 1)", maps: true},
	{name: "the mapper's condition", old: "emit(word, 1)", with: "if len(word) > 2 {\n\t\t\t\t\temit(word, 1)\n\t\t\t\t}", maps: true},
	{name: "the mapper's new import", old: "emit(word, 1)", with: "emit(strconv.Quote(word), 1)", imports: "strconv", maps: true},
	{name: "a mapper that uses the reducer", old: "emit(word, 1)", with: "if false {\n\t\t\t\t\t_ = reduce(nil, \"\", nil, nil)\n\t\t\t\t}\n\t\t\t\temit(word, 1)", maps: true,
		miss: "whatever the mapper refers to is its code"},
	{name: "a line within the mapper", old: "emit(word, 1)", with: "// A word.\n\t\t\t\temit(word, 1)", maps: true,
		miss: "lines within a function are in what a panic prints"},
	{name: "the combiner", old: "mr.Combine(mr.Sum[int64])", with: "mr.Combine(mr.Max[int64])", maps: true, quick: true},
	{name: "no combiner", old: "\t\tmr.Combine(mr.Sum[int64]),\n", with: "", maps: true},
	{name: "the job's name", old: `mr.Job("edited"`, with: `mr.Job("renamed"`, maps: true,
		miss: "the binary holds the name"},
}

// TestEdits edits a job's source between two runs of it, for real: mrctl builds it.
func TestEdits(t *testing.T) {
	c := newCorpus(t, 4, 2, 100<<10)
	dir := t.TempDir()
	pkg, err := filepath.Abs(filepath.Join("..", "examples", "edited")) // exists in an overlay only
	if err != nil {
		t.Fatal(err)
	}
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	b, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(pkg, "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(overlay, b)
	t.Setenv("GOFLAGS", "-overlay="+overlay)
	run := func(store, source0, out string) (result, []byte) {
		t.Helper()
		write(source, []byte(source0))
		r := runJSON(t, store, "github.com/mrd-io/mr/examples/edited", "--input", c.dir, "--split-size", "64KiB", "--output", out)
		got, _ := parts(t, out)
		return r, got
	}
	first := filepath.Join(dir, "store")
	run(first, editedJob, filepath.Join(dir, "first"))
	for _, e := range edits {
		if !e.quick && os.Getenv("MR_CRASH_ROUNDS") == "" {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			edited := strings.Replace(editedJob, e.old, e.with, 1)
			if e.imports != "" {
				edited = strings.Replace(edited, "import (\n", "import (\n\t\""+e.imports+"\"\n", 1)
			}
			if edited == editedJob && e.old != "" {
				t.Fatalf("the source does not hold %q", e.old)
			}
			r, got := run(first, edited, filepath.Join(t.TempDir(), "out"))
			_, cold := run(filepath.Join(t.TempDir(), "store"), edited, filepath.Join(t.TempDir(), "out"))
			if !bytes.Equal(got, cold) {
				t.Error("FALSE HIT: the output is not that of a cold run")
			}
			if ran := r.Map.Run > 0; ran != e.maps {
				t.Errorf("%d of %d maps ran", r.Map.Run, r.Map.Tasks)
			}
			why, _ := mrctl(t, first, "explain", "last")
			if told := strings.Contains(why, "map code changed (binary ") || e.name == "the job's name" && strings.Contains(why, "new input"); told != e.maps {
				t.Errorf("explain says\n%s", why)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the list of false misses in RATIONALE.md anew")

// TestFalseMisses holds the list of them in RATIONALE.md.
func TestFalseMisses(t *testing.T) {
	var b strings.Builder
	b.WriteString("| edit | why maps run |\n|---|---|\n")
	for _, e := range edits {
		if e.miss != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", e.name, e.miss)
		}
	}
	const file, begin, end = "../RATIONALE.md", "<!-- false misses of edits -->\n", "<!-- end of edits -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	list, tail, ended := strings.Cut(rest, end)
	switch {
	case !ok || !ended:
		t.Fatalf("%s does not hold the list", file)
	case list == b.String():
	case *update:
		if err := os.WriteFile(file, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has another list of false misses; go test ./robustness -run FalseMisses -update writes it. It is now:\n%s", file, b.String())
	}
}
