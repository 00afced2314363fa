package run

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"slices"
	"testing"
)

// counts are sorted words with counts, as a word count's map task writes them.
func counts(n int) []record {
	rng := rand.New(rand.NewSource(2))
	const letters = "eeeettaaooiinsshrdlucmfwypvbgk_.ET"
	words := make([]string, n)
	for i := range words {
		w := make([]byte, 3+rng.Intn(4)+rng.Intn(9))
		for j := range w {
			w[j] = letters[rng.Intn(len(letters))]
		}
		words[i] = string(w)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	recs := make([]record, len(words))
	for i, w := range words {
		recs[i] = record{w, string(binary.AppendVarint(nil, int64(1+rng.ExpFloat64()*rng.ExpFloat64()*9)))}
	}
	return recs
}

// random are sort records of 10 bytes of key and 90 of value, half of it noise.
func random(n int) []record {
	rng := rand.New(rand.NewSource(2))
	recs := make([]record, n)
	for i := range recs {
		b := make([]byte, 100)
		rng.Read(b[:55])
		recs[i] = record{string(b[:10]), string(b[10:])}
	}
	slices.SortFunc(recs, func(a, b record) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	return recs
}

func BenchmarkRun(b *testing.B) {
	for _, data := range []struct {
		name string
		recs []record
	}{{"counts", counts(600000)}, {"sort", random(100000)}} {
		// The records lie in one array, as they would come out of a buffer.
		var flat []byte
		type pair struct{ key, value []byte }
		pairs := make([]pair, len(data.recs))
		for _, r := range data.recs {
			flat = append(append(flat, r.key...), r.value...)
		}
		at := 0
		for i, r := range data.recs {
			pairs[i].key = flat[at : at+len(r.key)]
			at += len(r.key)
			pairs[i].value = flat[at : at+len(r.value)]
			at += len(r.value)
		}
		for _, size := range []int{64 << 10, 256 << 10, 512 << 10} {
			var stored blobs
			name := fmt.Sprintf("%s/%dK/", data.name, size>>10)
			b.Run(name+"write", func(b *testing.B) {
				b.SetBytes(int64(len(flat)))
				b.ReportAllocs()
				var sum Summary
				for b.Loop() {
					stored = stored[:0]
					w := NewWriter(&stored, Options{BlockSize: size})
					for _, p := range pairs {
						if err := w.Record(p.key, p.value); err != nil {
							b.Fatal(err)
						}
					}
					var err error
					if sum, err = w.Close(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(sum.RawBytes)/float64(sum.Bytes), "ratio")
			})
			b.Run(name+"read", func(b *testing.B) {
				b.SetBytes(int64(len(flat)))
				ix := stored.index(b)
				for b.Loop() {
					r := NewReader(stored, ix, nil, nil)
					n := 0
					for r.Next() {
						n++
					}
					if n != len(pairs) || r.Err() != nil {
						b.Fatal(n, r.Err())
					}
				}
			})
		}
	}
}

// BenchmarkRanges reads a run range by range, with that many to a block.
func BenchmarkRanges(b *testing.B) {
	recs := counts(600000)
	var stored blobs
	w := NewWriter(&stored, Options{})
	for _, r := range recs {
		if err := w.Record([]byte(r.key), []byte(r.value)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		b.Fatal(err)
	}
	ix := stored.index(b)
	for _, each := range []int{1, 4, 16} {
		b.Run(fmt.Sprint(each), func(b *testing.B) {
			b.SetBytes(ix.RawBytes)
			n := each * len(ix.Blocks)
			for b.Loop() {
				var lo, hi []byte
				read := 0
				for i := range n {
					lo, hi = hi, nil
					if i+1 < n {
						hi = []byte(recs[(i+1)*len(recs)/n].key)
					}
					for r := NewReader(stored, ix, lo, hi); r.Next(); {
						read++
					}
				}
				if read != len(recs) {
					b.Fatal(read)
				}
			}
		})
	}
}
