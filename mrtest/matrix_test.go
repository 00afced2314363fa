package mrtest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/mrtest"
)

// The matrix: one edit between two runs, and how much of the second must run. Every row
// is run for real, and its output compared with that of a store that has never seen
// anything: a difference is a false hit, the worst bug there is. Rows that run more
// than they would need to are false misses; they say so.

// world is what a row edits.
type world struct {
	t     *testing.T
	dir   string
	job   string
	in    []string
	o     mrtest.Options
	extra []*mr.Definition // shadows the first run's definitions
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

// counted is a job in two versions of its own.
func counted(version string, plus int64) *mr.Definition {
	return mr.JobFunc("counted", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		suffix := fs.String("suffix", "", "is added to each word")
		fs.Int64("scale", 1, "is the reducer's alone")
		return func([]string) ([]mr.Option, error) {
			return []mr.Option{
				mr.Version(version), mr.ReduceOnly("scale"),
				mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
					for w := range strings.FieldsSeq(line) {
						emit(w+*suffix, plus)
					}
					return nil
				}),
				mr.Combine(mr.Sum[int64]),
			}, nil
		}
	})
}

var matrix = []struct {
	name string
	edit func(w *world)
	runs int
}{
	// Nothing that matters.
	{"nothing", func(*world) {}, none},
	{"reducers", func(w *world) { w.o.Reducers = 5 }, none},
	{"many reducers", func(w *world) { w.o.Reducers = 40 }, none},
	{"output format", func(w *world) { w.o.OutputFormat = "jsonl" }, none},
	{"raw output", func(w *world) { w.o.OutputFormat = "raw" }, none},
	{"another output folder", func(w *world) { w.o.Output = "elsewhere" }, none},
	{"touched", func(w *world) { w.write("a.txt", w.read("a.txt")) }, none},
	{"mode changed", func(w *world) { w.must(os.Chmod(w.path("a.txt"), 0o640)) }, none},
	{"rewritten by rename", func(w *world) {
		w.write("tmp", w.read("a.txt"))
		w.must(os.Rename(w.path("tmp"), w.path("a.txt")))
	}, none},
	{"large file renamed", func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("b.txt"))) }, none},
	{"rotated", func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("a.txt.1"))) }, none},
	{"moved to a folder", func(w *world) {
		w.must(os.Mkdir(w.path("old"), 0o700))
		w.must(os.Rename(w.path("a.txt"), w.path("old/a.txt")))
	}, none},
	{"order of patterns", func(w *world) { w.in = []string{w.path("z.txt"), w.path("small"), w.path("a.txt")} }, none},
	{"a pattern twice", func(w *world) { w.in = append(w.in, w.path("a.txt")) }, none},
	{"a glob for a folder", func(w *world) { w.in = []string{w.path("**/*.txt")} }, none},
	{"by a symbolic link", func(w *world) {
		w.must(os.Symlink(w.path("a.txt"), w.path("link.txt")))
		w.in = []string{w.path("link.txt"), w.path("small"), w.path("z.txt")}
	}, none},
	{"default flag spelt out", func(w *world) { w.o.Args = []string{"--letters=false"} }, none},
	{"job's reduce-only flag", func(w *world) { w.o.Args = []string{"--scale", "3"} }, none},
	{"hidden file added", func(w *world) { w.write(".hidden", "x y z\n") }, none},
	{"empty folder added", func(w *world) { w.must(os.Mkdir(w.path("empty"), 0o700)) }, none},
	{"file removed", func(w *world) { w.must(os.Remove(w.path("a.txt"))) }, none},
	{"an equal copy of a large file", func(w *world) { w.write("copy.txt", w.read("a.txt")) }, none},
	{"a hard link", func(w *world) { w.must(os.Link(w.path("a.txt"), w.path("hard.txt"))) }, none},

	// What changes some.
	{"appended", func(w *world) { w.write("a.txt", w.read("a.txt")+"one more line\n") }, 1},
	{"last line not ended", func(w *world) { w.write("a.txt", strings.TrimSuffix(w.read("a.txt"), "\n")) }, 1},
	{"cut short", func(w *world) { w.write("a.txt", w.read("a.txt")[:5000]) }, 1},
	{"first byte", func(w *world) { s := w.read("a.txt"); w.write("a.txt", "Q"+s[1:]) }, 1},
	{"last byte", func(w *world) { s := w.read("a.txt"); w.write("a.txt", s[:len(s)-2]+"Q\n") }, 1},
	{"same size, same place", func(w *world) { w.edit("a.txt", "w17 ", "v17 ") }, 1},
	{"a case changed", func(w *world) { w.edit("a.txt", "w99 ", "W99 ") }, 1},
	{"LF to CRLF once", func(w *world) { w.edit("z.txt", "\n", "\r\n") }, 1},
	{"a NUL", func(w *world) { w.edit("a.txt", "w5 ", "\x005 ") }, 1},
	{"a line in front", func(w *world) { w.write("z.txt", "front\n"+w.read("z.txt")) }, some},
	{"a small file changed", func(w *world) { w.write("small/3.txt", "three changed\n") }, 1},
	{"a small file added", func(w *world) { w.write("small/99.txt", "ninety nine\n") }, 1},
	{"a small file removed", func(w *world) { w.must(os.Remove(w.path("small/5.txt"))) }, 1},
	{"a small file emptied", func(w *world) { w.write("small/5.txt", "") }, 1},
	{"a new large file", func(w *world) { w.write("new.txt", lines(7, 300)) }, some},
	{"two files swapped", func(w *world) {
		a, z := w.read("a.txt"), w.read("z.txt")
		w.write("a.txt", z)
		w.write("z.txt", a)
	}, none},
	{"a file emptied", func(w *world) { w.write("a.txt", "") }, 1}, // into a pack

	// What changes all.
	{"parameter", func(w *world) { w.o.Args = []string{"--letters"} }, all},
	{"another parameter", func(w *world) { w.o.Args = []string{"--lower"} }, all},
	{"two parameters", func(w *world) { w.o.Args = []string{"--lower", "--letters"} }, all},
	{"no cache", func(w *world) { w.o.NoCache = true }, all},
	{"another job", func(w *world) { w.job = "count" }, all},
	{"another job with a flag", func(w *world) { w.job, w.o.Args = "count", []string{"--field", "1"} }, all},
	{"grep", func(w *world) { w.job, w.o.Args = "grep", []string{"w1"} }, all},
	{"sort", func(w *world) { w.job = "sort" }, all},
	{"index", func(w *world) { w.job = "index" }, all},
	{"format whole", func(w *world) { w.o.Format = mr.Format{Kind: mr.Whole} }, all},
	{"smaller splits", func(w *world) { w.o.SplitSize = 1 << 10 }, some}, // a pack may come out the same
	{"own job's flag", func(w *world) { w.job, w.o.Args = "counted", []string{"--suffix", "!"} }, all},
	{"own job's version", func(w *world) { w.job, w.extra = "counted", []*mr.Definition{counted("2", 1)} }, all},
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

