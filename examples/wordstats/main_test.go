package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

const text = "The Raven, the raven: Grüße!\nnevermore nevermore — quoth the RAVEN"

// counts maps and combines text in memory.
func counts(t *testing.T) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for line := range strings.Lines(text) {
		if err := words(nil, line, func(w string, n int64) { all[w] += n }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestWords(t *testing.T) {
	want := map[string]int64{"the": 3, "raven": 3, "grüße": 1, "nevermore": 2, "quoth": 1}
	if got := counts(t); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBest(t *testing.T) {
	all := counts(t)
	sorted := func(yield func(string, int64) bool) {
		for _, w := range slices.Sorted(maps.Keys(all)) {
			if !yield(w, all[w]) {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		reduce func(*mr.Task, pairs, mr.Emit[string, int64]) error
		want   []string
	}{
		{"top 1", top(1), []string{"raven"}},
		{"top 3", top(3), []string{"raven", "the", "nevermore"}},
		{"longest 2", longest(2), []string{"nevermore", "grüße"}},
		{"longest 9", longest(9), []string{"nevermore", "grüße", "quoth", "raven", "the"}},
	} {
		var got []string
		if err := c.reduce(nil, sorted, func(w string, n int64) { got = append(got, w) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
