package collect

import "encoding/binary"

// entry stands for a record while it is sorted: a window of the key and the
// record's ref. Sorting moves 24 bytes a record and seldom looks at the key.
//
//	hi    key bytes d … d+7, big-endian, padded with zeros
//	mid   key bytes d+8 … d+15 likewise
//	size  how many of the 16 bytes there are, or 17 for more
//	small 0: ref is where the record lies in the arena; n+1: there is no such record, the
//	      key is the window, and the value the first n bytes of ref, little-endian
//
// d is the depth, 0 at first. Two windows at the same depth of keys that agree up
// to there compare, as numbers (hi, mid, size), like the keys; only when they are
// equal and say "more" is the rest of the keys needed. The size makes the window of
// a key of up to 16 bytes complete: nearly all words, numbers and short ids are
// sorted without a look at memory elsewhere.
type entry struct {
	hi, mid uint64
	size    uint8
	small   uint8
	ref     uint32
}

const (
	windowLen  = 16
	windowMore = windowLen + 1
)

// window returns the entry, but for the ref, of key, which begins at the depth.
func window(key []byte) entry {
	n := len(key)
	if n >= windowLen {
		return entry{hi: binary.BigEndian.Uint64(key), mid: binary.BigEndian.Uint64(key[8:]), size: uint8(min(n, windowMore))}
	}
	hi, mid := short(key)
	return entry{hi: hi, mid: mid, size: uint8(n)}
}

// smallValue is the length of values that fit in an entry. Counts of words mostly do:
// then sorting and draining them never waits for memory elsewhere.
const smallValue = 4

// hold takes a value of at most smallValue bytes, of a key that is its window.
func (e *entry) hold(value []byte) {
	e.small = uint8(len(value) + 1)
	for i, c := range value {
		e.ref |= uint32(c) << (8 * i)
	}
}

// key returns the key that is e's window, in to.
func (e *entry) key(to *[windowLen]byte) []byte {
	binary.BigEndian.PutUint64(to[:], e.hi)
	binary.BigEndian.PutUint64(to[8:], e.mid)
	return to[:e.size]
}

// more reports whether the key goes on behind the window.
func (e *entry) more() bool { return e.size == windowMore }
