package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr/bench/corpus"
)

// naive counts words as a reader of the definition would.
func naive(text []byte) string {
	counts := map[string]int{}
	for _, w := range bytes.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }) {
		counts[string(w)]++
	}
	var out strings.Builder
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "%s\t%d\n", w, counts[w])
	}
	return out.String()
}

func checkCount(t *testing.T, text []byte, workers int) {
	t.Helper()
	var out bytes.Buffer
	if err := wordcount(bytes.NewReader(text), int64(len(text)), workers, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := naive(text); out.String() != want {
		t.Errorf("%d bytes, %d workers: output of %d bytes differs from the naive count's %d", len(text), workers, out.Len(), len(want))
	}
}

func TestCountEqualsNaiveCountOfText(t *testing.T) {
	for _, p := range []corpus.Profile{corpus.Mixed, corpus.GoLike} {
		var text bytes.Buffer
		if err := corpus.Text(&text, p, 3, 3*blockSize/2+77); err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 3} {
			checkCount(t, text.Bytes(), workers)
		}
	}
}

func TestCountEqualsNaiveCountOfHostileText(t *testing.T) {
	long := strings.Repeat("y", 2*blockSize+3)
	for _, text := range []string{
		"", " ", "\n\n", "a", "a ", " a", "a\x00 a a\x00\x00 a\x00", "\xff\xfe \x80",
		"0123456789abcdef 0123456789abcdef0 0123456789abcdef\x00 0123456789abcde",
		strings.Repeat("a", 63) + " " + strings.Repeat("a", 64) + " " + strings.Repeat("a", 65),
		"a\tb\nc\vd\fe\rf\x08g\x0eh\x85i\xa0j",
		long, long + " z", " " + long, "x " + long + " x " + long,
		strings.Repeat("p ", blockSize), strings.Repeat("\n", 2*blockSize) + "q",
		strings.Repeat(" ", blockSize-1) + "ab", strings.Repeat(" ", blockSize-lookahead) + long[:3*lookahead] + " c",
	} {
		checkCount(t, []byte(text), 2)
	}
}

// Words of few letters and all lengths meet in every way: in a block's end, in a line of the table, as
// prefixes of one another.
func TestCountEqualsNaiveCountOfRandomBytes(t *testing.T) {
	const letters = "aab\x00\xc3  \n\t"
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		alphabet := letters[:2+r.IntN(len(letters)-1)]
		if seed%3 == 0 {
			alphabet = strings.Repeat(alphabet[:1], 20) + letters
		}
		text := make([]byte, r.IntN(20000))
		for i := range text {
			text[i] = alphabet[r.IntN(len(alphabet))]
		}
		checkCount(t, text, 2)
	}
}

// A counter empties its table before a count could overflow; that must change nothing.
func TestFlushKeepsCounts(t *testing.T) {
	text := []byte("a b a c abcdefghijklmnopqrstuvwxyz a")
	ranges, err := sampleRanges(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := newCounter(ranges)
	for range 3 {
		c.count(append(slices.Clone(text), bytes.Repeat([]byte(" "), padding)...)[:len(text)])
		c.flush()
	}
	var out bytes.Buffer
	if _, err := merge([]*counter{c}, 1, &out); err != nil {
		t.Fatal(err)
	}
	if want := "a\t9\nabcdefghijklmnopqrstuvwxyz\t3\nb\t3\nc\t3\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func BenchmarkCount(b *testing.B) {
	for _, p := range []corpus.Profile{corpus.Mixed, corpus.GoLike} {
		b.Run(string(p), func(b *testing.B) {
			var text bytes.Buffer
			if err := corpus.Text(&text, p, 1, 32<<20); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				if err := wordcount(bytes.NewReader(text.Bytes()), int64(text.Len()), 2, io.Discard, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
