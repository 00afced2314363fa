package run

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr/collect"
)

// addUp does what a reader of a merge with sums does.
func addUp(t *testing.T, recs []record) (sums []record, values []int64) {
	t.Helper()
	for _, r := range recs {
		x, n := binary.Varint([]byte(r.value))
		if n != len(r.value) {
			t.Fatalf("value %q of key %q is no varint", r.value, r.key)
		}
		if last := len(sums) - 1; last >= 0 && sums[last].key == r.key {
			values[last] += x
			continue
		}
		sums, values = append(sums, record{r.key, ""}), append(values, x)
	}
	return sums, values
}

// Adding values up beforehand changes no sum, whatever their sizes and signs, and every
// record is either handed out or counted as added.
func TestMergeAddsUp(t *testing.T) {
	for seed := range uint64(15) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var stored []blobs
		total := 0
		keys := 1 + rng.IntN(100000) // up to more than the first table of sums holds
		for range batchReaders + rng.IntN(10) {
			recs := make([]record, rng.IntN(8000))
			for i := range recs {
				key := strings.Repeat("k", rng.IntN(2)*14)
				for k := rng.IntN(keys); k > 0; k /= 26 {
					key += string(rune('a' + k%26))
				}
				var x int64
				switch rng.IntN(8) {
				case 0:
					x = int64(rng.Uint64()) // the sums overflow
				case 1:
					x = []int64{math.MinInt64, math.MaxInt64, 1<<27 - 1, 1 << 27, -1 << 27, -1<<27 - 1, 0}[rng.IntN(7)]
				case 2:
					x = -rng.Int64N(1 << 20)
				default:
					x = 1 + rng.Int64N(70)
				}
				recs[i] = record{key, string(binary.AppendVarint(nil, x))}
			}
			slices.SortStableFunc(recs, func(a, b record) int { return strings.Compare(a.key, b.key) })
			total += len(recs)
			b, _ := write(t, recs, Options{BlockSize: 1 << (10 + rng.IntN(8))})
			stored = append(stored, b)
		}
		open := func() (cs []collect.Cursor) {
			for _, b := range stored {
				cs = append(cs, NewReader(b, b.index(t), nil, nil))
			}
			return cs
		}
		wantKeys, want := addUp(t, read(t, collect.Merge(open())))
		var readers []*Reader
		for _, c := range open() {
			readers = append(readers, c.(*Reader))
		}
		m := newBatches(readers, []int{batchMost, 300}[seed%2], true)
		got := read(t, m)
		if int64(len(got))+Added(m) != int64(total) {
			t.Errorf("seed %d: %d records handed out and %d added, of %d", seed, len(got), Added(m), total)
		}
		if total > 3*len(wantKeys) && Added(m) == 0 {
			t.Errorf("seed %d: nothing was added", seed)
		}
		gotKeys, sums := addUp(t, got)
		if !slices.Equal(gotKeys, wantKeys) || !slices.Equal(sums, want) {
			t.Fatalf("seed %d: sums of %d keys differ from those of %d", seed, len(gotKeys), len(wantKeys))
		}
	}
}

// A value that is no varint in its shortest form reaches the reader, who knows what to say.
func TestMergeLeavesStrangeValues(t *testing.T) {
	for _, value := range []string{"", "\x80", "\x82\x00", "\x80\x80\x80\x80", "12345"} {
		var cs []collect.Cursor
		var want []record
		for range batchReaders {
			recs := []record{{"a", "\x02"}, {"b", value}, {"b", value}, {"c", "\x02"}}
			b, _ := write(t, recs, Options{})
			cs = append(cs, NewReader(b, b.index(t), nil, nil))
			want = append(want, recs[1:3]...)
		}
		got := slices.DeleteFunc(read(t, Merge(cs, true)), func(r record) bool { return r.key != "b" })
		if !slices.Equal(got, want) {
			t.Errorf("value %q: got %q, want %q", value, got, want)
		}
	}
}
