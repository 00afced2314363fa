package run

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr/collect"
)

// awkward makes a sorted run's records of one of several shapes.
func awkward(rng *rand.Rand, shape, n, run int) []record {
	recs := make([]record, n)
	for i := range recs {
		var key string
		switch shape {
		case 0: // short words, many of them alike
			key = strings.Repeat("ab", rng.IntN(4)) + string(rune('a'+rng.IntN(26)))
		case 1: // a few keys, over many blocks
			key = []string{"same", "same\x00", "other", ""}[rng.IntN(4)]
		case 2: // long common prefixes, ends at every length around the windows
			key = strings.Repeat("p", 5+rng.IntN(20)) + fmt.Sprint(rng.IntN(50))
		case 3: // longer than an index's keys
			key = strings.Repeat("q", 1020+rng.IntN(9)) + fmt.Sprint(rng.IntN(9))
		case 4: // spread evenly, as records to sort
			key = string([]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}) + strings.Repeat("\xff", rng.IntN(20))
		default: // dense at the upper end
			key = strings.Repeat("\xff", rng.IntN(12)) + string([]byte{byte(rng.Uint32())})
		}
		recs[i] = record{key, fmt.Sprintf("%d/%d", run, i)[:rng.IntN(3)+1]}
	}
	slices.SortStableFunc(recs, func(a, b record) int { return strings.Compare(a.key, b.key) })
	for i := range recs { // what came first in a run is told from what came later
		recs[i].value += fmt.Sprint(i % 7)
	}
	return recs
}

// The merge by batches hands out what the tree of losers does, in the same order.
func TestMergeByBatchesIsTheMerge(t *testing.T) {
	for seed := range uint64(48) {
		rng := rand.New(rand.NewPCG(seed, 7))
		shape := int(seed % 6)
		n := batchReaders + rng.IntN(20)
		var stored []blobs
		var all []record
		for i := range n {
			recs := awkward(rng, shape, rng.IntN(3000), i)
			if seed%5 == 0 && i > 0 {
				recs = nil // most runs are empty
			}
			b, _ := write(t, recs, Options{BlockSize: 1 << (6 + rng.IntN(12))})
			stored = append(stored, b)
			all = append(all, recs...)
		}
		var lo, hi []byte
		if len(all) > 0 && seed%3 > 0 {
			lo, hi = []byte(all[rng.IntN(len(all))].key), []byte(all[rng.IntN(len(all))].key)
			if bytes.Compare(lo, hi) > 0 {
				lo, hi = hi, lo
			}
			if seed%3 == 1 {
				lo = nil
			}
		}
		open := func() (cs []collect.Cursor) {
			for _, b := range stored {
				ix := b.index(t)
				cs = append(cs, NewReader(b, ix, lo, hi))
			}
			return cs
		}
		m := Merge(open(), false)
		if _, ok := m.(*batches); !ok && shape != 3 {
			t.Fatalf("seed %d: %T", seed, m)
		}
		var readers []*Reader
		for _, c := range open() {
			readers = append(readers, c.(*Reader))
		}
		most := batchMost
		if seed%2 == 0 {
			most = 1 + rng.IntN(600) // it is given up and begun anew all the time
		}
		b := newBatches(readers, most, false)
		want := read(t, collect.Merge(open()))
		if got := read(t, b); !slices.Equal(got, want) {
			t.Fatalf("seed %d, shape %d, range [%q, %q): %d records differ from the %d of a tree of losers", seed, shape, lo, hi, len(got), len(want))
		}
	}
}

// The empty key may be the one that has too many records for a batch.
func TestMergeOfManyEmptyKeys(t *testing.T) {
	var rs []*Reader
	for range batchReaders {
		b, _ := write(t, make([]record, 100), Options{})
		rs = append(rs, NewReader(b, b.index(t), nil, nil))
	}
	if got := read(t, newBatches(rs, 150, false)); len(got) != batchReaders*100 {
		t.Errorf("%d records", len(got))
	}
}

// A run may begin with several blocks of empty keys: what follows them comes in its place.
func TestMergeBehindBlocksOfEmptyKeys(t *testing.T) {
	var rs []*Reader
	var want []record
	for i := range batchReaders {
		recs := make([]record, 40_000*(i%2)) // three blocks
		for _, key := range []string{"a", "b", "c"} {
			recs = append(recs, record{key, fmt.Sprint(i)})
		}
		want = append(want, recs...)
		b, _ := write(t, recs, Options{BlockSize: 1})
		rs = append(rs, NewReader(b, b.index(t), nil, nil))
	}
	slices.SortStableFunc(want, func(a, b record) int { return strings.Compare(a.key, b.key) })
	if got := read(t, newBatches(rs, batchMost, false)); !slices.Equal(got, want) {
		t.Errorf("%d records, want %d, or in another order", len(got), len(want))
	}
}

