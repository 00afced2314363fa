// Package words finds words, which are what stands between ASCII white space.
package words

import (
	"encoding/binary"
	"math/bits"
)

// Len is how many bytes are looked at at once.
const Len = 64

// Edges finds where words begin and end in Len bytes with these Bits, in turn, and puts the
// places, counted from base, into to. in is 1 if the byte before is a word's, else 0.
// It returns the number of places, and what in is for the bytes behind. What to holds beyond
// that number has no meaning.
func Edges(to *[Len]uint32, m uint64, base uint32, in uint64) (n int, out uint64) {
	edges := m ^ (m<<1 | in)
	n = bits.OnesCount64(edges)
	// Sixteen without asking: a branch for each would be guessed wrongly too often.
	for k := 0; k < 16; k += 4 {
		to[k] = base + uint32(bits.TrailingZeros64(edges))
		edges &= edges - 1
		to[k+1] = base + uint32(bits.TrailingZeros64(edges))
		edges &= edges - 1
		to[k+2] = base + uint32(bits.TrailingZeros64(edges))
		edges &= edges - 1
		to[k+3] = base + uint32(bits.TrailingZeros64(edges))
		edges &= edges - 1
	}
	for k := 16; k < n; k++ {
		to[k] = base + uint32(bits.TrailingZeros64(edges))
		edges &= edges - 1
	}
	return n, m >> 63
}

// Bits returns a bit for each of the first Len bytes of b that is none of white space, the
// first byte's lowest.
func Bits(b []byte) (m uint64) {
	b = b[:Len]
	for k := 0; k < Len; k += 8 {
		m |= spaces(binary.LittleEndian.Uint64(b[k:])) >> 7 * 0x0102040810204080 >> 56 << k
	}
	return ^m
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = 0x7f7f7f7f7f7f7f7f
)

// spaces sets the high bit of every byte of x that is ASCII white space. No byte's sum
// carries into its neighbour: only low seven bits are added to.
func spaces(x uint64) uint64 {
	low := x & lows
	from9 := low + ones*(0x80-9)
	from14 := low + ones*(0x80-14)
	blank := (low ^ ones*' ') + lows // high bit unless the low bits are a blank's
	return (from9&^from14 | ^blank) &^ x & highs
}
