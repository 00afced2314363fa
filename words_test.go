package mr_test

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

func ExampleWords() {
	for word := range mr.Words(" to be,\tor\nnot ") {
		fmt.Printf("%q ", word)
	}
	// Output: "to" "be," "or" "not"
}

// TestWords compares with what cuts at single bytes, around the lengths at which pieces end.
func TestWords(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for _, alphabet := range []string{"a \t\n\v\f\r", "ab \x00\x08\x0e\x1f!\x85\xa0\xc2\x89\xff", "x", " ", "word word wording ", "abcdefghijklm "} {
		for n := range 200 {
			b := make([]byte, n)
			for i := range b {
				b[i] = alphabet[rng.Intn(len(alphabet))]
			}
			text := string(b)
			want := strings.FieldsFunc(latin1(text), func(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' })
			got := []string{}
			for w := range mr.Words(text) {
				got = append(got, latin1(w))
			}
			var first []string
			for w := range mr.Words(b[:n:n]) {
				if first = append(first, latin1(string(w))); len(first) == 3 {
					break
				}
			}
			if !slices.Equal(got, want) || !slices.Equal(first, want[:min(3, len(want))]) {
				t.Fatalf("%q: %q, and of bytes first %q, want %q", text, got, first, want)
			}
		}
	}
}

// latin1 makes a rune of each byte.
func latin1(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}
