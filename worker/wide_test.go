package worker

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// A merge too wide for the memory adds sums up in its first pass: the part is the same, and so
// is what is told of it.
func TestWideSums(t *testing.T) {
	runs := &memoryRuns{}
	s := New(Options{Runs: runs, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
	f := &fold{t: t, s: s, program: plan.Program{Job: "counts"}}
	short, long := "odd", "odd, and longer than what is compared at once"
	f.wideSums("small", 1<<20, short, runs, 16, true)
	f.wideSums("nothing", 0, short, runs, 16, false)
	f.wideSums("negative", -3, short, runs, 16, false)
	f.wideSums("negative, of a long key", -3, long, runs, 16, false)
	f.wideSums("negative, of a long key, later", -3, long, runs, 20, false)
	f.wideSums("overflowing", 1<<63-1, long, runs, 16, false)
}

// wideSums has an odd value in one of the runs, at.
func (f *fold) wideSums(name string, odd int64, where string, runs *memoryRuns, at int, positive bool) {
	var w plan.Work
	const each, many = 10_000, 60
	for r := range many {
		counts := map[string]int64{}
		for i := range each {
			key := fmt.Sprintf("a word %d", i*(1+r%3))
			if i%10 == 0 {
				key = fmt.Sprintf("word %d of %d", i, r)
			}
			counts[key] = int64(i + 1)
		}
		if counts["a word"] = 1; r == at {
			counts[where] = odd
		} else if r > 15 {
			counts[where] = 1
		}
		w.Runs = append(w.Runs, putCounts(f.t, runs, counts))
	}
	m, err := f.s.openRuns(&w, true)
	if err != nil {
		f.t.Fatal(err)
	}
	var need int64
	for _, o := range m.runs {
		need += o.ix.ReaderMemory()
	}
	if m.close(); need < 10<<20 {
		f.t.Fatalf("the merge is not wide: %d bytes", need)
	}
	want, plain := f.reduce(w)
	w.Memory, w.KeepMost = 1, 1<<30
	got, res := f.reduce(w)
	if !bytes.Equal(got, want) || !bytes.Contains(got, []byte("\na word 57\t")) {
		f.t.Errorf("%s: other bytes", name)
	}
	if in, all := counterOf(res, "reduce_input_records"), counterOf(plain, "reduce_input_records"); in != all || in < each*many {
		f.t.Errorf("%s: %d records are counted of %d", name, in, all)
	}
	if res.Positive != plain.Positive || res.Positive != positive {
		f.t.Errorf("%s: positive is %v, and %v in one pass", name, res.Positive, plain.Positive)
	}
	if res.Made.Records != plain.Made.Records || res.Made.Run == 0 {
		f.t.Errorf("%s: %+v, want the records of %+v kept", name, res.Made, plain.Made)
	}
}
