package collect

import "encoding/binary"

// entry stands for a record while it is sorted: a window of the key and the
// record's ref. Sorting moves 16 bytes a record and seldom looks at the key.
//
//	hi    key bytes d … d+7, big-endian, padded with zeros
//	lo    key bytes d+8 … d+10 in the upper 24 bits, padded with zeros;
//	      in the lower 8 bits how many of the 11 bytes there are, or 12 for more
//
// d is the depth, 0 at first. Two windows at the same depth of keys that agree up
// to there compare, as numbers (hi, lo), like the keys; only when they are equal
// and say "more" is the rest of the keys needed. The count makes the window of a
// key of up to 11 bytes complete: most words, numbers and short ids are sorted
// without a look at memory elsewhere.
type entry struct {
	hi  uint64
	lo  uint32
	ref uint32
}

const (
	windowLen  = 11
	windowMore = 12
)

// window returns hi and lo for key, which begins at the depth.
func window(key []byte) (hi uint64, lo uint32) {
	n := len(key)
	if n > windowLen {
		return binary.BigEndian.Uint64(key), binary.BigEndian.Uint32(key[8:])&^0xff | windowMore
	}
	hi = head(key)
	for i := 8; i < n; i++ {
		lo |= uint32(key[i]) << (24 - 8*(i-8))
	}
	return hi, lo | uint32(n)
}

// more reports whether the key goes on behind the window.
func (e *entry) more() bool { return e.lo&0xff == windowMore }
