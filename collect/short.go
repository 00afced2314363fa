package collect

import "encoding/binary"

// slowShort is short where memory behind the key can't be read.
func slowShort(key []byte) (hi, mid uint64) {
	n := len(key)
	hi = head(key)
	if n > 8 {
		// The last 8 bytes overlap the first.
		mid = binary.BigEndian.Uint64(key[n-8:]) << (8 * uint(16-n) & 63)
	}
	return hi, mid
}
