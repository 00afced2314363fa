package words

// Bits returns a bit for each of the first Len bytes of b that is none of white space, the
// first byte's lowest.
func Bits(b []byte) uint64 { return bitsOf((*[Len]byte)(b)) }

//go:noescape
func bitsOf(b *[Len]byte) uint64
