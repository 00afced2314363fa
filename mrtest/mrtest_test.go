package mrtest_test

import (
	"errors"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/mrtest"
)

func words() *mr.Definition {
	return mr.Job("words",
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
			for _, w := range strings.Fields(line) {
				if w == "bad" {
					return errors.New("a bad word")
				}
				emit(w, 1)
			}
			return nil
		}),
		mr.Combine(mr.Sum[int64]),
		mr.Reduce(func(_ *mr.Task, w string, ns iter.Seq[int64], emit mr.Emit[string, int64]) error {
			var sum int64
			for n := range ns {
				sum += n
			}
			emit(w, sum)
			return nil
		}))
}

func TestARunAndItsRerun(t *testing.T) {
	m := mrtest.New(t, words())
	files := mrtest.Files{"a.txt": "b a b\n", "sub/b.txt": "c\n"}
	first := m.Run("words", files)
	if want := "a\t1\nb\t2\nc\t1\n"; first.Output != want {
		t.Errorf("output %q, want %q", first.Output, want)
	}
	again := m.Run("words", files, mrtest.Options{Reducers: 3})
	if again.Output != first.Output || len(again.Parts) != 3 {
		t.Errorf("with three reducers: %q", again.Parts)
	}
	if again.Status.Map.Run != 0 || again.Status.Map.Cached == 0 {
		t.Errorf("the rerun mapped: %+v", again.Status.Map)
	}
}

func TestInputsInTheFolderOfTheTest(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("a.txt", []byte("a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := mrtest.New(t, words())
	for _, path := range []string{"a.txt", "*.txt", "."} {
		if r, err := m.TryOn("words", []string{path}); err != nil || r.Output != "a\t1\nb\t1\n" {
			t.Errorf("%s: %q, %v", path, r.Output, err)
		}
	}
	if _, err := m.TryOn("words", []string{""}); err == nil {
		t.Error("no path was taken for the folder")
	}
}

func TestAFailureNamesFileAndOffset(t *testing.T) {
	m := mrtest.New(t, words())
	_, err := m.Try("words", mrtest.Files{"a.txt": "fine\nthis is bad\n"})
	if err == nil {
		t.Fatal("the job did not fail")
	}
	for _, part := range []string{"a.txt", "a bad word", "5"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestARewrittenOutputKeepsUnchangedParts(t *testing.T) {
	m := mrtest.New(t, words())
	files := mrtest.Files{"a.txt": strings.Repeat("b a b\n", 1000), "b.txt": "z\n"}
	first := m.Run("words", files, mrtest.Options{Output: "same"})
	again := m.Run("words", files, mrtest.Options{Output: "same", Overwrite: true})
	if again.Output != first.Output {
		t.Errorf("output %q, then %q", first.Output, again.Output)
	}
	if again.Status.Reduce.Run != 0 || again.Status.Reduce.Cached != 1 {
		t.Errorf("the rerun reduced: %+v", again.Status.Reduce)
	}
	if a, b := first.Status.Counters, again.Status.Counters; !slices.Equal(a, b) {
		t.Errorf("counters %v, then %v", a, b)
	}
	if a, b := first.Manifest.Parts, again.Manifest.Parts; !slices.Equal(a, b) {
		t.Errorf("manifest %v, then %v", a, b)
	}
	files["b.txt"] = "y\n"
	changed := m.Run("words", files, mrtest.Options{Output: "same", Overwrite: true})
	if want := strings.Replace(first.Output, "z\t1", "y\t1", 1); changed.Output != want {
		t.Errorf("output %q, want %q", changed.Output, want)
	}
}

// Records whose keys and values have no bytes are records: none is lost, alone in its map
// output or among others.
func TestRecordsWithoutBytes(t *testing.T) {
	lines := mr.Job("lines",
		mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[[]byte, mr.None]) error {
			emit(line, mr.None{})
			return nil
		}),
		mr.Pass[[]byte, mr.None]())
	how := mr.Job("how-many",
		mr.Map(func(_ *mr.Task, _ []byte, emit mr.Emit[mr.None, mr.None]) error {
			emit(mr.None{}, mr.None{})
			return nil
		}),
		mr.Reduce(func(_ *mr.Task, _ mr.None, all iter.Seq[mr.None], emit mr.Emit[mr.None, int64]) error {
			var n int64
			for range all {
				n++
			}
			emit(mr.None{}, n)
			return nil
		}))
	m := mrtest.New(t, lines, how)
	for _, reducers := range []int{0, 3} {
		for text, n := range map[string]string{"\n": "1\n", "\n\n\n": "3\n", "a\n\n\nb\n": "4\n", "b\n\na\n\n": "4\n", "": ""} {
			o := mrtest.Options{SplitSize: 1, Reducers: reducers}
			want := strings.SplitAfter(text, "\n")
			slices.Sort(want)
			if got := m.Run("lines", mrtest.Files{"f": text}, o).Output; got != strings.Join(want, "") {
				t.Errorf("lines of %q: %q", text, got)
			}
			if got := m.Run("how-many", mrtest.Files{"f": text}, o).Output; got != n {
				t.Errorf("number of lines of %q: %q", text, got)
			}
		}
	}
}

// What a function is given ends where it ends: what it appends does not reach the next record,
// component or value. Keys of 5,000 bytes are folded one by one.
func TestWhatIsAppendedGoesElsewhere(t *testing.T) {
	type both = mr.Tuple2[[]byte, []byte]
	end := func(b []byte) []byte { return append(b, "<end>"...) }
	m := mrtest.New(t,
		mr.Job("records",
			mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[[]byte, mr.None]) error {
				emit(end(line), mr.None{})
				return nil
			}),
			mr.Pass[[]byte, mr.None]()),
		mr.Job("values",
			mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[string, []byte]) error {
				emit(strings.Repeat("k", 5000), line)
				return nil
			}),
			mr.Combine(func(a, b []byte) []byte { return append(append(a, '+'), b...) }),
			mr.Reduce(func(_ *mr.Task, _ string, vs iter.Seq[[]byte], emit mr.Emit[mr.None, []byte]) error {
				for v := range vs {
					emit(mr.None{}, end(v))
				}
				return nil
			})),
		mr.Job("components",
			mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[both, both]) error {
				at := mr.T2(line[:1], line[1:])
				emit(at, at)
				return nil
			}),
			mr.Reduce(func(_ *mr.Task, k both, vs iter.Seq[both], emit mr.Emit[string, string]) error {
				key := string(end(k.A)) + string(end(k.B))
				for v := range vs {
					emit(key, string(end(v.A))+string(end(v.B)))
				}
				return nil
			})))
	files := mrtest.Files{"f": "ab\ncd\nef\r\ngh"}
	for job, want := range map[string]string{
		"records":    "ab<end>\ncd<end>\nef<end>\ngh<end>\n",
		"values":     "ab+cd+ef+gh<end>\n",
		"components": "a<end>b<end>\ta<end>b<end>\nc<end>d<end>\tc<end>d<end>\ne<end>f<end>\te<end>f<end>\ng<end>h<end>\tg<end>h<end>\n",
	} {
		if got := m.Run(job, files).Output; got != want {
			t.Errorf("%s: %q, want %q", job, got, want)
		}
	}
	fixed := mrtest.Options{Format: mr.Format{Kind: mr.Fixed, N: 2}}
	if got, want := m.Run("records", mrtest.Files{"f": "abcdef"}, fixed).Output, "ab<end>\ncd<end>\nef<end>\n"; got != want {
		t.Errorf("fixed records: %q, want %q", got, want)
	}
}
