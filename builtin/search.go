package builtin

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
)

// search finds the places of a literal. It looks for two of its bytes at once, the two that
// should be the rarest, at eight places with each step: in text, one byte that must be
// looked for alone turns up every thirty bytes, even if it is a rare one.
type search struct {
	literal
	first, second probe
}

// probe is a byte of a literal, to be compared with eight bytes of a block at once.
type probe struct {
	at   int    // its index in the literal
	want uint64 // the byte, eight times
	fold uint64 // bits to set in the block's bytes before: those that upper case lacks
}

// common are the bytes of English text and of code, the most frequent first, as far as
// it matters.
const common = " etaoinsrhldcumfpgwybvkxjqz0123456789_-.,"

func (l literal) search() *search {
	s := &search{literal: l}
	best, next := -1, -1
	var first, second int
	for i, c := range l.text {
		rank := strings.IndexByte(common, c)
		if rank < 0 {
			rank = len(common)
		}
		switch {
		case rank > best:
			next, second = best, first
			best, first = rank, i
		case rank > next:
			next, second = rank, i
		}
	}
	if next < 0 {
		second = first
	}
	s.first, s.second = l.probe(first), l.probe(second)
	return s
}

func (l literal) probe(at int) probe {
	c := l.text[at]
	p := probe{at: at, want: uint64(c) * ones}
	if l.fold && c-'a' < 26 {
		p.fold = 0x20 * ones
	}
	return p
}

// zeros sets the highest bit of each byte of x that is zero, and maybe of some above it.
func zeros(x uint64) uint64 { return (x - ones) &^ x & highs }

// differ is zero in the bytes where both probes match. a and b begin where they look.
func (s *search) differ(a, b []byte) uint64 {
	return (binary.LittleEndian.Uint64(a) | s.first.fold) ^ s.first.want | (binary.LittleEndian.Uint64(b) | s.second.fold) ^ s.second.want
}

// next returns where the first literal is in block that begins at from or behind, or -1.
func (s *search) next(block []byte, from int) int {
	const step = 32
	reach := max(len(s.text), step+max(s.first.at, s.second.at))
	for ; from+reach <= len(block); from += step {
		a, b := block[from+s.first.at:][:step], block[from+s.second.at:][:step]
		w, x, y, z := s.differ(a, b), s.differ(a[8:], b[8:]), s.differ(a[16:], b[16:]), s.differ(a[24:], b[24:])
		if zeros(w)|zeros(x)|zeros(y)|zeros(z) == 0 {
			continue
		}
		for i, d := range [...]uint64{w, x, y, z} {
			for found := zeros(d); found != 0; found &= found - 1 {
				if at := from + 8*i + bits.TrailingZeros64(found)/8; s.is(block, at) {
					return at
				}
			}
		}
	}
	for ; from+len(s.text) <= len(block); from++ {
		if s.is(block, from) {
			return from
		}
	}
	return -1
}

// is reports whether the literal is at a place of block.
func (s *search) is(block []byte, at int) bool {
	if at+len(s.text) > len(block) {
		return false
	}
	b := block[at:][:len(s.text)]
	if !s.fold {
		return bytes.Equal(b, s.text)
	}
	for i, c := range b {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != s.text[i] {
			return false
		}
	}
	return true
}
