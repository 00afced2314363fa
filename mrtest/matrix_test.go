package mrtest_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/internal/local"
	"github.com/mrd-io/mr/mrtest"
)

// The matrix: one edit between two runs, and how much of the second must run. Every row
// is run for real, and its output compared with that of a store that has never seen
// anything: a difference is a false hit, the worst bug there is. Rows that run more
// than they would need to are false misses; they say so, and RATIONALE.md lists them. Of
// maps that run, explain must name the reason, and a dry run must have foreseen it.

// world is what a row edits.
type world struct {
	t     *testing.T
	dir   string
	job   string
	in    []string
	o     mrtest.Options
	m     *mrtest.M
	base  []*mr.Definition // of the first run, beside the built-ins
	extra []*mr.Definition // shadows the first run's definitions
	node  *local.Options   // the second run's, if another
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	b, err := os.ReadFile(w.path(name))
	w.must(err)
	return string(b)
}

func (w *world) write(name, data string) { w.must(os.WriteFile(w.path(name), []byte(data), 0o600)) }

func (w *world) edit(name, old, with string) {
	s := w.read(name)
	if !strings.Contains(s, old) {
		w.t.Fatalf("%s does not hold %q", name, old)
	}
	w.write(name, strings.Replace(s, old, with, 1))
}

const (
	none = 0
	all  = -1 // every map task
	some = -2 // at least one, and not all
)

// shape is what a row varies of the job "counted".
type shape struct {
	version   string
	plus      int64
	noCombine bool
	mapOnly   bool
	positions bool
	env       []string
}

// counted is a job of the matrix's own.
func counted(c shape) *mr.Definition {
	if c.version == "" {
		c.version = "1"
	}
	return mr.JobFunc("counted", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		suffix := fs.String("suffix", "", "is added to each word")
		fs.Int64("scale", 1, "is the reducer's alone")
		return func([]string) ([]mr.Option, error) {
			opts := []mr.Option{
				mr.Version(c.version), mr.ReduceOnly("scale"), mr.Env(c.env...),
				mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
					if c.positions {
						emit(t.Path(), t.Offset())
					}
					for w := range strings.FieldsSeq(line) {
						emit(w+*suffix, 1+c.plus)
					}
					return nil
				}),
			}
			if !c.noCombine && !c.mapOnly {
				opts = append(opts, mr.Combine(mr.Sum[int64]))
			}
			if c.positions {
				opts = append(opts, mr.Positions())
			}
			if !c.mapOnly {
				opts = append(opts, mr.Pass[string, int64]())
			}
			return opts, nil
		}
	})
}

// row is an edit, and what it costs.
type row struct {
	name string
	edit func(w *world)
	runs int
	// why is what explain must say of the maps that ran, as a regular expression. Where a
	// row changes how files are cut, there may be new places beside.
	why string
	// miss is why maps run that need not, if so: TestFalseMisses lists these rows.
	miss  string
	first func(w *world) // before the first run
}

// own makes the job "counted" the row's, from the start.
func own(w *world) { w.job = "counted" }

func reshape(c shape) func(*world) {
	return func(w *world) { w.extra = []*mr.Definition{counted(c)} }
}

const (
	inA    = `^input changed: /.*/a\.txt@\[\d+,\d+\)`
	inZ    = `^input changed: /.*/z\.txt@\[\d+,\d+\)`
	inPack = `^input changed: (\d+ files, |other files are packed together)|^new input$` // of small files, named after the first of them
	fresh  = `^new input$`
)

