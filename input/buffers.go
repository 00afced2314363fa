package input

import (
	"math/bits"
	"sync"

	"github.com/zeebo/blake3"
)

// buffers is where large buffers rest between tasks, so that a worker doesn't fault in
// fresh pages for each split. With hashers and keys, which are ten kilobytes each, it is the
// package's only shared state and cannot be observed but by speed; sync.Pool gives what is
// not used back to the collector.
//
// Sizes are in steps of a quarter of a power of two; a buffer of one of the next steps will do.
var buffers pool

var (
	hashers sync.Pool // *blake3.Hasher, reset
	keys    sync.Pool // *key, empty
)

func newHasher() *blake3.Hasher {
	if h, ok := hashers.Get().(*blake3.Hasher); ok {
		return h
	}
	return blake3.New()
}

func keepHasher(h *blake3.Hasher) {
	h.Reset()
	hashers.Put(h)
}

const (
	minClass = 14 // log2 of the smallest buffer
	classes  = 4 * 40
)

type pool struct {
	classes [classes]sync.Pool
}

// classOf returns the first class that holds n bytes, and its size.
func classOf(n int64) (class int, size int64) {
	if n <= 1<<minClass {
		return 0, 1 << minClass
	}
	shift := bits.Len64(uint64(n-1)) - 3 // n-1 has three bits above the shift: 1xx
	top := (n-1)>>shift + 1              // 5..8 quarters
	return (shift+2-minClass)*4 + int(top) - 4, top << shift
}

// get returns a buffer of length n or more.
func (p *pool) get(n int64) []byte {
	class, size := classOf(n)
	for c := class; c < min(class+3, classes); c++ {
		if b, ok := p.classes[c].Get().(*[]byte); ok {
			return (*b)[:cap(*b)]
		}
	}
	return make([]byte, size)
}

// put gives a buffer of get back. nil is allowed.
func (p *pool) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	b = b[:cap(b)]
	if class, size := classOf(int64(len(b))); class < classes && size == int64(len(b)) {
		p.classes[class].Put(&b)
	}
}
