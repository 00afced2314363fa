package worker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

func countJob() *mr.Definition {
	return mr.Job("counts", mr.Map(func(*mr.Task, string, mr.Emit[string, int64]) error { return nil }), mr.Combine(mr.Sum[int64]))
}

// putCounts stores counts as a run.
func putCounts(t testing.TB, runs *memoryRuns, counts map[string]int64) uint64 {
	t.Helper()
	sink := runs.Create()
	w := run.NewWriter(sink, run.Options{})
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		if err := w.Record([]byte(k), binary.AppendVarint(nil, counts[k])); err != nil {
			t.Fatal(err)
		}
	}
	return seal(t, w, sink)
}

func seal(t testing.TB, w *run.Writer, sink RunSink) uint64 {
	t.Helper()
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	id, err := sink.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// An earlier part that is not what it should be costs the attempt its shortcut, and nothing else.
func TestOddBases(t *testing.T) {
	runs := &memoryRuns{}
	s := New(Options{Runs: runs, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
	f := &fold{t: t, s: s, program: plan.Program{Job: "counts"}}
	old, gone, added := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for i := range 3000 {
		key := fmt.Sprintf("key %05d", i)
		old[key] = int64(i%7 + 1)
		if i%5 == 0 {
			gone[key], added[key] = 3, 4
		}
		if i%50 == 0 {
			added[key+" new"] = 1
		}
	}
	kept, minus, plus := putCounts(t, runs, old), putCounts(t, runs, gone), putCounts(t, runs, added)
	base, before := f.reduce(plan.Work{Runs: []uint64{kept, minus}, KeepMost: 1 << 20})
	w := plan.Work{Runs: []uint64{kept, plus}, KeepMost: 1 << 20}
	want, plain := f.reduce(w)
	keep := func(pieces ...string) uint64 {
		sink := runs.Create()
		kw := run.NewWriter(sink, run.Options{Unsorted: true})
		for _, p := range pieces {
			if err := kw.Record(nil, []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		return seal(t, kw, sink)
	}
	junk := runs.Create()
	if err := junk.WriteBlock([]byte("no run")); err != nil {
		t.Fatal(err)
	}
	lost, err := junk.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]plan.Patch{
		"base": {Base: lost}, "minus": {Base: kept, Minus: []uint64{lost}}, "plus": {Base: kept, Minus: []uint64{minus}, Plus: []uint64{plus, lost}},
	} {
		p.Totals = "1 bytes"
		if w.Patch = p; p.Base != lost {
			w.Patch.Base = before.Made.Run
		}
		if got, res := f.reduce(w); !bytes.Equal(got, want) || res.Patched {
			t.Errorf("with a lost %s: patched is %v, or other bytes", name, res.Patched)
		}
	}
	text := string(base)
	at := strings.Index(text, "key 01500")
	records := counterOf(before, "reduce_output_records")
	for _, c := range []struct {
		name    string
		pieces  []string
		records int64
		good    bool
	}{
		{"as it was made", []string{text}, records, true},
		{"in pieces", []string{text[:at], text[at:]}, records, true},
		{"a line in two pieces", []string{text[:at+4], text[at+4:]}, records, false},
		{"a line less", []string{text[:at], text[at+strings.Index(text[at:], "\n")+1:]}, records, false},
		{"another count", []string{text}, records + 1, false},
		{"without tabs", []string{strings.ReplaceAll(text, "\t", " ")}, records, false},
		{"no number", []string{strings.Replace(text, "key 01500\t", "key 01500\tx", 1)}, records, false},
		{"empty", nil, 0, false},
	} {
		w.Patch = plan.Patch{Totals: "1 bytes", Base: keep(c.pieces...), Records: c.records, Input: counterOf(before, "reduce_input_records"), Minus: []uint64{minus}, Plus: []uint64{plus}}
		got, res := f.reduce(w)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes", c.name)
		}
		if res.Made.Records != plain.Made.Records || res.Made.Digest != plain.Made.Digest || !slices.Equal(res.Counters, plain.Counters) {
			t.Errorf("%s: made %+v, counted %v; want %+v and %v", c.name, res.Made, res.Counters, plain.Made, plain.Counters)
		}
		if res.Patched != c.good {
			t.Errorf("%s: patched is %v", c.name, res.Patched)
		}
		if c.good { // what it keeps serves the next
			w.Patch.Base, w.Patch.Records, w.Patch.Minus, w.Patch.Plus = res.Made.Run, res.Made.Records, nil, nil
			if again, res := f.reduce(w); !res.Patched || !bytes.Equal(again, want) {
				t.Errorf("%s: the part that was kept is no base", c.name)
			}
		}
	}
}

// A base whose keys have line breaks is no use, and no damage: nobody is warned of it.
func TestBaseWithLineBreaks(t *testing.T) {
	for _, gone := range []string{"k1", "k1\nx", "k2", "y\n", "z"} {
		var log bytes.Buffer
		runs := &memoryRuns{}
		s := New(Options{
			Runs: runs, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true },
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		f := &fold{t: t, s: s, program: plan.Program{Job: "counts"}}
		old := map[string]int64{"k1\nx": 3, "k2": 2, "y\n": 1, "z": 5}
		if old[gone] == 0 {
			old[gone] = 1
		}
		kept, minus := putCounts(t, runs, old), putCounts(t, runs, map[string]int64{gone: 1})
		base, before := f.reduce(plan.Work{Runs: []uint64{kept}, KeepMost: 1 << 20})
		want, _ := f.reduce(plan.Work{Runs: []uint64{kept, minus}})
		patch := plan.Patch{Totals: "1 bytes", Base: before.Made.Run, Records: before.Made.Records, Plus: []uint64{minus}}
		got, res := f.reduce(plan.Work{Runs: []uint64{kept, minus}, KeepMost: 1 << 20, Patch: patch})
		if len(base) == 0 || !bytes.Equal(got, want) || res.Patched {
			t.Errorf("%q: patched is %v, or other bytes", gone, res.Patched)
		}
		if text := log.String(); strings.Contains(text, "level=WARN") || !strings.Contains(text, "keys have line breaks") {
			t.Errorf("%q: logged %s", gone, text)
		}
		log.Reset()
		patch.Records *= 3 // a base with fewer lines than records lacks some
		if f.reduce(plan.Work{Runs: []uint64{kept, minus}, KeepMost: 1 << 20, Patch: patch}); !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("%q: no warning of a base that lacks lines: %s", gone, log.String())
		}
	}
}

// A part is known to be a sum of positive values if it is one, however it was made.
func TestPositive(t *testing.T) {
	runs := &memoryRuns{}
	s := New(Options{Runs: runs, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
	f := &fold{t: t, s: s, program: plan.Program{Job: "counts"}}
	for _, key := range []string{"short %d", "longer than what is compared at once %d"} {
		for name, odd := range map[string]int64{"small": 1 << 20, "nothing": 0, "negative": -3, "huge": 1 << 34} {
			want := odd == 1<<20
			var w plan.Work
			for r := range 12 {
				counts := map[string]int64{}
				for i := range 100 {
					counts[fmt.Sprintf(key, i)] = int64(r + 1)
				}
				if r == 7 {
					counts[fmt.Sprintf(key, 50)] = odd
				}
				w.Runs = append(w.Runs, putCounts(t, runs, counts))
			}
			w.KeepMost = 1 << 20
			_, res := f.reduce(w)
			if res.Positive != want {
				t.Errorf("%s, %s: positive is %v", key, name, res.Positive)
			}
			// Take one off and add another: what is not positive stays so, and becomes so.
			patch := plan.Patch{Totals: "1 bytes", Base: res.Made.Run, Records: res.Made.Records, Input: 1200, Positive: res.Positive, Minus: w.Runs[:1]}
			without := plan.Work{Runs: w.Runs[1:], Patch: patch}
			if _, res := f.reduce(without); !res.Patched || res.Positive != want {
				t.Errorf("%s, %s, a run less: patched %v, positive %v", key, name, res.Patched, res.Positive)
			}
			patch.Positive, patch.Minus = true, nil
			patch.Plus = []uint64{putCounts(t, runs, map[string]int64{"added": odd})}
			with := plan.Work{Runs: append(slices.Clone(w.Runs), patch.Plus...), Patch: patch}
			if _, res := f.reduce(with); !res.Patched || res.Positive != want {
				t.Errorf("%s, %s, a run more: patched %v, positive %v", key, name, res.Patched, res.Positive)
			}
		}
	}
}

// FuzzBelow holds the search in lines against looking at each.
func FuzzBelow(f *testing.F) {
	f.Add(uint64(1), uint16(10), "b")
	f.Add(uint64(2), uint16(2000), "")
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, key string) {
		texts, _ := mr.LinesOf("1 bytes")
		rng := rand.New(rand.NewPCG(seed, 1))
		keys := make([]string, n)
		for i := range keys {
			keys[i] = strings.Repeat(string(rune('a'+rng.IntN(4))), rng.IntN(5)) + strings.Repeat("x\t", rng.IntN(3)*rng.IntN(3)*rng.IntN(40)) + fmt.Sprint(rng.IntN(500))
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		var lines []byte
		want := -1
		for i, k := range keys {
			if want < 0 && k >= key {
				want = len(lines)
			}
			lines = fmt.Appendf(lines, "%s\t%d\n", k, i)
		}
		if want < 0 {
			want = len(lines)
		}
		if got, err := below(lines, []byte(key), texts); got != want || err != nil {
			t.Errorf("below %q is %d, %v; want %d of %q", key, got, err, want, lines)
		}
		for range 20 {
			if len(keys) == 0 {
				return
			}
			k := keys[rng.IntN(len(keys))]
			at := bytes.Index(append([]byte{'\n'}, lines...), []byte("\n"+k+"\t"))
			if got, err := below(lines, []byte(k), texts); got != at || err != nil {
				t.Fatalf("below %q is %d, %v; want %d", k, got, err, at)
			}
		}
	})
}
