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
	at      []uint32
}

// each calls word for each word of text. The word is valid during the call.
func (z *tokenizer) each(text []byte, word func([]byte)) {
	if z.lower {
		plain := word
		word = func(w []byte) { plain(z.fold(w)) }
	}
	if z.letters {
		eachLetters(text, func(start, end int) { word(text[start:end]) })
	} else {
		eachField(text, word)
	}
}

// spanLen is about how many words spans hands over at once.
const spanLen = 256

// spans calls words for all words of text, many at a time: where each begins and ends, in
// turn, in text or in another one. They are valid during the call.
func (z *tokenizer) spans(text []byte, words func(text []byte, at []uint32)) {
	if !z.letters && !z.lower {
		z.fields(text, words)
		return
	}
	at, buf := z.at[:0], []byte(nil)
	if z.lower {
		buf = make([]byte, 0, min(len(text), spanLen*16))
	}
	flush := func() {
		words(buf, at)
		at = at[:0]
	}
	if z.lower {
		z.each(text, func(w []byte) {
			start := uint32(len(buf))
			buf = append(buf, w...)
			if at = append(at, start, uint32(len(buf))); len(at) == 2*spanLen {
				flush()
				buf = buf[:0]
			}
		})
	} else {
		buf = text
		eachLetters(text, func(start, end int) {
			if at = append(at, uint32(start), uint32(end)); len(at) == 2*spanLen {
				flush()
			}
		})
	}
	flush()
	z.at = at
}

// fields is spans for words between white space, 64 bytes at a time: where the mask of
// words changes, one begins or ends.
func (z *tokenizer) fields(text []byte, words func(text []byte, at []uint32)) {
	if z.at == nil {
		z.at = make([]uint32, 2*spanLen+2*64)
	}
	at, n := z.at[:2*spanLen+2*64], 0
	inWord := uint64(0)
	i := 0
	for ; i+64 <= len(text); i += 64 {
		m := wordBits(text[i : i+64])
		edges := m ^ (m<<1 | inWord)
		inWord = m >> 63
		if n > 2*spanLen {
			even := n &^ 1
			words(text, at[:even])
			at[0] = at[even]
			n &= 1
		}
		// Sixteen without asking: a branch for each would be guessed wrongly too often.
		count := bits.OnesCount64(edges)
		to := (*[64]uint32)(at[n:])
		for k := 0; k < 16; k += 4 {
			to[k] = uint32(i + bits.TrailingZeros64(edges))
			edges &= edges - 1
			to[k+1] = uint32(i + bits.TrailingZeros64(edges))
			edges &= edges - 1
			to[k+2] = uint32(i + bits.TrailingZeros64(edges))
			edges &= edges - 1
			to[k+3] = uint32(i + bits.TrailingZeros64(edges))
			edges &= edges - 1
		}
		for k := 16; k < count; k++ {
			to[k] = uint32(i + bits.TrailingZeros64(edges))
			edges &= edges - 1
		}
		n += count
	}
	for ; i < len(text); i++ {
		if is := wordBit(text[i]); is != inWord {
			at[n] = uint32(i)
			n++
			inWord = is
		}
	}
	if n&1 != 0 {
		at[n] = uint32(len(text))
		n++
	}
	words(text, at[:n])
}

// wordBits returns a bit for each of 64 bytes that is none of white space, the first byte's
// lowest.
func wordBits(b []byte) (m uint64) {
	b = b[:64]
	for k := 0; k < 64; k += 8 {
		m |= spaces(binary.LittleEndian.Uint64(b[k:])) >> 7 * 0x0102040810204080 >> 56 << k
	}
	return ^m
}

func wordBit(c byte) uint64 {
	if isSpace(c) {
		return 0
	}
	return 1
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
func eachLetters(text []byte, word func(start, end int)) {
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
			word(start, i)
			start = -1
		}
		i += n
	}
	if start >= 0 {
		word(start, len(text))
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
