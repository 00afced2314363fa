package collect

import (
	"math/rand"
	"reflect"
	"testing"
)

// TestAdderAddsAsAdd: keys with and without room behind them, around the length that fits
// into a slot, and values that refer to memory.
func TestAdderAddsAsAdd(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	text := make([]byte, 1<<16)
	for i := range text {
		text[i] = "ab"[rng.Intn(2)]
	}
	text[len(text)-1] = 0
	a, b := NewTable(Options{}, sum[int64], int64s{}), NewTable(Options{}, sum[int64], int64s{})
	concat := func(a, b string) string { return a + b }
	c, d := NewTable(Options{}, concat, texts{}), NewTable(Options{}, concat, texts{})
	addB, addD := b.Adder(func() {}), d.Adder(func() {})
	for i := range 300_000 {
		n := rng.Intn(inline + 5)
		start := rng.Intn(len(text) - n)
		if i%3 == 0 {
			start = len(text) - n
		}
		key := text[start : start+n]
		a.Add(key, int64(i))
		addB(key, int64(i))
		if i < 3000 {
			c.Add(key, "v")
			addD(key, "v")
		}
	}
	var outA, outB, outC, outD list
	for _, err := range []error{a.Drain(&outA), b.Drain(&outB), c.Drain(&outC), d.Drain(&outD)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(outA, outB) || !reflect.DeepEqual(outC, outD) {
		t.Error("Adder makes of the same records something else than Add")
	}
	if a.Stats() != b.Stats() {
		t.Errorf("%+v, Add makes %+v", b.Stats(), a.Stats())
	}
}
