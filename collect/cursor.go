package collect

import "encoding/binary"

// Cursor walks over records in key order.
type Cursor interface {
	// Next steps to the next record and reports whether there is one. After false,
	// Err tells the end from a failure.
	Next() bool
	// Key and Value return the record's bytes, valid until the next call of Next.
	Key() []byte
	Value() []byte
	// Err returns what stopped the cursor early, or nil.
	Err() error
}

// A record in memory and in a spill file:
//
//	uvarint key length | uvarint value length | key | value

// recordSize returns the bytes that a record of these lengths takes.
func recordSize(key, value int) int {
	return uvarintLen(uint64(key)) + uvarintLen(uint64(value)) + key + value
}

func uvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

// putLengths writes a record's lengths and returns how many bytes they took.
func putLengths(dst []byte, key, value int) int {
	if key < 0x80 && value < 0x80 && len(dst) >= 2 {
		dst[0], dst[1] = byte(key), byte(value)
		return 2
	}
	n := binary.PutUvarint(dst, uint64(key))
	return n + binary.PutUvarint(dst[n:], uint64(value))
}

// lengths reads a record's lengths: where its key begins, where its value
// begins and where it ends.
func lengths(b []byte) (key, value, end int) {
	if b[0] < 0x80 && b[1] < 0x80 {
		value = 2 + int(b[0])
		return 2, value, value + int(b[1])
	}
	k, n := binary.Uvarint(b)
	v, m := binary.Uvarint(b[n:])
	key = n + m
	value = key + int(k)
	return key, value, value + int(v)
}