var matrix = []row{
	// Nothing that matters.
	{name: "nothing", edit: func(*world) {}},
	{name: "reducers", edit: func(w *world) { w.o.Reducers = 5 }},
	{name: "many reducers", edit: func(w *world) { w.o.Reducers = 40 }},
	{name: "more workers", edit: func(w *world) { w.node = &local.Options{Workers: 7} }},
	{name: "one worker", edit: func(w *world) { w.node = &local.Options{Workers: 1} }},
	{name: "less memory", edit: func(w *world) { w.node = &local.Options{Memory: 16 << 20} }},
	{name: "another life of the store", edit: func(w *world) { w.node = &local.Options{} }},
	{name: "an environment that was not declared", edit: func(w *world) {
		w.node = &local.Options{Getenv: func(string) string { return "another" }}
	}, first: own},
	{name: "output format", edit: func(w *world) { w.o.OutputFormat = "jsonl" }},
	{name: "raw output", edit: func(w *world) { w.o.OutputFormat = "raw" }},
	{name: "another output folder", edit: func(w *world) { w.o.Output = "elsewhere" }},
	{name: "the same output folder", edit: func(w *world) { w.o.Output, w.o.Overwrite = "named", true }, first: func(w *world) { w.o.Output = "named" }},
	{name: "a longer longest record", edit: func(w *world) { w.o.RecordLimit = 1 << 20 }, first: func(w *world) { w.o.RecordLimit = 1 << 10 }},
	{name: "--verify sample", edit: func(w *world) { w.o.Verify = "sample" }},
	{name: "--verify full", edit: func(w *world) { w.o.Verify = "full" }},
	{name: "incremental", edit: func(w *world) { w.o.Incremental = true }},
	{name: "more bad records allowed", edit: func(w *world) { w.o.SkipBad = 10 }, first: func(w *world) { w.o.SkipBad = 1 }},
	{name: "larger splits than files", edit: func(w *world) { w.o.SplitSize = 1 << 30 }, first: func(w *world) { w.o.SplitSize = 1 << 20 }},
	{name: "touched", edit: func(w *world) { w.write("a.txt", w.read("a.txt")) }},
	{name: "a time in the future", edit: func(w *world) {
		day := time.Now().Add(24 * time.Hour)
		w.must(os.Chtimes(w.path("a.txt"), day, day))
	}},
	{name: "mode changed", edit: func(w *world) { w.must(os.Chmod(w.path("a.txt"), 0o640)) }},
	{name: "rewritten by rename", edit: func(w *world) {
		w.write("tmp", w.read("a.txt"))
		w.must(os.Rename(w.path("tmp"), w.path("a.txt")))
	}},
	{name: "large file renamed", edit: func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("b.txt"))) }},
	{name: "an odd name", edit: func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("ä [b]\n\xff.txt"))) }},
	{name: "rotated", edit: func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("a.txt.1"))) }},
	{name: "moved to a folder", edit: func(w *world) {
		w.must(os.Mkdir(w.path("old"), 0o700))
		w.must(os.Rename(w.path("a.txt"), w.path("old/a.txt")))
	}},
	{name: "order of patterns", edit: func(w *world) { w.in = []string{w.path("z.txt"), w.path("small"), w.path("a.txt")} }},
	{name: "a pattern twice", edit: func(w *world) { w.in = append(w.in, w.path("a.txt")) }},
	{name: "a glob for a folder", edit: func(w *world) { w.in = []string{w.path("**/*.txt")} }},
	{name: "by a symbolic link", edit: func(w *world) {
		w.must(os.Symlink(w.path("a.txt"), w.path("link.txt")))
		w.in = []string{w.path("link.txt"), w.path("small"), w.path("z.txt")}
	}},
	{name: "default flag spelt out", edit: func(w *world) { w.o.Args = []string{"--letters=false"} }},
	{name: "order of flags", edit: func(w *world) { w.o.Args = []string{"--lower", "--letters"} }, first: func(w *world) { w.o.Args = []string{"--letters", "--lower"} }},
	{name: "the reducer's flag", edit: func(w *world) { w.o.Args = []string{"--scale", "3"} }, first: own},
	{name: "hidden file added", edit: func(w *world) { w.write(".hidden", "x y z\n") }},
	{name: "empty folder added", edit: func(w *world) { w.must(os.Mkdir(w.path("empty"), 0o700)) }},
	{name: "file removed", edit: func(w *world) { w.must(os.Remove(w.path("a.txt"))) }},
	{name: "an equal copy of a large file", edit: func(w *world) { w.write("copy.txt", w.read("a.txt")) }},
	{name: "a hard link", edit: func(w *world) { w.must(os.Link(w.path("a.txt"), w.path("hard.txt"))) }},
	{name: "two files swapped", edit: func(w *world) {
		a, z := w.read("a.txt"), w.read("z.txt")
		w.write("a.txt", z)
		w.write("z.txt", a)
	}},
	{name: "a compressed file renamed", edit: func(w *world) { w.must(os.Rename(w.path("c.gz"), w.path("c"))) }, first: compressed},

	// What changes some.
	{name: "appended", edit: func(w *world) { w.write("a.txt", w.read("a.txt")+"one more line\n") }, runs: 1, why: inA},
	{name: "last line not ended", edit: func(w *world) { w.write("a.txt", strings.TrimSuffix(w.read("a.txt"), "\n")) }, runs: 1, why: inA,
		miss: "a last line without its end is the same record"},
	{name: "cut short", edit: func(w *world) { w.write("a.txt", w.read("a.txt")[:5000]) }, runs: 1, why: inA},
	{name: "first byte", edit: func(w *world) { s := w.read("a.txt"); w.write("a.txt", "Q"+s[1:]) }, runs: 1, why: inA},
	{name: "last byte", edit: func(w *world) { s := w.read("a.txt"); w.write("a.txt", s[:len(s)-2]+"Q\n") }, runs: 1, why: inA},
	{name: "same size, same place", edit: func(w *world) { w.edit("a.txt", "w17 ", "v17 ") }, runs: 1, why: inA},
	{name: "a case changed", edit: func(w *world) { w.edit("a.txt", "w99 ", "W99 ") }, runs: 1, why: inA},
	{name: "LF to CRLF once", edit: func(w *world) { w.edit("z.txt", "\n", "\r\n") }, runs: 1, why: inZ,
		miss: "the line's end is not part of the record, and is of the file"},
	{name: "a NUL", edit: func(w *world) { w.edit("a.txt", "w5 ", "\x005 ") }, runs: 1, why: inA},
	{name: "a shorter longest record", edit: func(w *world) { w.o.RecordLimit = 1 << 10 }, runs: all, why: `^records up to 67108864 bytes were let pass when it was made, and --record-limit is 1024$`,
		miss: "whether a record is too long for the job must not hang on what is on record"},
	{name: "a line in front", edit: func(w *world) { w.write("z.txt", "front\n"+w.read("z.txt")) }, runs: some, why: inZ,
		miss: "fixed ranges cut all that follows elsewhere; `--chunking content` does not"},
	{name: "a line in front, content chunking", edit: func(w *world) { w.write("z.txt", "front\n"+w.read("z.txt")) }, runs: 1, why: inZ, first: contentCut},
	{name: "a small file changed", edit: func(w *world) { w.write("small/3.txt", "three changed\n") }, runs: 1, why: inPack},
	{name: "a small file added", edit: func(w *world) { w.write("small/99.txt", "ninety nine\n") }, runs: 1, why: inPack,
		miss: "small files are mapped in packs, and one pack runs for one file"},
	{name: "a small file removed", edit: func(w *world) { w.must(os.Remove(w.path("small/5.txt"))) }, runs: 1, why: inPack,
		miss: "the rest of its pack is another pack"},
	{name: "a small file renamed", edit: func(w *world) { w.must(os.Rename(w.path("small/5.txt"), w.path("small/95.txt"))) }, runs: 1, why: inPack,
		miss: "its pack, or two, has other files or another order of them"},
	{name: "a small file emptied", edit: func(w *world) { w.write("small/5.txt", "") }, runs: 1, why: inPack},
	{name: "a new large file", edit: func(w *world) { w.write("new.txt", lines(7, 300)) }, runs: some, why: fresh},
	{name: "a file emptied", edit: func(w *world) { w.write("a.txt", "") }, runs: 1, why: `^input changed: |^new input$`,
		miss: "an empty file is small, and goes into a pack"},
	{name: "a compressed file added", edit: compressed, runs: 1, why: fresh},
	{name: "compressed anew, harder", edit: func(w *world) { w.zip("c.gz", lines(5, 1000), gzip.BestCompression) }, runs: 1, why: `^input changed: /.*/c\.gz@\[|^input changed: \d+ files`,
		first: func(w *world) { w.zip("c.gz", lines(5, 1000), gzip.HuffmanOnly) }, miss: "stored bytes identify a file, and decoding comes after"},
	{name: "compressed", edit: func(w *world) { w.zip("a.txt", w.read("a.txt"), gzip.BestSpeed) }, runs: 1, why: `^input changed: /.*/a\.txt@\[|^new input$`,
		miss: "stored bytes identify a file, and a compressed file is one split"},
	{name: "smaller splits", edit: func(w *world) { w.o.SplitSize = 1 << 10 }, runs: some, why: `^--split-size: 4096 → 1024$`, // a pack may come out the same
		miss: "other splits are other tasks"},
	{name: "chunking", edit: func(w *world) { w.o.Chunking = "content" }, runs: some, why: `^--chunking: fixed → content$`, miss: "other splits are other tasks"},

	// What changes all.
	{name: "parameter", edit: func(w *world) { w.o.Args = []string{"--letters"} }, runs: all, why: `^parameter --letters: false → true$`},
	{name: "another parameter", edit: func(w *world) { w.o.Args = []string{"--lower"} }, runs: all, why: `^parameter --lower: false → true$`},
	{name: "two parameters", edit: func(w *world) { w.o.Args = []string{"--lower", "--letters"} }, runs: all, why: `^parameter --letters: false → true$`},
	{name: "a parameter taken back", edit: func(w *world) { w.o.Args = nil }, runs: all, why: `^parameter --letters: true → false$`,
		first: func(w *world) { w.o.Args = []string{"--letters"} }},
	{name: "no cache", edit: func(w *world) { w.o.NoCache = true }, runs: all, why: `^--no-cache$`, miss: "it was asked for"},
	{name: "invalidated", edit: func(w *world) {
		if _, err := w.m.Cache().CacheInvalidate(w.t.Context(), "wordcount"); err != nil {
			w.t.Fatal(err)
		}
	}, runs: all, why: `^invalidated less than a minute ago$`, miss: "it was asked for"},
	{name: "another job", edit: func(w *world) { w.job = "count" }, runs: all, why: fresh},
	{name: "another job with a flag", edit: func(w *world) { w.job, w.o.Args = "count", []string{"--field", "1"} }, runs: all, why: fresh},
	{name: "grep", edit: func(w *world) { w.job, w.o.Args = "grep", []string{"w1"} }, runs: all, why: fresh},
	{name: "sort", edit: func(w *world) { w.job = "sort" }, runs: all, why: fresh},
	{name: "index", edit: func(w *world) { w.job = "index" }, runs: all, why: fresh},
	{name: "format whole", edit: func(w *world) { w.o.Format = mr.Format{Kind: mr.Whole} }, runs: all, why: `^input format: text → whole$`},
	{name: "format fixed", edit: func(w *world) { w.o.Format = mr.Format{Kind: mr.Fixed, N: 1} }, runs: all, why: `^input format: text → fixed:1$`},
	{name: "own job's flag", edit: func(w *world) { w.o.Args = []string{"--suffix", "!"} }, first: own, runs: all, why: `^parameter --suffix: "" → !$`},
	{name: "own job's version", edit: reshape(shape{version: "2", plus: 1}), first: own, runs: all, why: `^map code changed \(built-in counted 1 → built-in counted 2\)$`},
	{name: "a version alone", edit: reshape(shape{version: "1.1"}), first: own, runs: all, why: `^map code changed \(built-in counted 1 → built-in counted 1\.1\)$`,
		miss: "a declared version is believed, both ways"},
	{name: "bad records allowed", edit: func(w *world) { w.o.SkipBad = 1 }, runs: all, why: `^bad records: "" → skipped, lines up to \d+ bytes$`,
		miss: "there may be none, which only mapping shows"},
	{name: "no combiner", edit: reshape(shape{noCombine: true}), first: own, runs: all, why: `^combiner: yes → no$`},
	{name: "no reducer", edit: reshape(shape{mapOnly: true}), first: own, runs: all, why: `^combiner: yes → no$`},
	{name: "positions", edit: reshape(shape{positions: true}), first: own, runs: all, why: `^positions: no → yes$`},
	{name: "a variable declared", edit: reshape(shape{env: []string{"TZ"}}), first: own, runs: all, why: `^env TZ: "" → ""$`,
		miss: "that it is empty may be what the code goes by"},
	{name: "a declared variable's value", edit: func(w *world) {
		w.node = &local.Options{Getenv: func(string) string { return "CET" }}
	}, first: func(w *world) { own(w); w.base = []*mr.Definition{counted(shape{env: []string{"TZ"}})} }, runs: all, why: `^env TZ: "" → CET$`},
	{name: "renamed, seeing positions", edit: func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("b.txt"))) },
		first: func(w *world) { own(w); w.base = []*mr.Definition{counted(shape{positions: true})} }, runs: some, why: fresh},
}

