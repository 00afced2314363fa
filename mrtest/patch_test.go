package mrtest_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/mrtest"
)

// totals adds up integers by key, which any order does: a line is a quoted key and a number.
func totals[K any](keyOf func(string) K) *mr.Definition {
	return mr.Job("totals", mr.Version("1"),
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[K, int64]) error {
			at := strings.LastIndexByte(line, ' ')
			key, err := strconv.Unquote(line[:at])
			if err != nil {
				return err
			}
			n, err := strconv.ParseInt(line[at+1:], 10, 64)
			emit(keyOf(key), n)
			return err
		}),
		mr.Combine(mr.Sum[int64]))
}

func texts() *mr.Definition { return totals(func(s string) string { return s }) }

// signed makes keys of very different lengths of them.
func signed(s string) int64 {
	h := int64(0)
	for i := range len(s) {
		h = h*31 + int64(s[i])
	}
	return h * h * h >> (uint(h) % 60)
}

// amounts are lines for totals. With least 1, all values are positive and small.
func amounts(rng *rand.Rand, n, keys int, least int64) string {
	var b strings.Builder
	for range n {
		key := fmt.Sprintf("key %d\tof\\many", rng.IntN(keys))
		switch rng.IntN(50) {
		case 0:
			key = ""
		case 1:
			key = strings.Repeat("long ", rng.IntN(400))
		case 2:
			key = "\t\x00\xff"
		}
		v := least + rng.Int64N(4)
		if rng.IntN(300) == 0 && least != 1 {
			v *= 1 << 50
		}
		fmt.Fprintf(&b, "%q %d\n", key, v)
	}
	return b.String()
}

func coldTotals(t *testing.T, job *mr.Definition, files mrtest.Files) mrtest.Result {
	return mrtest.New(t, job).Run("totals", files, mrtest.Options{SplitSize: smallSplit})
}

// Whatever is done to files, what is made of an earlier job's parts is what a new store makes.
func TestPartsFollowFromEarlierOnes(t *testing.T) {
	for _, least := range []int64{1, -1, 0} {
		t.Run(fmt.Sprint("values from ", least), func(t *testing.T) { followEdits(t, texts(), least) })
	}
	t.Run("signed keys", func(t *testing.T) { followEdits(t, totals(signed), 1) })
	t.Run("keys without a sign", func(t *testing.T) {
		followEdits(t, totals(func(s string) uint64 { return uint64(signed(s)) }), 1)
	})
}

func followEdits(t *testing.T, job *mr.Definition, least int64) {
	rng := rand.New(rand.NewPCG(uint64(least), 5))
	m := mrtest.New(t, job)
	files := mrtest.Files{}
	for i := range 4 {
		files[fmt.Sprint("f", i)] = amounts(rng, 1500, 3000, least)
	}
	patched := 0
	for step := range 16 {
		names := slices.Sorted(maps.Keys(files))
		name := names[rng.IntN(len(names))]
		lines := strings.SplitAfter(files[name], "\n")
		at := rng.IntN(len(lines))
		switch rng.IntN(6) {
		case 0, 1:
			files[name] += amounts(rng, 30, 4000, least)
		case 2:
			files[name] = strings.Join(lines[:at], "") + amounts(rng, 3, 4000, least) + strings.Join(lines[at:], "")
		case 3:
			files[fmt.Sprint("g", step)] = amounts(rng, 200, 9000, least)
		case 4:
			if len(files[name]) < 1<<13 {
				delete(files, name)
			}
		default:
			files[name] = strings.Join(lines[:max(at, len(lines)-40)], "")
		}
		r := m.Run("totals", files, mrtest.Options{SplitSize: smallSplit, Reducers: 3})
		patched += r.Status.Merge.Cached
		want := coldTotals(t, job, files)
		if r.Output != want.Output {
			t.Fatalf("step %d: the output is not that of a cold run", step)
		}
		if got, want := reduceCounters(r), reduceCounters(want); !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: counters\n%v, want\n%v", step, got, want)
		}
	}
	if patched < 6 {
		t.Errorf("%d parts were made of earlier ones", patched)
	}
}

func reduceCounters(r mrtest.Result) map[string]int64 {
	cs := map[string]int64{}
	for _, c := range r.Status.Counters {
		if c.Group == "mr" && strings.HasPrefix(c.Name, "reduce_") {
			cs[c.Name] = c.Value
		}
	}
	return cs
}

// A key with a line break can't be told from two lines: parts that hold one are not built upon.
func TestBrokenLinesAreNotBuiltUpon(t *testing.T) {
	m := mrtest.New(t, texts())
	rng := rand.New(rand.NewPCG(3, 3))
	files := mrtest.Files{"a": amounts(rng, 2000, 500, 1) + "\"key 7\\n1\\t5\" 3\n"}
	m.Run("totals", files, mrtest.Options{SplitSize: smallSplit})
	files["a"] += amounts(rng, 5, 500, 1)
	r := m.Run("totals", files, mrtest.Options{SplitSize: smallSplit})
	if r.Output != coldTotals(t, texts(), files).Output {
		t.Error("the output is not that of a cold run")
	}
	if r.Status.Merge.Cached != 0 {
		t.Errorf("%d parts were made of earlier ones", r.Status.Merge.Cached)
	}
}

// Two inputs of one job take turns: neither moves the other's ranges.
func TestInputsKeepTheirRanges(t *testing.T) {
	lines := func(name string, from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "\"%s %06d\" 1\n", name, i)
		}
		return b.String()
	}
	m := mrtest.New(t, texts())
	dir := t.TempDir()
	run := func(name, text string) (ran int) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := m.TryOn("totals", []string{path}, mrtest.Options{SplitSize: 1 << 14, Reducers: 4})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status.Reduce.Run
	}
	run("one", lines("one", 0, 20000))
	run("one", lines("one", 0, 26000)) // the last range is larger now, but not so large as to be cut
	run("other", lines("other", 0, 30000))
	if n := run("one", lines("one", 0, 26000)) + run("other", lines("other", 0, 30000)); n != 0 {
		t.Errorf("%d reduce tasks ran again on the same input", n)
	}
}
