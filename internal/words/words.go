// Package words finds words, by a bit for each byte that is one's: in most cases what stands between
// ASCII white space.
package words

import "math/bits"

// Len is how many bytes are looked at at once.
const Len = 64

// Edges finds where words begin and end in Len bytes with these bits, in turn, and puts the
// places, counted from base, into to. in is 1 if the byte before is a word's, else 0.
// It returns the number of places, and what in is for the bytes behind. What to holds beyond
// that number has no meaning.
func Edges(to *[Len]uint32, m uint64, base uint32, in uint64) (n int, out uint64) {
	edges := m ^ (m<<1 | in)
	n = bits.OnesCount64(edges)
	place(to, edges, base)
	return n, m >> 63
}
