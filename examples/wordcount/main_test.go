package main

import (
	"maps"
	"slices"
	"testing"
)

func TestWords(t *testing.T) {
	got := map[string]int64{}
	emit := func(word string, n int64) { got[word] += n }
	for _, line := range []string{"to be or not", "", "\tto  be "} {
		if err := words(nil, line, emit); err != nil {
			t.Fatal(err)
		}
	}
	if want := map[string]int64{"to": 2, "be": 2, "or": 1, "not": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTotal(t *testing.T) {
	emitted := 0
	emit := func(word string, n int64) {
		if emitted++; word != "be" || n != 6 {
			t.Errorf("emitted %s %d", word, n)
		}
	}
	if err := total(nil, "be", slices.Values([]int64{1, 2, 3}), emit); err != nil || emitted != 1 {
		t.Errorf("emitted %d times, %v", emitted, err)
	}
}
