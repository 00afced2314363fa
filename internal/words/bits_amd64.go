package words

// Bits returns a bit for each of the first Len bytes of b that is none of white space, the
// first byte's lowest.
func Bits(b []byte) uint64 { return bitsOf((*[Len]byte)(b)) }

// Letters returns a bit for each of the first Len bytes of b that is a letter of ASCII, and for each
// that is not ASCII, the first byte's lowest.
func Letters(b []byte) (letters, others uint64) { return lettersOf((*[Len]byte)(b)) }

//go:noescape
func lettersOf(b *[Len]byte) (letters, others uint64)

//go:noescape
func bitsOf(b *[Len]byte) uint64

// place puts the places of the bits that are set, counted from base, into to.
//
//go:noescape
func place(to *[Len]uint32, set uint64, base uint32)
