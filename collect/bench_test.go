package collect

import (
	"fmt"
	"math/rand"
	"testing"
)

// text makes n bytes of words, Zipf-distributed over a vocabulary, the frequent
// ones short.
func text(n int, s float64, vocabulary uint64) []byte {
	rng := rand.New(rand.NewSource(11))
	z := rand.NewZipf(rng, s, 8, vocabulary-1)
	b := make([]byte, 0, n+64)
	for len(b) < n {
		rank := z.Uint64()
		h := mix(rank^hashA, hashB)
		size := 2 + int(h%7)
		for r := rank; r > 0; r >>= 3 {
			size++
		}
		size = size * 3 / 4
		for range size {
			b = append(b, "etaoinshrdlucmfwypvbgkjqxz"[h%26*(h>>8%26)%26])
			h = mix(h, hashC)
		}
		b = append(b, " \n"[rng.Intn(8)/7])
	}
	return b
}

// words cuts text at white space.
func words(text []byte, emit func(word []byte)) {
	start := 0
	for i, c := range text {
		if c <= ' ' {
			if i > start {
				emit(text[start:i])
			}
			start = i + 1
		}
	}
}

type discard struct{ n int }

func (d *discard) Record(key, value []byte) error {
	d.n++
	return nil
}

func BenchmarkTable(b *testing.B) {
	for _, v := range []struct {
		name       string
		s          float64
		vocabulary uint64
	}{{"few", 1.3, 1 << 16}, {"1M", 1.1, 1 << 20}, {"6M", 1.05, 6 << 20}} {
		in := text(32<<20, v.s, v.vocabulary)
		run := func(b *testing.B, table func(Options, func(a, b int64) int64, Codec[int64]) *Table[int64]) {
			b.SetBytes(int64(len(in)))
			var add, drain float64
			var st Sizes
			for b.Loop() {
				t := table(Options{}, sum[int64], int64s{})
				start := b.Elapsed()
				words(in, func(w []byte) { t.Add(w, 1) })
				mid := b.Elapsed()
				var d discard
				if err := t.Drain(&d); err != nil {
					b.Fatal(err)
				}
				add += (mid - start).Seconds()
				drain += (b.Elapsed() - mid).Seconds()
				st = t.Stats()
			}
			mb := float64(len(in)) / 1e6 * float64(b.N)
			b.ReportMetric(mb/add, "add-MB/s")
			b.ReportMetric(drain/(drain+add)*100, "drain-%")
			b.ReportMetric(float64(st.Evicted)/float64(st.RecordsIn)*100, "evicted-%")
			b.ReportMetric(float64(st.RecordsOut)/float64(st.RecordsIn)*100, "distinct-%")
			b.ReportMetric(float64(st.RecordsIn), "words")
		}
		b.Run("words="+v.name, func(b *testing.B) { run(b, NewTable[int64]) })
		b.Run("sums/words="+v.name, func(b *testing.B) { run(b, NewSums[int64]) })
	}
}

func BenchmarkTokenise(b *testing.B) {
	in := text(32<<20, 1.1, 1<<20)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		n := 0
		words(in, func(w []byte) { n += len(w) })
	}
}

func BenchmarkBuffer(b *testing.B) {
	rng := rand.New(rand.NewSource(5))
	recs := make([]byte, 64<<20)
	rng.Read(recs)
	b.Run("100-byte records", func(b *testing.B) {
		b.SetBytes(int64(len(recs) / 100 * 100))
		for b.Loop() {
			buf := NewBuffer(Options{Memory: 1 << 30})
			for i := 0; i+100 <= len(recs); i += 100 {
				buf.Add(recs[i:i+10], recs[i+10:i+100])
			}
			var d discard
			if err := buf.Drain(&d); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{2, 16, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rng := rand.New(rand.NewSource(5))
			bufs := make([]*Buffer, n)
			const per = 1 << 20
			for i := range bufs {
				bufs[i] = NewBuffer(Options{})
				for range per / n {
					bufs[i].Add(fmt.Appendf(nil, "%x", rng.Uint64()), []byte("12345678"))
				}
			}
			sorted := make([][]entry, n)
			for i := range bufs {
				sorted[i] = bufs[i].sorted()
			}
			b.SetBytes(per * 24)
			for b.Loop() {
				cs := make([]Cursor, n)
				for i := range cs {
					cs[i] = &memoryCursor{entries: sorted[i], arena: &bufs[i].arena}
				}
				m := Merge(cs)
				for m.Next() {
				}
			}
		})
	}
}
