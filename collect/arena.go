package collect

// arena holds byte strings that die together. Each has a 32-bit ref, and refs
// grow in the order of allocation. Memory comes in chunks, so that a growing
// arena is never copied and never doubles:
//
//	ref: chunk number (12 bits) | offset in the chunk (20 bits)
//
// A string of more than a chunk gets a slice of its own and uses up as many chunk
// numbers as it is long.
type arena struct {
	chunks [][]byte // by number; nil where a longer one covers the number
	free   [][]byte // full-sized chunks of an earlier round
	cur    []byte   // the last chunk; len is what is used of it
	chunk  int      // bytes of a full-sized chunk
	held   int64    // bytes in chunks
}

const (
	chunkBits = 20
	chunkMax  = 1 << chunkBits
	chunkMin  = 16 << 10
	maxChunks = 1 << (32 - chunkBits)
)

// fits reports whether n more bytes can be allocated before the arena has to be
// reset, however much memory there is.
func (a *arena) fits(n int) bool {
	return len(a.chunks)+n>>chunkBits+1 <= maxChunks
}

// alloc returns n bytes and their ref. The bytes are not cleared.
func (a *arena) alloc(n int) (uint32, []byte) {
	off := len(a.cur)
	if n > cap(a.cur)-off {
		return a.grow(n)
	}
	a.cur = a.cur[:off+n]
	return uint32((len(a.chunks)-1)<<chunkBits | off), a.cur[off : off+n]
}

func (a *arena) grow(n int) (uint32, []byte) {
	number := len(a.chunks)
	if n > a.chunk {
		b := make([]byte, n)
		a.chunks = append(a.chunks, b)
		for covered := chunkMax; covered < n; covered += chunkMax {
			a.chunks = append(a.chunks, nil)
		}
		a.cur = nil
		a.held += int64(n)
		return uint32(number << chunkBits), b
	}
	var b []byte
	if last := len(a.free) - 1; last >= 0 {
		b, a.free = a.free[last], a.free[:last]
	} else {
		// The first chunks are small, since most arenas of a small task stay so.
		if size := min(a.chunk, max(n, chunkMin<<min(number, 16))); size == chunkMax {
			b = memory.chunk()
		} else {
			b = make([]byte, size)
		}
	}
	a.chunks = append(a.chunks, b)
	a.cur = b[:n]
	a.held += int64(len(b))
	return uint32(number << chunkBits), b[:n]
}

// at returns the bytes from ref on: the string, and what lies behind it.
func (a *arena) at(ref uint32) []byte {
	return a.chunks[ref>>chunkBits][ref&(chunkMax-1):]
}

// reset forgets all strings and keeps the full-sized chunks for the next round.
func (a *arena) reset() {
	for _, c := range a.chunks {
		if len(c) == a.chunk {
			a.free = append(a.free, c)
		}
	}
	a.chunks, a.cur, a.held = a.chunks[:0], nil, 0
}

// release forgets all strings and leaves the chunks to other arenas.
func (a *arena) release() {
	for _, c := range a.chunks {
		memory.keepChunk(c)
	}
	for _, c := range a.free {
		memory.keepChunk(c)
	}
	*a = arena{}
}
