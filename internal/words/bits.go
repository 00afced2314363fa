package words

import (
	"encoding/binary"
	"math/bits"
)

// slowBits is Bits where there are no instructions for sixteen bytes at once.
func slowBits(b []byte) (m uint64) {
	b = b[:Len]
	for k := 0; k < Len; k += 8 {
		m |= spaces(binary.LittleEndian.Uint64(b[k:])) >> 7 * 0x0102040810204080 >> 56 << k
	}
	return ^m
}

// slowLetters is Letters likewise.
func slowLetters(b []byte) (letters, others uint64) {
	b = b[:Len]
	for k := 0; k < Len; k += 8 {
		x := binary.LittleEndian.Uint64(b[k:])
		low := x&lows | ones*0x20
		is := (low + ones*(0x80-'a')) &^ (low + ones*(0x80-'z'-1)) &^ x & highs
		letters |= is >> 7 * 0x0102040810204080 >> 56 << k
		others |= x & highs >> 7 * 0x0102040810204080 >> 56 << k
	}
	return letters, others
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

// slowPlace is place where there is no instruction for it that is written down here.
func slowPlace(to *[Len]uint32, set uint64, base uint32) {
	n := bits.OnesCount64(set)
	// Sixteen without asking: a branch for each would be guessed wrongly too often.
	for k := 0; k < 16; k += 4 {
		to[k] = base + uint32(bits.TrailingZeros64(set))
		set &= set - 1
		to[k+1] = base + uint32(bits.TrailingZeros64(set))
		set &= set - 1
		to[k+2] = base + uint32(bits.TrailingZeros64(set))
		set &= set - 1
		to[k+3] = base + uint32(bits.TrailingZeros64(set))
		set &= set - 1
	}
	for k := 16; k < n; k++ {
		to[k] = base + uint32(bits.TrailingZeros64(set))
		set &= set - 1
	}
}
