package builtin

import (
	"encoding/binary"
	"math/bits"
	"unicode"
	"unicode/utf8"
)

// tokenizer cuts text into words. It belongs to one task.
type tokenizer struct {
	letters bool // words are runs of Unicode letters; else of anything but white space
	lower   bool // words are in lower case
	buf     []byte
}

// each calls word for each word of text. The word is valid during the call.
func (z *tokenizer) each(text []byte, word func([]byte)) {
	if z.lower {
		plain := word
		word = func(w []byte) { plain(z.fold(w)) }
	}
	if z.letters {
		eachLetters(text, word)
	} else {
		eachField(text, word)
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = 0x7f7f7f7f7f7f7f7f
)

// spaces sets the high bit of every byte of x that is ASCII white space. No byte's sum
// carries into its neighbour: only low seven bits are added to.
func spaces(x uint64) uint64 {
	low := x & lows
	from9 := low + ones*(0x80-9)
	from14 := low + ones*(0x80-14)
	blank := (low ^ ones*' ') + lows // high bit unless the low bits are a blank's
	return (from9&^from14 | ^blank) &^ x & highs
}

// eachField cuts text at white space, eight bytes at a time.
func eachField(text []byte, word func([]byte)) {
	start := 0 // of the current word, or where white space was seen last, plus one
	i := 0
	for ; i+8 <= len(text); i += 8 {
		m := spaces(binary.LittleEndian.Uint64(text[i:]))
		for m != 0 {
			at := i + bits.TrailingZeros64(m)>>3
			if at > start {
				word(text[start:at])
			}
			start = at + 1
			m &= m - 1
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == ' ' || c-9 < 5 {
			if i > start {
				word(text[start:i])
			}
			start = i + 1
		}
	}
	if len(text) > start {
		word(text[start:])
	}
}

// eachLetters cuts text into maximal runs of Unicode letters.
func eachLetters(text []byte, word func([]byte)) {
	start := -1
	for i := 0; i < len(text); {
		c := text[i]
		n, is := 1, c|0x20-'a' < 26
		if c >= utf8.RuneSelf {
			var r rune
			r, n = utf8.DecodeRune(text[i:])
			is = unicode.IsLetter(r) // U+FFFD is none
		}
		switch {
		case is && start < 0:
			start = i
		case !is && start >= 0:
			word(text[start:i])
			start = -1
		}
		i += n
	}
	if start >= 0 {
		word(text[start:])
	}
}

// fold returns w in lower case, in a buffer of z's if it was not.
func (z *tokenizer) fold(w []byte) []byte {
	i := 0
	for i < len(w) && w[i]-'A' >= 26 && w[i] < utf8.RuneSelf {
		i++
	}
	if i == len(w) {
		return w
	}
	z.buf = append(z.buf[:0], w[:i]...)
	for i < len(w) {
		c := w[i]
		if c < utf8.RuneSelf {
			if c-'A' < 26 {
				c |= 0x20
			}
			z.buf = append(z.buf, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(w[i:])
		if r == utf8.RuneError && n == 1 {
			z.buf = append(z.buf, c)
		} else {
			z.buf = utf8.AppendRune(z.buf, unicode.ToLower(r))
		}
		i += n
	}
	return z.buf
}