func lines(seed, n int) string {
	var b strings.Builder
	x := uint32(seed)
	for range n {
		for range 8 {
			x = x*1664525 + 1013904223
			fmt.Fprintf(&b, "w%d ", x>>24)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), job: "wordcount", o: mrtest.Options{SplitSize: 4 << 10}}
	w.in = []string{w.dir}
	w.must(os.Mkdir(w.path("small"), 0o700))
	w.write("a.txt", lines(1, 300)) // three splits
	w.write("z.txt", lines(2, 300))
	for i := range 20 {
		w.write(fmt.Sprintf("small/%d.txt", i), fmt.Sprintf("number %d and some more words\n", i))
	}
	return w
}

// compressed adds a compressed file.
func compressed(w *world) { w.zip("c.gz", lines(5, 1000), gzip.DefaultCompression) }

func contentCut(w *world) { w.o.Chunking = "content" }

func (w *world) zip(name, data string, level int) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, level)
	w.must(err)
	_, err = z.Write([]byte(data))
	w.must(errors.Join(err, z.Close()))
	w.write(name, b.String())
}

func (w *world) jobs() []*mr.Definition {
	return slices.Concat(builtin.Jobs(), []*mr.Definition{counted(shape{})}, w.base)
}

func TestMatrix(t *testing.T) {
	for _, row := range matrix {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if row.first != nil {
				row.first(w)
			}
			w.m = mrtest.New(t, w.jobs()...)
			if _, err := w.m.TryOn(w.job, w.in, w.o); err != nil {
				t.Fatal(err)
			}
			row.edit(w)
			w.m.Redefine(w.extra...)
			fresh := mrtest.New(t, append(w.jobs(), w.extra...)...)
			if w.node != nil {
				w.m.Reopen(*w.node)
				fresh.Reopen(*w.node)
			}
			foreseen, err := w.m.DryRun(w.job, w.in, w.o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := w.m.TryOn(w.job, w.in, w.o)
			if err != nil {
				t.Fatal(err)
			}
			cold, err := fresh.TryOn(w.job, w.in, w.o)
			if err != nil {
				t.Fatal(err)
			}
			if got.Output != cold.Output {
				t.Errorf("FALSE HIT: the output is not that of a cold run")
			}
			if !slices.Equal(got.Status.Counters, cold.Status.Counters) {
				t.Errorf("counters %v, cold %v", got.Status.Counters, cold.Status.Counters)
			}
			p := got.Status.Map
			checkRuns(t, row.runs, p.Run, p.Tasks, cold.Status.Map.Run)
			told, err := w.m.Explain(got.Status.Job)
			if err != nil {
				t.Fatal(err)
			}
			row.checkReasons(t, p.Run, told.Rows, foreseen.Rows)
		})
	}
	if len(matrix) < 64 {
		t.Errorf("the matrix has %d rows", len(matrix))
	}
}

