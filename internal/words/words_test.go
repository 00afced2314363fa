package words

import (
	"math/rand/v2"
	"slices"
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

// TestLetters: every byte, at every place, among others.
func TestLetters(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for c := range 256 {
		for at := range Len {
			b := make([]byte, Len+1)
			for i := range b {
				b[i] = "a zAZ@[`{\x7f\x80\xc1\xe1\xff\x00\xfa"[rng.IntN(16)]
			}
			b[at] = byte(c)
			var letters, others uint64
			for i, c := range b[:Len] {
				if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
					letters |= 1 << i
				}
				if c >= 0x80 {
					others |= 1 << i
				}
			}
			if l, o := Letters(b); l != letters || o != others {
				t.Fatalf("%q: %064b %064b, want %064b %064b", b, l, o, letters, others)
			}
			if l, o := slowLetters(b); l != letters || o != others {
				t.Fatalf("%q, eight at a time: %064b %064b, want %064b %064b", b, l, o, letters, others)
			}
		}
	}
}

// TestPlace: few bits, many and all.
func TestPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 100_000 {
		set := rng.Uint64()
		for range i % 8 {
			set &= rng.Uint64()
		}
		switch i % 5 {
		case 0:
			set = ^set
		case 1:
			set = 1<<(i%64) - 1
		}
		base := rng.Uint32()
		var want []uint32
		for at := range Len {
			if set>>at&1 != 0 {
				want = append(want, base+uint32(at))
			}
		}
		for name, f := range map[string]func(*[Len]uint32, uint64, uint32){"place": place, "slowPlace": slowPlace} {
			var around [3][Len]uint32 // nothing beyond the array is written
			f(&around[1], set, base)
			if got := around[1][:len(want)]; !slices.Equal(got, want) || around[0] != [Len]uint32{} || around[2] != [Len]uint32{} {
				t.Fatalf("%s of %064b from %d: %v, want %v", name, set, base, got, want)
			}
		}
	}
}
