package builtin

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"github.com/mrd-io/mr"
)

// A finder finds the records that package regexp does, in blocks that are long enough to tell what is rare,
// whatever is rare in the first of them.
func TestFinder(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	parts := []string{"timeout", "Timeout", "refused", "time", "out", " ", " ", "x", "7", "42", "\xff", "é", "GET /index", "POST /", "user", "\r", ".", "ing"}
	block := func(lines, most int) (b []byte) {
		for range lines {
			for range rng.IntN(12) {
				b = append(b, parts[rng.IntN(most)]...)
			}
			b = append(b, "\n"...)
		}
		return b
	}
	rare := block(3000, 6) // without most of them
	blocks := [][]byte{rare, block(3000, len(parts)), block(2, len(parts)), nil, bytes.TrimSuffix(block(3000, len(parts)), []byte{'\n'}), append(block(300, len(parts)), '\r')}
	for _, expr := range []string{"timeout|refused", "(?i)timeout|refused", "(?i)timeout", "(timeout|refused)x", "GET /[a-z]+x", "user.*7", "[0-9]{2,}", "", "^$", "^user", "ing$", `\bing\b`, "x.x.x", "(a|e|i)ng",
		"7|42|x", "7|42|x|é", "é", `\xff`, "[^ -~]", "timeout\n", "\r", "(?s)x.*7.*user", "nowhere", "nowhere|timeout", "(?m)^x$"} {
		for _, format := range []mr.Format{{}, {Kind: mr.Fixed, N: 7}, {Kind: mr.Whole}} {
			for _, order := range [][]int{{0, 1, 2, 3, 4, 5}, {1, 0, 2, 3, 4, 5}, {2, 3, 1, 0, 5, 4}} {
				f, err := newFinder(expr, false, false)
				if err != nil {
					t.Fatal(err)
				}
				re := regexp.MustCompile(expr)
				for _, i := range order {
					var got, want []string
					for off, record := range f.records(format, blocks[i]) {
						got = append(got, fmt.Sprintf("%d:%q", off, record))
					}
					for off, record := range mr.Records(format, blocks[i]) {
						if re.Match(record) {
							want = append(want, fmt.Sprintf("%d:%q", off, record))
						}
					}
					if !slices.Equal(got, want) {
						t.Fatalf("%s in block %d of order %v, %v: %d records, want %d", expr, i, order, format, len(got), len(want))
					}
				}
			}
		}
	}
}

// A walk over the records that match may end early, at the first or the second of a pair.
func TestFinderEnds(t *testing.T) {
	f, err := newFinder("[0-9]", false, false)
	if err != nil {
		t.Fatal(err)
	}
	block := []byte("1\n2\nx\n3\n4\n")
	for most := 1; most <= 5; most++ {
		var got []int
		for off := range f.records(mr.Format{}, block) {
			if got = append(got, off); len(got) == most {
				break
			}
		}
		if want := []int{0, 2, 6, 8}[:min(most, 4)]; !slices.Equal(got, want) {
			t.Errorf("%d at most: %v, want %v", most, got, want)
		}
	}
}
