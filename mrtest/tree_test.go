package mrtest_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/mrtest"
)

// sums adds up floats by key, which is not associative: whoever folds in another order
// comes to other bits.
func sums(version string) *mr.Definition {
	return mr.Job("sums", mr.Version(version),
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, float64]) error {
			key, text, _ := strings.Cut(line, " ")
			x, err := strconv.ParseFloat(text, 64)
			emit(key, x)
			return err
		}),
		mr.Combine(func(a, b float64) float64 {
			if version == "product" {
				return a * b
			}
			return a + b
		}))
}

// numbers are lines of keys and floats of very different magnitudes.
func numbers(seed uint64, n int) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		x := rng.NormFloat64()
		for range rng.IntN(12) {
			x *= 37
		}
		fmt.Fprintf(&b, "key%02d %g\n", rng.IntN(40), x)
	}
	return b.String()
}

const smallSplit = 2 << 10

func cold(t *testing.T, files mrtest.Files, o mrtest.Options) string {
	o.SplitSize = smallSplit
	return mrtest.New(t, sums("1")).Run("sums", files, o).Output
}

// What a rerun makes, of nodes that earlier runs have kept, is what a cold run makes, to
// the bit: whatever was kept, and wherever ranges are cut.
func TestRerunsFoldAsColdRunsDo(t *testing.T) {
	m := mrtest.New(t, sums("1"))
	files := mrtest.Files{"a.txt": numbers(1, 4000), "b.txt": numbers(2, 4000)}
	run := func(what string, o mrtest.Options) mr.MergeStatus {
		t.Helper()
		o.SplitSize = smallSplit
		r := m.Run("sums", files, o)
		want := cold(t, files, mrtest.Options{})
		if r.Output != want {
			t.Errorf("%s: the output is not that of a cold run", what)
		}
		if other := cold(t, files, mrtest.Options{NoCache: true, Reducers: 7}); other != want {
			t.Errorf("%s: the output depends on the ranges", what)
		}
		return r.Status.Merge
	}
	if s := run("first", mrtest.Options{}); s != (mr.MergeStatus{}) {
		t.Errorf("a first run has kept nodes: %+v", s)
	}
	files["b.txt"] += numbers(3, 100)
	if s := run("appended", mrtest.Options{}); s.Run == 0 || s.Cached != 0 {
		t.Errorf("after the first append: %+v", s)
	}
	files["b.txt"] += numbers(4, 100)
	if s := run("appended again", mrtest.Options{}); s.Cached == 0 {
		t.Errorf("after the second append no node was read: %+v", s)
	}
	files["a.txt"] = numbers(5, 200) + files["a.txt"][strings.Index(files["a.txt"], "\n")+1:]
	run("another beginning", mrtest.Options{})
	delete(files, "b.txt")
	run("a file less", mrtest.Options{})
	files["c.txt"] = numbers(6, 3000)
	run("a file more", mrtest.Options{Reducers: 3})
	files["c.txt"] += numbers(7, 10)
	if s := run("no cache", mrtest.Options{NoCache: true}); s != (mr.MergeStatus{}) {
		t.Errorf("a job without a cache has read or kept nodes: %+v", s)
	}
}

// Whoever asks for it gets nodes from the first run on.
func TestIncrementalKeepsNodesAtOnce(t *testing.T) {
	m := mrtest.New(t, sums("1"))
	files := mrtest.Files{"a.txt": numbers(1, 4000)}
	o := mrtest.Options{SplitSize: smallSplit, Incremental: true}
	if s := m.Run("sums", files, o).Status.Merge; s.Run == 0 {
		t.Fatalf("no node was kept: %+v", s)
	}
	files["a.txt"] += numbers(2, 50)
	r := m.Run("sums", files, o)
	if r.Status.Merge.Cached == 0 {
		t.Errorf("no node was read: %+v", r.Status.Merge)
	}
	if r.Output != cold(t, files, mrtest.Options{}) {
		t.Error("the output is not that of a cold run")
	}
	for _, c := range r.Status.Counters {
		if c.Name == "reduce_input_records" {
			want := int64(0)
			for _, w := range mrtest.New(t, sums("1")).Run("sums", files, mrtest.Options{SplitSize: smallSplit}).Status.Counters {
				if w.Name == c.Name {
					want = w.Value
				}
			}
			if c.Value != want {
				t.Errorf("%d reduce input records are counted, %d in a cold run", c.Value, want)
			}
		}
	}
}

// A node is its combiner's: of another it is never taken, not even over the very same runs.
func TestNodesAreTheCombinersOwn(t *testing.T) {
	var lines strings.Builder
	for i := range 4000 { // no key twice in a split, so that maps make the same of both
		fmt.Fprintf(&lines, "key%03d %g\n", i%400, 1+float64(i)/7)
	}
	m := mrtest.New(t, sums("1"))
	files := mrtest.Files{"a.txt": lines.String()}
	o := mrtest.Options{SplitSize: smallSplit, Incremental: true}
	if r := m.Run("sums", files, o); r.Status.Merge.Run == 0 {
		t.Fatalf("no node was kept: %+v", r.Status.Merge)
	}
	m.Redefine(sums("product"))
	r := m.Run("sums", files, o)
	if r.Status.Merge.Cached != 0 {
		t.Errorf("nodes of another combiner were read: %+v", r.Status.Merge)
	}
	if want := mrtest.New(t, sums("product")).Run("sums", files, o); r.Output != want.Output {
		t.Error("the output is not that of a cold run")
	}
}

