package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
)

// The payload of a data block is a row of chunks, and a chunk is a row of
// front-coded records:
//
//	byte     upper 4 bits: bytes that the key shares with the key before, 0 at a
//	         chunk's start; lower 4 bits: bytes of the key that follow
//	uvarint  if the upper bits are 15: how many more it shares
//	uvarint  if the lower bits are 15: how many more follow
//	         the rest of the key
//	uvarint  bytes of the value
//	         the value
//
// With sorted words nearly all records have two bytes of lengths, and s2 finds a
// short value together with its length.
//
// A chunk ends with the record that makes it reach chunkLen; and a record whose
// key and value have chunkLen bytes or more is a chunk by itself. So chunks
// depend on the records alone, and digests are made of chunks:
//
//	digest of a block  BLAKE3("mr block 1\n", BLAKE3 of each of its chunks)
//	digest of a run    BLAKE3("mr run 1\n", BLAKE3 of each of its chunks)
//
// Blocks end where chunks end, which is why the size of blocks is in no digest. Hashing
// the coded form instead of the records themselves costs half as much and identifies them as
// well: coding is a function of the records, and decoding its inverse.
const (
	chunkLen    = 32 << 10
	blockDomain = "mr block 1\n"
	runDomain   = "mr run 1\n"
)

var errRecord = errors.New("a record reaches beyond its block")

// alone reports whether a record of these lengths is a chunk by itself.
func alone(key, value int) bool { return key+value >= chunkLen }

// recordMost is the most bytes that a coded record has beside those of key and value.
const recordMost = 1 + 3*binary.MaxVarintLen64

// appendRecord appends a coded record.
func appendRecord(dst []byte, shared int, rest, value []byte) []byte {
	at, n := len(dst), len(rest)
	if end := at + n + len(value) + 2; shared < 15 && n < 15 && len(value) < 0x80 && end <= cap(dst) {
		dst = dst[:end]
		dst[at] = byte(shared<<4 | n)
		copy(dst[at+1:], rest)
		dst[at+1+n] = byte(len(value))
		copy(dst[at+2+n:], value)
		return dst
	}
	if shared < 15 && len(rest) < 15 {
		dst = append(dst, byte(shared<<4|len(rest)))
	} else {
		dst = append(dst, byte(min(shared, 15)<<4|min(len(rest), 15)))
		if shared >= 15 {
			dst = binary.AppendUvarint(dst, uint64(shared-15))
		}
		if len(rest) >= 15 {
			dst = binary.AppendUvarint(dst, uint64(len(rest)-15))
		}
	}
	dst = append(dst, rest...)
	if len(value) < 0x80 {
		dst = append(dst, byte(len(value)))
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(value)))
	}
	return append(dst, value...)
}

// keyAt is where the key of a coded record that shares nothing with the one before begins in the bytes that
// it ends.
func keyAt(end, key, value int) int {
	lengthOf := 1
	for n := value; n >= 0x80; n >>= 7 {
		lengthOf++
	}
	return end - value - lengthOf - key
}

// place says where the parts of a coded record lie in the bytes it begins.
type place struct {
	shared          int // bytes of the key before
	rest, restEnd   int
	value, valueEnd int
}

// placeOf finds the parts of the record that b begins with. They are known to be
// within b, but shared is what the bytes say.
func placeOf(b []byte) (p place, err error) {
	if len(b) == 0 {
		return p, errRecord
	}
	shared, rest := uint64(b[0]>>4), uint64(b[0]&15)
	n := 1
	if shared == 15 || rest == 15 {
		if shared == 15 {
			shared, n = more(b, n)
		}
		if rest == 15 {
			rest, n = more(b, n)
		}
	}
	// The lengths are far below 2^32, and so are sums.
	if shared > maxPayload || rest > maxPayload || n+int(rest) >= len(b) {
		return p, errRecord
	}
	p.shared, p.rest, p.restEnd = int(shared), n, n+int(rest)
	length := uint64(b[p.restEnd])
	p.value = p.restEnd + 1
	if length >= 0x80 {
		var m int
		if length, m = binary.Uvarint(b[p.restEnd:]); m <= 0 {
			return p, errRecord
		}
		p.value = p.restEnd + m
	}
	if length > uint64(len(b)-p.value) {
		return p, errRecord
	}
	p.valueEnd = p.value + int(length)
	return p, nil
}

// more reads the uvarint at n of a length that doesn't fit in 4 bits. What is out
// of bounds becomes a length that is.
func more(b []byte, n int) (uint64, int) {
	x, m := binary.Uvarint(b[min(n, len(b)):])
	if m <= 0 || x > maxPayload {
		return maxPayload + 1, n
	}
	return x + 15, n + m
}

// commonPrefix returns how many bytes a and b share.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; n-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
		if x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// separatorMax bounds the keys in an index.
const separatorMax = 1 << 10

// separated is how many bytes of two keys separator looks at: what it returns of longer ones is what it
// returns of their prefixes.
const separated = separatorMax + 1

// separator returns the shortest prefix of first that is greater than last,
// which is not greater than first, and what it says about last.
func separator(last, first []byte) ([]byte, Overlap) {
	n := commonPrefix(last, first)
	switch {
	case n == len(first) && n <= separatorMax:
		return first, Same // last is not greater than first, so they are equal
	case n >= separatorMax:
		return first[:separatorMax], Beyond
	}
	return first[:n+1], Apart
}

// upperBound returns a key of at most separatorMax bytes that is not less than
// key.
func upperBound(key []byte) []byte {
	if len(key) <= separatorMax {
		return bytes.Clone(key)
	}
	b := bytes.Clone(key[:separatorMax])
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return bytes.Clone(key) // 0xff all over: no shorter key will do
}
