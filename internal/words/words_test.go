package words

import (
	"math/rand/v2"
	"testing"
)

// TestBits: every byte, at every place, among others.
func TestBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for c := range 256 {
		for at := range Len {
			b := make([]byte, Len+1)
			for i := range b {
				b[i] = "a \t\n\v\f\r\x08\x0e\x1f!\x80\x89\xa0\xff\x00"[rng.IntN(16)]
			}
			b[at] = byte(c)
			var want uint64
			for i, c := range b[:Len] {
				if c != ' ' && (c < 9 || c > 13) {
					want |= 1 << i
				}
			}
			if got := Bits(b); got != want {
				t.Fatalf("%q: %064b, want %064b", b, got, want)
			}
			if got := slowBits(b); got != want {
				t.Fatalf("%q, eight at a time: %064b, want %064b", b, got, want)
			}
		}
	}
}
