package builtin

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// search finds the places of a literal. It looks for three of its bytes at once, those that
// should be the rarest, at eight places with each step: in text, one byte that must be
// looked for alone turns up every thirty bytes, even if it is a rare one, and two that
// make a syllable not much less often.
type search struct {
	literal
	probes [probes]probe
}

const probes = 3

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
	at := make([]int, len(l.text))
	rank := make([]int, len(l.text))
	for i, c := range l.text {
		at[i] = i
		if rank[i] = strings.IndexByte(common, c); rank[i] < 0 {
			rank[i] = len(common)
		}
	}
	slices.SortStableFunc(at, func(i, j int) int { return rank[j] - rank[i] })
	s := &search{literal: l}
	for i := range s.probes {
		s.probes[i] = l.probe(at[min(i, len(at)-1)])
	}
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

// searches look for several literals, in one block from its beginning on.
type searches struct {
	finds []*search
	at    []int // where each is next, as far as is known; -1: nowhere
}

func (n needles) search() *searches {
	s := &searches{}
	for _, l := range n {
		s.finds, s.at = append(s.finds, l.search()), append(s.at, 0)
	}
	for i := range s.at {
		s.at[i] = unknown
	}
	return s
}

const unknown = -2

// next returns where the first of the literals is that begins at from or behind, or -1. From call to call from doesn't become less.
func (s *searches) next(block []byte, from int) int {
	first := -1
	for i, f := range s.finds {
		if at := s.at[i]; at == unknown || at >= 0 && at < from {
			s.at[i] = f.next(block, from)
		}
		if at := s.at[i]; at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// zeros sets the highest bit of each byte of x that is zero, and maybe of some above it.
func zeros(x uint64) uint64 { return (x - ones) &^ x & highs }

// next returns where the first literal is in block that begins at from or behind, or -1.
func (s *search) next(block []byte, from int) int {
	const step = 32
	p, q, r := s.probes[0], s.probes[1], s.probes[2]
	// differ is zero in the bytes where all probes match.
	differ := func(a, b, c []byte) uint64 {
		return ((binary.LittleEndian.Uint64(a) | p.fold) ^ p.want) | ((binary.LittleEndian.Uint64(b) | q.fold) ^ q.want) | ((binary.LittleEndian.Uint64(c) | r.fold) ^ r.want)
	}
	reach := max(len(s.text), step+max(p.at, q.at, r.at))
	for ; from+reach <= len(block); from += step {
		a, b, c := (*[step]byte)(block[from+p.at:]), (*[step]byte)(block[from+q.at:]), (*[step]byte)(block[from+r.at:])
		w, x, y, z := differ(a[:8], b[:8], c[:8]), differ(a[8:16], b[8:16], c[8:16]), differ(a[16:24], b[16:24], c[16:24]), differ(a[24:], b[24:], c[24:])
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