// Whichever block is damaged, the merge ends with that error, and everything before it is right.
func TestMergeByBatchesStopsAtDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var stored []blobs
	var indexes []*Index
	for i := range batchReaders {
		b, _ := write(t, awkward(rng, 2, 2000, i), Options{BlockSize: 4 << 10})
		stored, indexes = append(stored, b), append(indexes, b.index(t))
	}
	open := func() (cs []collect.Cursor) {
		for i, b := range stored {
			cs = append(cs, NewReader(b, indexes[i], nil, nil))
		}
		return cs
	}
	want := read(t, Merge(open(), false))
	for i, b := range stored {
		for j := range len(b) - 1 {
			b[j][headerLen] ^= 1
			m := Merge(open(), false)
			n := 0
			for m.Next() {
				if r := (record{string(m.Key()), string(m.Value())}); n >= len(want) || r != want[n] {
					t.Fatalf("run %d, block %d damaged: record %d is %q", i, j, n, r)
				}
				n++
			}
			if m.Err() == nil || n >= len(want) {
				t.Errorf("run %d, block %d damaged: %d of %d records and error %v", i, j, n, len(want), m.Err())
			}
			b[j][headerLen] ^= 1
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	const total = 1 << 20
	for _, data := range []string{"words", "records"} {
		for _, n := range []int{4, 8, 16, 64, 256} {
			rng := rand.New(rand.NewPCG(1, 1))
			var stored []blobs
			var indexes []*Index
			for range n {
				recs := make([]record, total/n)
				for i := range recs {
					h := rng.Uint64N(total/2) * 0x9e3779b97f4a7c15 // most words are in several runs
					key := make([]byte, 3+h%8)
					for k := range key {
						key[k] = "etaoinshrdlucmfwypvbgkjqxz"[h%26*(h>>8%26)%26]
						h = h*0x9e3779b97f4a7c15 + 77
					}
					recs[i] = record{string(key), "\x01"}
					if data == "records" {
						recs[i] = record{fmt.Sprintf("%016x%084d", rng.Uint64(), i), ""}
					}
				}
				slices.SortFunc(recs, func(x, y record) int { return strings.Compare(x.key, y.key) })
				recs = slices.CompactFunc(recs, func(x, y record) bool { return x.key == y.key })
				s, _ := write(b, recs, Options{})
				stored, indexes = append(stored, s), append(indexes, s.index(b))
			}
			for _, kind := range []string{"batches", "losers"} {
				b.Run(fmt.Sprintf("%s/%d/%s", data, n, kind), func(b *testing.B) {
					for b.Loop() {
						var cs []collect.Cursor
						for i, s := range stored {
							cs = append(cs, NewReader(s, indexes[i], nil, nil))
						}
						m := collect.Merge(cs)
						if kind == "batches" {
							var rs []*Reader
							for _, c := range cs {
								rs = append(rs, c.(*Reader))
							}
							m = newBatches(rs, batchMost, data == "words")
						}
						for m.Next() {
							_, _ = m.Key(), m.Value()
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/total, "ns/record")
				})
			}
		}
	}
}

// However many records are at hand at once, and however alike their keys, a batch stays
// small: runs that hold the same keys end their blocks at the same ones.
func TestMergeBatchesStaySmall(t *testing.T) {
	for name, key := range map[string]func(i int) string{
		"one head":  func(i int) string { return fmt.Sprintf("user0000%06d", i) },
		"one key":   func(int) string { return "user" },
		"few keys":  func(i int) string { return fmt.Sprintf("user0000%d", i/4000) },
		"two heads": func(i int) string { return fmt.Sprintf("%08d%06d", i/4000, i%4000) },
	} {
		const readers, each = 24, 12000
		var stored []blobs
		for r := range readers {
			recs := make([]record, each)
			for i := range recs {
				recs[i] = record{key(i), fmt.Sprint(r, i%3)}
			}
			b, _ := write(t, recs, Options{})
			stored = append(stored, b)
		}
		open := func() (cs []collect.Cursor) {
			for _, b := range stored {
				cs = append(cs, NewReader(b, b.index(t), nil, nil))
			}
			return cs
		}
		want := collect.Merge(open())
		m := Merge(open(), false).(*batches)
		n, most := 0, 0
		for m.Next() {
			if !want.Next() || string(m.Key()) != string(want.Key()) || string(m.Value()) != string(want.Value()) {
				t.Fatalf("%s: record %d is %q, %q; want %q, %q", name, n, m.Key(), m.Value(), want.Key(), want.Value())
			}
			n, most = n+1, max(most, m.batch.Len())
		}
		if n != readers*each || m.Err() != nil {
			t.Errorf("%s: %d records, %v", name, n, m.Err())
		}
		if most > batchMost+each {
			t.Errorf("%s: a batch of %d records", name, most)
		}
	}
}