// What a combiner sees is in its nodes' keys, also what no map task sees.
func TestNodesKnowTheReducersParameters(t *testing.T) {
	scaled := func() *mr.Definition {
		return mr.JobFunc("scaled", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
			scale := fs.Float64("scale", 1, "is the reducer's alone")
			return func([]string) ([]mr.Option, error) {
				return []mr.Option{
					mr.ReduceOnly("scale"),
					mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, float64]) error {
						emit(line[:6], 1)
						return nil
					}),
					mr.Combine(func(a, b float64) float64 { return a + *scale*b }),
				}, nil
			}
		})
	}
	var lines strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&lines, "key%03d and more\n", i%400)
	}
	files := mrtest.Files{"a.txt": lines.String()}
	m := mrtest.New(t, scaled())
	o := mrtest.Options{SplitSize: smallSplit, Incremental: true}
	if r := m.Run("scaled", files, o); r.Status.Merge.Run == 0 {
		t.Fatalf("no node was kept: %+v", r.Status.Merge)
	}
	o.Args = []string{"--scale", "2"}
	r := m.Run("scaled", files, o)
	if r.Status.Map.Run > 0 || r.Status.Merge.Cached > 0 {
		t.Errorf("%d maps ran; of nodes %+v", r.Status.Map.Run, r.Status.Merge)
	}
	if want := mrtest.New(t, scaled()).Run("scaled", files, o); r.Output != want.Output {
		t.Error("the output is not that of a cold run")
	}
}

// Whatever is done to files, one store for all makes what a new one makes.
func TestNodesThroughManyEdits(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	m := mrtest.New(t, sums("1"))
	files := mrtest.Files{}
	for i := range 4 {
		files[fmt.Sprint("f", i)] = numbers(uint64(i), 1500)
	}
	names := func() []string { return slices.Sorted(maps.Keys(files)) }
	read := 0
	for step := range 14 {
		all := names()
		name := all[rng.IntN(len(all))]
		lines := strings.SplitAfter(files[name], "\n")
		at := rng.IntN(len(lines))
		switch rng.IntN(6) {
		case 0, 1:
			files[name] += numbers(uint64(100+step), 60)
		case 2:
			files[name] = strings.Join(lines[:at], "") + numbers(uint64(100+step), 3) + strings.Join(lines[at:], "")
		case 3:
			files[fmt.Sprint("g", step)] = numbers(uint64(100+step), 800)
		case 4:
			if len(all) > 2 {
				delete(files, name)
			}
		default:
			files[name] = strings.Join(lines[:at], "")
		}
		o := mrtest.Options{SplitSize: smallSplit, Reducers: rng.IntN(4), Incremental: rng.IntN(2) == 0}
		r := m.Run("sums", files, o)
		read += r.Status.Merge.Cached
		if r.Output != cold(t, files, mrtest.Options{}) {
			t.Fatalf("step %d: the output is not that of a cold run", step)
		}
	}
	if read == 0 {
		t.Error("no node was ever read")
	}
}

// Data that arrives under new keys leaves the parts of the others as they are, job after job.
func TestNewHoursLeaveOldParts(t *testing.T) {
	hours := mr.Job("hours", mr.Version("1"),
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, float64]) error {
			emit(line[:21], 1)
			return nil
		}),
		mr.Combine(func(a, b float64) float64 { return a + b }))
	m := mrtest.New(t, hours)
	var log strings.Builder
	hour := 0
	arrive := func(n int) {
		for range n {
			for host := range 2000 {
				fmt.Fprintf(&log, "hour%05d host%07d of an access log\n", hour, host*7919%10000)
			}
			hour++
		}
	}
	arrive(100)
	o := mrtest.Options{SplitSize: 1 << 20}
	first := m.Run("hours", mrtest.Files{"log": log.String()}, o)
	if first.Status.Reduce.Tasks < 4 {
		t.Fatalf("%d reduce tasks", first.Status.Reduce.Tasks)
	}
	for range 6 {
		arrive(4)
		r := m.Run("hours", mrtest.Files{"log": log.String()}, o)
		// The last range, or the two that it was cut into, or two that were joined besides.
		if p := r.Status.Reduce; p.Run > 3 || p.Cached < first.Status.Reduce.Tasks-2 {
			t.Errorf("after %d hours: %d reduce tasks ran, and %d were cached", hour, p.Run, p.Cached)
		}
		if got := strings.Count(r.Output, "\n"); got != hour*2000 {
			t.Errorf("%d keys, want %d", got, hour*2000)
		}
	}
}
