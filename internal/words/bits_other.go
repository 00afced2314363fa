//go:build !amd64

package words

// place puts the places of the bits that are set, counted from base, into to.
func place(to *[Len]uint32, set uint64, base uint32) { slowPlace(to, set, base) }

// Bits returns a bit for each of the first Len bytes of b that is none of white space, the
// first byte's lowest.
func Bits(b []byte) uint64 { return slowBits(b) }

// Letters returns a bit for each of the first Len bytes of b that is a letter of ASCII, and for each
// that is not ASCII, the first byte's lowest.
func Letters(b []byte) (letters, others uint64) { return slowLetters(b) }