func TestMatrix(t *testing.T) {
	for _, row := range matrix {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			jobs := builtin.Jobs()
			m := mrtest.New(t, append(slices.Clone(jobs), counted("1", 1))...)
			base := *w
			if row.name == "own job's version" || row.name == "own job's flag" || row.name == "job's reduce-only flag" {
				base.job, w.job = "counted", "counted"
			}
			if _, err := m.TryOn(base.job, base.in, base.o); err != nil {
				t.Fatal(err)
			}
			row.edit(w)
			if w.extra != nil {
				m.Redefine(w.extra...)
			}
			got, err := m.TryOn(w.job, w.in, w.o)
			if err != nil {
				t.Fatal(err)
			}
			fresh := mrtest.New(t, append(append(slices.Clone(jobs), counted("1", 1)), w.extra...)...)
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
			switch ok := p.Run == row.runs; {
			case row.runs == all:
				if p.Run != cold.Status.Map.Run { // equal splits are computed once
					t.Errorf("%d of %d maps ran, want all", p.Run, p.Tasks)
				}
			case row.runs == some:
				if p.Run == 0 || p.Run == p.Tasks {
					t.Errorf("%d of %d maps ran, want some", p.Run, p.Tasks)
				}
			case !ok:
				t.Errorf("%d of %d maps ran, want %d", p.Run, p.Tasks, row.runs)
			}
		})
	}
	if len(matrix) < 50 {
		t.Errorf("the matrix has %d rows", len(matrix))
	}
}
