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
//	uvarint  bytes that the key shares with the key before; 0 at a chunk's start
//	uvarint  bytes of the key that follow
//	uvarint  bytes of the value
//	         the rest of the key
//	         the value
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

// appendRecord appends a coded record.
func appendRecord(dst []byte, shared int, rest, value []byte) []byte {
	if shared < 0x80 && len(rest) < 0x80 && len(value) < 0x80 {
		dst = append(dst, byte(shared), byte(len(rest)), byte(len(value)))
	} else {
		dst = binary.AppendUvarint(dst, uint64(shared))
		dst = binary.AppendUvarint(dst, uint64(len(rest)))
		dst = binary.AppendUvarint(dst, uint64(len(value)))
	}
	dst = append(dst, rest...)
	return append(dst, value...)
}

// recordLengths reads the three lengths at the start of b and how many bytes they
// took. The rest of the key and the value are known to be within b.
func recordLengths(b []byte) (shared, rest, value, n int, err error) {
	if len(b) >= 3 && (b[0]|b[1]|b[2]) < 0x80 {
		shared, rest, value, n = int(b[0]), int(b[1]), int(b[2]), 3
		if n+rest+value > len(b) {
			return 0, 0, 0, 0, errRecord
		}
		return shared, rest, value, n, nil
	}
	var x [3]uint64
	for i := range x {
		v, m := binary.Uvarint(b[n:])
		if m <= 0 || v > maxPayload {
			return 0, 0, 0, 0, errRecord
		}
		x[i] = v
		n += m
	}
	if x[1]+x[2] > uint64(len(b)-n) {
		return 0, 0, 0, 0, errRecord
	}
	return int(x[0]), int(x[1]), int(x[2]), n, nil
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
