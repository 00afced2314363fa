package main

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"unsafe"
)

const (
	blockSize = 1 << 20
	lookahead = 1 << 12 // bytes read beyond a block to find the end of its last word
	padding   = 128     // bytes of white space behind the text, so that reading ahead is harmless
)

// block is a part of the file that its worker counts: the words that begin in it.
type block struct {
	buf      []byte
	from, to int
}

// text returns the words, with padding behind them in memory.
func (b *block) text() []byte { return b.buf[b.from:b.to] }

// read reads the block at off.
func (b *block) read(f io.ReaderAt, off, size int64) error {
	before := int(min(off, 1)) // the byte before tells whether a word begins here
	end := before + int(min(blockSize, size-off))
	for ahead := lookahead; ; ahead *= 8 {
		want := int(min(int64(end+ahead), size-off+int64(before)))
		if len(b.buf) < want+padding {
			b.buf = make([]byte, want+padding)
		}
		if n, err := f.ReadAt(b.buf[:want], off-int64(before)); n < want {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // somebody has cut the file
			}
			return err
		}
		b.from, b.to = 0, end
		if before == 1 {
			b.from = firstSpace(b.buf, 0, end)
		}
		if !isSpace(b.buf[end-1]) && b.from < end {
			b.to = firstSpace(b.buf, end, want)
			if b.to == want && off+int64(want-before) < size {
				continue // the word is longer than what was read
			}
		}
		for i := b.to; i < b.to+padding; i++ {
			b.buf[i] = ' '
		}
		return nil
	}
}

// firstSpace returns the first offset from i up to end that holds white space, or end.
func firstSpace(buf []byte, i, end int) int {
	for i < end && !isSpace(buf[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c-'\t' < 5 }

const (
	each  = 0x0101010101010101
	highs = each * 0x80
)

// spaceBits returns a bit for each byte of x that is white space, the first byte's lowest.
func spaceBits(x uint64) uint64 {
	low := x &^ highs // sums of seven bits do not reach the neighbour
	tabs := (low + each*(0x80-'\t')) &^ (low + each*(0x80-'\r'-1))
	blank := ^((low ^ each*' ') + each*0x7f)
	return ((tabs | blank) &^ x & highs >> 7) * 0x0102040810204080 >> 56
}

// edges holds the offsets where words begin and end, in turn, of a stretch of text.
type edges struct {
	at [stretch + 2*64]uint32
	n  int
}

const stretch = 4096

// scan appends the edges of the stretch of text that begins at off, which is a multiple of 64 bytes long
// and may reach into the padding. inWord says, before and after, whether the byte before was of a word.
func (e *edges) scan(text unsafe.Pointer, off, end int, inWord uint64) uint64 {
	n := e.n
	for i := off; i < end; i += 64 {
		var m uint64
		for k := 0; k < 64; k += 8 {
			m |= spaceBits(load(text, i+k)) << k
		}
		x := ^m ^ (^m<<1 | inWord)
		inWord = ^m >> 63
		count := bits.OnesCount64(x)
		// Sixteen without asking: a branch for each would be guessed wrongly too often.
		at := (*[64]uint32)(unsafe.Pointer(&e.at[n]))
		for k := 0; k < 16; k += 4 {
			at[k] = uint32(i + bits.TrailingZeros64(x))
			x &= x - 1
			at[k+1] = uint32(i + bits.TrailingZeros64(x))
			x &= x - 1
			at[k+2] = uint32(i + bits.TrailingZeros64(x))
			x &= x - 1
			at[k+3] = uint32(i + bits.TrailingZeros64(x))
			x &= x - 1
		}
		for k := 16; k < count; k++ {
			at[k&63] = uint32(i + bits.TrailingZeros64(x))
			x &= x - 1
		}
		n += count
	}
	e.n = n
	return inWord
}

// load returns the eight bytes at off.
func load(p unsafe.Pointer, off int) uint64 { return *(*uint64)(unsafe.Add(p, off)) }

const (
	partitions = 256
	samples    = 16
	sampleSize = 1 << 16
)

// rangeTable gives the partition of a word by its first two bytes, the first one the lower. Partitions are
// in the order of words.
type rangeTable [1 << 16]uint8

// sampleRanges cuts the range of words so that about as many distinct ones are in each partition.
func sampleRanges(f io.ReaderAt, size int64) (*rangeTable, error) {
	seen := map[string]bool{}
	weight := make([]int, 1<<16)
	total := 1
	buf := make([]byte, sampleSize)
	for i := range int64(samples) {
		n, err := f.ReadAt(buf, max(0, size-sampleSize)*i/samples)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		for _, w := range bytes.FieldsFunc(buf[:n], func(r rune) bool { return r < 0x80 && isSpace(byte(r)) }) {
			if !seen[string(w)] {
				seen[string(w)] = true
				w = append(w[:len(w):len(w)], 0)
				weight[int(w[0])<<8|int(w[1])]++
				total++
			}
		}
	}
	t := &rangeTable{}
	sum := 0
	for k, w := range weight {
		t[k>>8|k&255<<8] = uint8(sum * partitions / total)
		sum += w
	}
	return t, nil
}