// checkReasons holds what explain says of the maps that ran, and a dry run before, against
// the row's reason.
func (r *row) checkReasons(t *testing.T, ran int, told, foreseen []mr.ExplainRow) {
	t.Helper()
	why := regexp.MustCompile(r.why)
	tasks, named := 0, false
	for _, x := range told {
		if x.Phase != "map" || x.State != mr.Succeeded {
			continue
		}
		tasks += x.Tasks
		match := why.MatchString(x.Reason)
		named = named || match
		if !match && (r.runs > 0 || x.Reason != "new input") {
			t.Errorf("explain says %q of %d tasks, want %s", x.Reason, x.Tasks, r.why)
		}
	}
	if tasks != ran || ran > 0 && !named {
		t.Errorf("explain has %d of %d maps that ran, and %s is said: %v; it says %+v", tasks, ran, r.why, named, told)
	}
	sure := 0 // that they will run; of the others it says that they are read first
	for _, x := range foreseen {
		if x.Phase == "map" && x.State == mr.Pending && !strings.HasSuffix(x.Reason, "then looked up") {
			sure += x.Tasks
		}
	}
	if sure > ran {
		t.Errorf("%d maps ran, and a dry run is sure of %d: %+v", ran, sure, foreseen)
	}
	// Files are too young for their stamps here, so a dry run can't tell of inputs without
	// reading them; of everything else it can.
	if r.runs != all {
		return
	}
	for _, x := range foreseen {
		if head, _, _ := strings.Cut(x.Reason, "; "); x.Phase == "map" && why.MatchString(head) {
			return
		}
	}
	if !strings.HasPrefix(r.why, "^invalidated") {
		t.Errorf("a dry run does not foresee %s: %+v", r.why, foreseen)
	}
}

var update = flag.Bool("update", false, "write the lists of false misses in RATIONALE.md anew")

// TestFalseMisses holds the list of them in RATIONALE.md.
func TestFalseMisses(t *testing.T) {
	var b strings.Builder
	b.WriteString("| edit | why maps run |\n|---|---|\n")
	for _, r := range matrix {
		if r.miss != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", r.name, r.miss)
		}
	}
	const file, begin, end = "../RATIONALE.md", "<!-- false misses of the matrix -->\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	list, tail, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s does not hold the list", file)
	}
	if list == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s has another list of false misses; go test ./mrtest -run FalseMisses -update writes it. It is now:\n%s", file, b.String())
	}
	if err := os.WriteFile(file, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
