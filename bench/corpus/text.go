package corpus

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Profile names a kind of text.
type Profile string

// The profiles, with the numbers of 1 GB.
const (
	// Mixed is prose with numbers, names and marks: about 109 million words, 6 million distinct.
	Mixed Profile = "mixed"
	// GoLike has the statistics of Go source: about 131 million words, 1 million distinct.
	GoLike Profile = "go"
)

// text makes lines of words.
type text struct {
	rnd       random
	zipf      *zipf
	words     *vocabulary
	lineWords [256]uint8 // words of a line, drawn equally often
	indent    bool
}

func newText(p Profile, seed uint64) (*text, error) {
	t := &text{rnd: newRandom(seed)}
	switch p {
	case Mixed:
		t.zipf, t.words = newZipf(mixedTail), newMixedVocabulary()
		t.lineWords = lengthsOfLines(12, 40, 220, 248)
	case GoLike:
		t.zipf, t.words, t.indent = newZipf(goTail), newGoVocabulary(), true
		t.lineWords = lengthsOfLines(24, 170, 250, 255)
	default:
		return nil, fmt.Errorf("text profile %q is not known; use %s or %s", p, Mixed, GoLike)
	}
	return t, nil
}

// lengthsOfLines makes a table in which the lines below the bounds are blank, of 1 to 5, of 6 to 18 and
// of 19 to 40 words, and the others longer.
func lengthsOfLines(blank, short, middle, long int) (table [256]uint8) {
	for i := range table {
		switch {
		case i < blank:
		case i < short:
			table[i] = uint8(1 + i%5)
		case i < middle:
			table[i] = uint8(6 + i%13)
		case i < long:
			table[i] = uint8(19 + i%22)
		default:
			table[i] = uint8(50 + i%8*17)
		}
	}
	return table
}

// maxLine bounds the bytes that a line function writes, overshoot included.
const maxLine = 1 << 14

// line writes one line to dst, which has room for maxLine bytes, and returns its length.
func (t *text) line(dst []byte) int {
	x := t.rnd.next()
	words := int(t.lineWords[x&255])
	n := 0
	if t.indent && words > 0 {
		for tabs := int(x >> 8 & 3); n < tabs; n++ {
			dst[n] = '\t'
		}
	}
	for range words {
		x = t.rnd.next()
		if i := t.zipf.draw(x); i < headRanks {
			w := &t.words.head[i]
			copy(dst[n:n+16], w.bytes[:])
			n += int(w.n)
		} else {
			n += t.words.put(dst[n:n+2*maxWord], t.zipf.inBin(i-headRanks, mix(x)))
		}
		dst[n] = ' '
		n++
	}
	if words > 0 {
		n-- // the last blank
	}
	dst[n] = '\n'
	return n + 1
}

// Text writes size bytes of lines to w.
func Text(w io.Writer, p Profile, seed uint64, size int64) error {
	t, err := newText(p, seed)
	if err != nil {
		return err
	}
	return stream(w, size, t.line)
}

// Word returns the word of a rank below 8192: one that occurs in about 90/(rank+4) words of a thousand.
func Word(p Profile, rank int) (string, error) {
	t, err := newText(p, 0)
	if err != nil {
		return "", err
	}
	w := &t.words.head[rank]
	return string(w.bytes[:w.n]), nil
}

// stream writes lines until there are size bytes; a last line that does not fit is made of filler
// instead, so that the size is exact and the last byte a line feed.
func stream(w io.Writer, size int64, line func(dst []byte) int) error {
	buf := make([]byte, 1<<18+maxLine)
	n := 0
	for size > 0 {
		k := line(buf[n : n+maxLine])
		if int64(n+k) > size {
			k = int(size) - n
			for i := range k {
				buf[n+i] = 'x'
			}
			if k > 0 {
				buf[n+k-1] = '\n'
			}
		}
		n += k
		if n >= 1<<18 || int64(n) == size {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			size -= int64(n)
			n = 0
		}
	}
	return nil
}

// twoChars holds all pairs of characters for base-64 filler.
type twoChars [4096]uint16

func newTwoChars() *twoChars {
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
	t := &twoChars{}
	for i := range t {
		t[i] = uint16(chars[i&63]) | uint16(chars[i>>6])<<8
	}
	return t
}

// fill writes len(dst), an even number, of random characters.
func (t *twoChars) fill(dst []byte, r *random) {
	for len(dst) > 0 {
		x := r.next()
		for k := 0; k < 5 && len(dst) > 0; k++ {
			binary.LittleEndian.PutUint16(dst, t[x&4095])
			dst = dst[2:]
			x >>= 12
		}
	}
}
