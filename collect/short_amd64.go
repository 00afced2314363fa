package collect

import "unsafe"

// pageLen is the least that memory comes in: what is on the page of a byte that can be read can be read.
const pageLen = 4 << 10

// short returns a key of at most 16 bytes as two numbers, as window does. It reads 16 bytes at once, whatever
// is behind the key, where they are on one page: nothing to guess.
func short(key []byte) (hi, mid uint64) {
	p := unsafe.Pointer(unsafe.SliceData(key))
	if len(key) == 0 || uintptr(p)%pageLen > pageLen-inline {
		return slowShort(key)
	}
	return load(p, len(key))
}

// load returns the n bytes at p, at most 16, as two big-endian numbers with zeros behind them. 16 must
// be readable.
//
//go:noescape
func load(p unsafe.Pointer, n int) (hi, mid uint64)
