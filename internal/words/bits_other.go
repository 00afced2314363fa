//go:build !amd64

package words

// Bits returns a bit for each of the first Len bytes of b that is none of white space, the
// first byte's lowest.
func Bits(b []byte) uint64 { return slowBits(b) }
