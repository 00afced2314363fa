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

// FuzzFoldedSearch checks the search for a literal in either case against package regexp.
func FuzzFoldedSearch(f *testing.F) {
	f.Add("ab", "xxAbaBB aB\nAB")
	f.Add("q1", "Q1q1 Q Q1")
	f.Add("--", "-----")
	f.Fuzz(func(t *testing.T, text, in string) {
		l := requiredLiteral("(?i:" + regexp.QuoteMeta(text) + ")")
		if len(l.text) == 0 {
			return
		}
		find, block, from := l.search(), in, 0
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
