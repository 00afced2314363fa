package builtin

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"
)

// The search finds what package bytes does, wherever it lies in blocks of all lengths.
func TestSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 20000 {
		letters := "ab\xc1\x01\x00"[:1+rng.IntN(5)]
		pick := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = letters[rng.IntN(len(letters))]
			}
			return b
		}
		text, block := pick(1+rng.IntN(12)), pick(rng.IntN(300))
		if rng.IntN(50) == 0 {
			text = pick(1 + rng.IntN(80))
		}
		s, from := literal{text: text}.search(), 0
		for from <= len(block) {
			want := bytes.Index(block[from:], text)
			if want >= 0 {
				want += from
			}
			if got := s.next(block, from); got != want {
				t.Fatalf("%q in %q from %d: %d, want %d", text, block, from, got, want)
			}
			if want < 0 {
				break
			}
			from = want + 1
		}
	}
}

// Of several literals the first is found, from wherever the last one was.
func TestSearches(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 5000 {
		pick := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = "abcd"[rng.IntN(4)]
			}
			return b
		}
		block := pick(rng.IntN(400))
		n := make(needles, 1+rng.IntN(3))
		for i := range n {
			n[i].text = pick(1 + rng.IntN(6))
		}
		s := n.search()
		for from := 0; from <= len(block); {
			want := -1
			for _, l := range n {
				if i := bytes.Index(block[from:], l.text); i >= 0 && (want < 0 || from+i < want) {
					want = from + i
				}
			}
			if got := s.next(block, from); got != want {
				t.Fatalf("%v in %q from %d: %d, want %d", n, block, from, got, want)
			}
			if want < 0 {
				break
			}
			from = want + 1 + rng.IntN(9)
		}
	}
}

// FuzzFoldedSearch checks the search for a literal in either case against package regexp.
func FuzzFoldedSearch(f *testing.F) {
	f.Add("ab", "xxAbaBB aB\nAB")
	f.Add("q1", "Q1q1 Q Q1")
	f.Add("--", "-----")
	f.Fuzz(func(t *testing.T, text, in string) {
		n := requiredNeedles("(?i:" + regexp.QuoteMeta(text) + ")")
		if len(n) != 1 || len(n[0]) != 1 {
			return
		}
		find, block, from := n[0][0].search(), in, 0
		re := regexp.MustCompile("(?i:" + regexp.QuoteMeta(text) + ")")
		for {
			want := re.FindStringIndex(block[from:])
			got := find.next([]byte(block), from)
			if want == nil || got < 0 {
				if want != nil || got >= 0 {
					t.Fatalf("%q in %q from %d: %d, want %v", text, in, from, got, want)
				}
				return
			}
			if got != from+want[0] {
				t.Fatalf("%q in %q from %d: %d, want %d", text, in, from, got, from+want[0])
			}
			from = got + 1
		}
	})
}
