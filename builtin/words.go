package builtin

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/mrd-io/mr/internal/words"
)

// tokenizer cuts text into words. It belongs to one task.
type tokenizer struct {
	letters bool // words are runs of Unicode letters; else of anything but white space
	lower   bool // words are in lower case
	folded  []byte
	at      []uint32

	// Of the bytes behind those whose bits are known: how many belong to a character that began
	// before, and whether it is a letter. None does behind a text's end.
	rest   int
	restIs bool
}

// spanLen is about how many words spans hands over at once.
const spanLen = 256

// pieceLen is about how much is brought into lower case at once.
const pieceLen = 16 << 10

// spans calls words for all words of text, many at a time: where each begins and ends, in
// turn, in text or in another one. They are valid during the call.
func (z *tokenizer) spans(text []byte, words func(text []byte, at []uint32)) {
	if !z.lower {
		z.cut(text, words)
		return
	}
	// A letter in lower case is a letter, and nothing becomes one, so words are cut behind that.
	for len(text) > 0 {
		n := z.piece(text)
		z.folded = appendLower(z.folded[:0], text[:n])
		z.cut(z.folded, words)
		text = text[n:]
	}
}

// piece returns the length of a piece of text, behind which no word goes on.
func (z *tokenizer) piece(text []byte) int {
	if len(text) <= pieceLen {
		return len(text)
	}
	for n := pieceLen; n > 0; n-- {
		if z.parts(text[n-1]) {
			return n
		}
	}
	for n := pieceLen; n < len(text); n++ {
		if z.parts(text[n]) {
			return n
		}
	}
	return len(text)
}

// parts reports whether c is of no word, whatever is beside it.
func (z *tokenizer) parts(c byte) bool {
	if z.letters {
		return c < utf8.RuneSelf && !isLetter(c)
	}
	return isSpace(c)
}

// cut is spans for words as they stand in text.
func (z *tokenizer) cut(text []byte, emit func(text []byte, at []uint32)) {
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
		var m uint64
		if !z.letters {
			m = words.Bits(text[i:])
		} else if letters, others := words.Letters(text[i:]); others == 0 {
			m = letters
		} else {
			m = z.letterBits(text, i, letters, others)
		}
		var found int
		found, inWord = words.Edges((*[words.Len]uint32)(at[n:]), m, uint32(i), inWord)
		n += found
	}
	if i < len(text) {
		var end [words.Len]byte
		copy(end[:], text[i:])
		m := uint64(0)
		if !z.letters {
			m = words.Bits(end[:])
		} else {
			letters, others := words.Letters(end[:])
			m = z.letterBits(text, i, letters, others)
		}
		m &= 1<<(len(text)-i) - 1 // what is behind the end is white space
		found, _ := words.Edges((*[words.Len]uint32)(at[n:]), m, uint32(i), inWord)
		n += found
	}
	if n&1 != 0 {
		at[n] = uint32(len(text))
		n++
	}
	emit(text, at[:n])
}

// letterBits returns a bit for each byte of text from i on, words.Len at most, that is of a letter. letters has those
// of ASCII, others the bytes that are not ASCII.
func (z *tokenizer) letterBits(text []byte, i int, letters, others uint64) uint64 {
	set := func(from, n int) {
		if from < words.Len {
			letters |= (1<<n - 1) << from
		}
	}
	if z.restIs {
		set(0, z.rest)
	}
	done := z.rest
	for others &= ^uint64(0) << done; others != 0; others &= ^uint64(0) << done {
		k := bits.TrailingZeros64(others)
		r, n := utf8.DecodeRune(text[i+k:])
		z.restIs = isWideLetter(r) // U+FFFD is none
		if z.restIs {
			set(k, n)
		}
		done = k + n
	}
	z.rest = max(done-words.Len, 0)
	return letters
}

// wideLetters has a bit for each letter below its end: telling one takes unicode long.
var wideLetters = sync.OnceValue(func() *[1 << 16 / 64]uint64 {
	var set [1 << 16 / 64]uint64
	for _, of := range unicode.Letter.R16 {
		for r := uint32(of.Lo); r <= uint32(of.Hi); r += uint32(of.Stride) {
			set[r/64] |= 1 << (r % 64)
		}
	}
	return &set
})

// isWideLetter is unicode.IsLetter.
func isWideLetter(r rune) bool {
	if r < 1<<16 {
		return wideLetters()[r/64]>>(r%64)&1 != 0
	}
	return unicode.IsLetter(r)
}

func isLetter(c byte) bool { return c|0x20-'a' < 26 }

// appendLower appends text in lower case. What is not UTF-8 stays as it is.
func appendLower(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		for ; i+8 <= len(text); i += 8 {
			x := binary.LittleEndian.Uint64(text[i:])
			if x&highs != 0 {
				break
			}
			// No byte's sum carries into its neighbour: all are below 0x80.
			upper := (x + ones*(0x80-'A')) &^ (x + ones*(0x80-'Z'-1)) & highs
			dst = binary.LittleEndian.AppendUint64(dst, x|upper>>2)
		}
		if i == len(text) {
			break
		}
		c := text[i]
		if c < utf8.RuneSelf {
			if c-'A' < 26 {
				c |= 0x20
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
		i += n
	}
	return dst
}
