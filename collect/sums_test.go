package collect

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand"
	"slices"
	"testing"
	"unsafe"
)

// equal compares what came out with sums.
func (l *list) equal(sums map[string]int64) error {
	keys := slices.Sorted(maps.Keys(sums))
	if !slices.Equal(l.keys, keys) {
		return fmt.Errorf("%d keys, want %d, in order", len(l.keys), len(keys))
	}
	for i, k := range keys {
		if want := string(binary.AppendVarint(nil, sums[k])); l.values[i] != want {
			return fmt.Errorf("key %.40q: %x, want %x", k, l.values[i], want)
		}
	}
	return nil
}

// TestSums: whatever the keys, the ways by which they come and the values, among them such as
// outgrow 32 bits and 64, every key comes out once, with its sum.
func TestSums(t *testing.T) {
	values := []int64{1, 1, 1, 1, 0, -1, 7, 1 << 27, -1 << 27, math.MaxInt32, math.MinInt32, 1 << 32, -1 << 40, math.MaxInt64, math.MinInt64}
	for name, keys := range keySets() {
		for _, memory := range []int64{1, 0} { // everything from a file, and nothing
			t.Run(fmt.Sprintf("%s/%d", name, memory), func(t *testing.T) {
				rng := rand.New(rand.NewSource(memory))
				o := Options{Memory: memory, Dir: t.TempDir()}
				tables := []*Table[int64]{NewSums(o, sum[int64], int64s{}), NewSums(o, sum[int64], int64s{})}
				adders := []func([]byte, int64){tables[0].Adder(func() {}), tables[1].Adder(func() {})}
				want := map[string]int64{}
				var n, bytes int64
				for _, k := range keys {
					which, v := rng.Intn(2), values[rng.Intn(len(values))]
					switch rng.Intn(4) {
					case 0:
						tables[which].Add(k, v)
					case 1:
						adders[which](slices.Concat(k, make([]byte, 20))[:len(k)], v)
					case 2:
						adders[which](slices.Clip(k), v)
					default:
						text := slices.Concat([]byte("before"), k, make([]byte, rng.Intn(20)))
						tables[which].AddSpans(text, []uint32{6, uint32(6 + len(k)), 6, uint32(6 + len(k))}, v)
						want[string(k)] += v
						n, bytes = n+1, bytes+int64(len(k))
					}
					want[string(k)] += v
					n, bytes = n+1, bytes+int64(len(k))
				}
				var got list
				if err := tables[0].Drain(&got, tables[1]); err != nil {
					t.Fatal(err)
				}
				if err := got.equal(want); err != nil {
					t.Error(err)
				}
				a, b := tables[0].Stats(), tables[1].Stats()
				if a.RecordsIn+b.RecordsIn != n || a.BytesIn+b.BytesIn != bytes {
					t.Errorf("%d records and %d bytes came in, want %d and %d", a.RecordsIn+b.RecordsIn, a.BytesIn+b.BytesIn, n, bytes)
				}
			})
		}
	}
}

// TestSumsLeave: a table that is full for long lets what came first leave, and takes what comes
// often in another part of the input; its memory serves another table afterwards.
func TestSumsLeave(t *testing.T) {
	for round := range 2 {
		tab, want := NewSums(Options{}, sum[int64], int64s{}), map[string]int64{}
		for part := range 3 {
			for i := range 400_000 {
				key := fmt.Sprintf("%d-%d", part, i%60_000)
				if i%4 == 0 {
					key = fmt.Sprint(part, i)
				}
				tab.Add([]byte(key), int64(round+1))
				want[key] += int64(round + 1)
			}
			if part == 0 && tab.sums.leaving == agingLines {
				t.Fatal("no key was evicted")
			}
		}
		if full := len(tab.sums.lines); full != 1<<lineBits {
			t.Fatalf("%d lines for %d keys", full, len(want))
		}
		var got list
		if err := tab.Drain(&got); err != nil {
			t.Fatal(err)
		}
		if err := got.equal(want); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
}

func TestLineIsALine(t *testing.T) {
	if size := unsafe.Sizeof(line{}); size != 64 {
		t.Errorf("a line has %d bytes, want 64", size)
	}
}
