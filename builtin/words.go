package builtin

import (
	"unicode"
	"unicode/utf8"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/words"
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
		for w := range mr.Words(text) {
			word(w)
		}
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

// fields is spans for words between white space.
func (z *tokenizer) fields(text []byte, emit func(text []byte, at []uint32)) {
	if z.at == nil {
		z.at = make([]uint32, 2*spanLen+2*words.Len)
	}
	at, n := z.at[:2*spanLen+2*words.Len], 0
	inWord := uint64(0)
	i := 0
	for ; i+words.Len <= len(text); i += words.Len {
		if n > 2*spanLen {
			even := n &^ 1
			emit(text, at[:even])
			at[0] = at[even]
			n &= 1
		}
		var found int
		found, inWord = words.Edges((*[words.Len]uint32)(at[n:]), words.Bits(text[i:]), uint32(i), inWord)
		n += found
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
	emit(text, at[:n])
}

func wordBit(c byte) uint64 {
	if isSpace(c) {
		return 0
	}
	return 1
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
