package run

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/collect"
)

// blobs is a stored run: a BlockSink and a BlockSource.
type blobs [][]byte

func (b *blobs) WriteBlock(blob []byte) error {
	*b = append(*b, bytes.Clone(blob))
	return nil
}

func (b blobs) ReadBlock(i int, dst []byte) ([]byte, error) {
	if i >= len(b) {
		return nil, errors.New("no such blob")
	}
	return append(dst[:0], b[i]...), nil
}

func (b blobs) index(t testing.TB) *Index {
	t.Helper()
	ix, err := ReadIndex(b, len(b))
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

type record struct{ key, value string }

func write(t testing.TB, recs []record, o Options) (blobs, Summary) {
	t.Helper()
	var b blobs
	w := NewWriter(&b, o)
	for _, r := range recs {
		if err := w.Record([]byte(r.key), []byte(r.value)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if s.Blobs != len(b) || s.Records != int64(len(recs)) {
		t.Fatalf("summary %+v of %d blobs and %d records", s, len(b), len(recs))
	}
	return b, s
}

func read(t testing.TB, c collect.Cursor) []record {
	t.Helper()
	var recs []record
	for c.Next() {
		recs = append(recs, record{string(c.Key()), string(c.Value())})
	}
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	return recs
}

// recordSets are sorted records that stress one thing each.
func recordSets() map[string][]record {
	rng := rand.New(rand.NewSource(3))
	sets := map[string][]record{"nothing": nil, "one empty": {{}}}
	add := func(name string, n int, f func(i int) record) {
		recs := make([]record, n)
		for i := range recs {
			recs[i] = f(i)
		}
		sort.SliceStable(recs, func(i, j int) bool { return recs[i].key < recs[j].key })
		sets[name] = recs
	}
	noise := func(n int) string {
		b := make([]byte, n)
		rng.Read(b)
		return string(b)
	}
	add("words", 30000, func(i int) record { return record{fmt.Sprintf("word%x", rng.Intn(1<<20)), fmt.Sprint(i)} })
	add("noise", 4000, func(i int) record { return record{noise(10), noise(90)} })
	add("one hot key", 12000, func(i int) record {
		if i%3 > 0 {
			return record{"hot", noise(20)}
		}
		return record{noise(5), ""}
	})
	add("empty hot key", 12000, func(i int) record { return record{strings.Repeat("b", i%3/2), noise(20)} })
	add("zeros", 3000, func(i int) record { return record{strings.Repeat("\x00", rng.Intn(300)), "v"} })
	add("long keys", 800, func(i int) record {
		return record{strings.Repeat("k", 900+rng.Intn(300)) + noise(rng.Intn(600)), noise(rng.Intn(1000))}
	})
	add("0xff keys", 200, func(i int) record { return record{strings.Repeat("\xff", rng.Intn(3000)), noise(500)} })
	add("huge records", 40, func(i int) record {
		if i%5 == 0 {
			return record{noise(4), strings.Repeat("v", 250<<10+rng.Intn(300<<10))}
		}
		return record{noise(3), noise(rng.Intn(40 << 10))}
	})
	return sets
}

func TestRoundTrip(t *testing.T) {
	for name, recs := range recordSets() {
		t.Run(name, func(t *testing.T) {
			var digest mr.Digest
			for i, size := range []int{0, 1, 100 << 10} {
				b, sum := write(t, recs, Options{BlockSize: size})
				ix := b.index(t)
				if got := read(t, NewReader(b, ix, nil, nil)); !slices.Equal(got, recs) {
					t.Fatalf("block size %d: %d records read, %d written, or others", size, len(got), len(recs))
				}
				if err := Verify(b, len(b)); err != nil {
					t.Fatalf("block size %d: %v", size, err)
				}
				if i == 0 {
					digest = sum.Digest
				}
				if sum.Digest != digest || ix.Digest != digest {
					t.Fatalf("block size %d: digest %v, want %v", size, sum.Digest, digest)
				}
			}
		})
	}
}

// What is compressed depends on how it shrinks and on who will read it.
func TestCompressedIfThatIsWorthIt(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	noisy := func(noise, of int) string { // so much of it does not shrink
		b := make([]byte, 64<<10)
		for i := range b {
			if i%of < noise {
				b[i] = byte(rng.Intn(256))
			}
		}
		return string(b)
	}
	for _, c := range []struct {
		name          string
		value         string
		usual, halved byte
	}{
		{"shrinks to a tenth", noisy(100, 1000), codecS2, codecS2},
		{"shrinks by a third", noisy(650, 1000), codecS2, codecNone},
		{"shrinks by a tenth", noisy(900, 1000), codecNone, codecNone},
	} {
		for _, o := range []Options{{}, {Halved: true}} {
			want := c.usual
			if o.Halved {
				want = c.halved
			}
			recs := []record{{"", c.value}, {"", c.value}}
			b, _ := write(t, recs, o)
			for i := range b[:len(b)-1] {
				if got := b[i][4]; got != want {
					t.Errorf("%s, %+v: block %d has codec %d, want %d", c.name, o, i, got, want)
				}
			}
			if got := read(t, NewReader(b, b.index(t), nil, nil)); !slices.Equal(got, recs) {
				t.Errorf("%s, %+v: other records come back", c.name, o)
			}
		}
	}
}
