package collect

import (
	"encoding/binary"
	"math/bits"
)

// The hash multiplies 64-bit words of the key to 128 bits and folds the halves
// together. It is the same in every process, because evictions depend on it and
// so does a result's last bit. A key set made to collide costs speed only: all keys
// of a row but a few go to the Buffer.
const (
	hashA = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	hashB = 0xd1342543de82ef95
	hashC = 0xaf251af3b0f025b5
)

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// spread makes the upper bits, by which a table goes, depend on all: mix alone is
// uneven where keys differ in a few digits at their end.
func spread(h uint64) uint64 { return (h ^ h>>32) * hashC }

// hashShort hashes a key of up to 16 bytes, given by its two halves, as by window,
// and its length.
func hashShort(hi, mid uint64, n int) uint64 {
	return spread(mix(hi^hashA, mid^uint64(n)^hashB))
}

// hashLong hashes a key of more than 16 bytes.
func hashLong(key []byte) uint64 {
	n := len(key)
	last := binary.LittleEndian.Uint64(key[n-8:])
	h := uint64(n) ^ hashC
	for len(key) > 16 {
		h = mix(binary.LittleEndian.Uint64(key)^h, binary.LittleEndian.Uint64(key[8:])^hashA)
		key = key[16:]
	}
	// At most 16 bytes are left, and the last 8 may overlap what was hashed before.
	first := uint64(0)
	if len(key) > 8 {
		first = binary.LittleEndian.Uint64(key)
	}
	return spread(mix(first^h, last^hashB))
}

// head returns the first 8 bytes of key as a big-endian number, padded with
// zeros: heads compare as the keys do, as far as they reach.
func head(key []byte) uint64 {
	n := len(key)
	if n >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	if cap(key) >= 8 {
		// Words are cut out of larger blocks: one load and a shift, where a loop or
		// a switch over lengths costs a mispredicted branch a word.
		drop := uint(64 - 8*n)
		return binary.BigEndian.Uint64(key[:8]) >> drop << drop
	}
	// Pieces that overlap say the same where they do.
	switch {
	case n >= 4:
		return uint64(binary.BigEndian.Uint32(key))<<32 | uint64(binary.BigEndian.Uint32(key[n-4:]))<<(64-8*n)
	case n > 0:
		return uint64(key[0])<<56 | uint64(key[n/2])<<(56-8*(n/2)) | uint64(key[n-1])<<(64-8*n)
	}
	return 0
}
