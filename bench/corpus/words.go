package corpus

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// A vocabulary turns ranks into words: those of the head from a table, those of the tail by hashing the
// rank, so that millions of words need no memory and no cache misses. Two ranks may have the same word.
type vocabulary struct {
	salt      uint64
	head      [headRanks]headWord
	lengths   [64]uint8 // of tail words, drawn equally often
	syllables [256]uint32
	kinds     [32]wordKind // of tail words, drawn equally often
}

// headWord is a word of at most 15 bytes and its length, in the layout that is copied fastest.
type headWord struct {
	bytes [16]byte
	n     uint64
}

// wordKind is what a word looks like.
type wordKind uint8

const (
	plainWord wordKind = iota
	capitalWord
	commaWord   // and other marks after it
	quotedWord  // and bracketed
	numberWord  // of digits
	dottedWord  // name.name
	snakeWord   // name_name
	callWord    // Name(name
	foreignWord // Cyrillic
)

// maxWord bounds the bytes that put writes, overshoot included.
const maxWord = 48

// newVocabulary makes words of which the most frequent are given. Head words get longer by rank:
// slope/64 bytes for each doubling, from at least base.
func newVocabulary(salt uint64, frequent string, base, slope int, lengths string, kinds []wordKind) *vocabulary {
	v := &vocabulary{salt: salt}
	for i := range v.lengths {
		v.lengths[i] = lengths[i*len(lengths)/len(v.lengths)] - 'a' + 1
	}
	for i := range v.kinds {
		v.kinds[i] = kinds[i*len(kinds)/len(v.kinds)]
	}
	v.makeSyllables()
	given := strings.Fields(frequent)
	for r := range v.head {
		h := &v.head[r]
		if r < len(given) {
			h.n = uint64(copy(h.bytes[:], given[r]))
			continue
		}
		x := mix(uint64(r) ^ salt)
		n := base + slope*bits.Len(uint(r))/64 + int(x>>60)%5 - 1
		var word [maxWord]byte
		h.n = uint64(min(n, 15))
		v.letters(word[:], x, n)
		copy(h.bytes[:h.n], word[:])
	}
	return v
}

// makeSyllables fills the table: two or three letters, and how many in the highest byte.
func (v *vocabulary) makeSyllables() {
	const starts = "bcdfghjklmnprstvwtsrnldm" // the frequent ones twice
	const vowels = "aeiouaeio"
	const ends = "nrstlmdce"
	r := newRandom(v.salt)
	for i := range v.syllables {
		s := uint32(starts[r.below(uint64(len(starts)))]) | uint32(vowels[r.below(uint64(len(vowels)))])<<8
		if i%2 == 0 {
			s |= 2 << 24
		} else {
			s |= uint32(ends[r.below(uint64(len(ends)))])<<16 | 3<<24
		}
		v.syllables[i] = s
	}
}

// letters writes n letters chosen by x to dst, and up to 3 bytes more.
func (v *vocabulary) letters(dst []byte, x uint64, n int) {
	for i := 0; i < n; {
		if x < 1<<8 {
			x = mix(x + uint64(n))
		}
		s := v.syllables[x&255]
		binary.LittleEndian.PutUint32(dst[i:], s)
		i += int(s >> 24)
		x >>= 8
	}
}

// put writes the word of a tail rank to dst and returns its length. It may write up to maxWord bytes.
func (v *vocabulary) put(dst []byte, rank uint64) int {
	x := mix(rank ^ v.salt)
	n := int(v.lengths[x>>58])
	kind := v.kinds[x>>53&31]
	x &= 1<<53 - 1
	if kind == numberWord {
		return putNumber(dst, x, n)
	}
	v.letters(dst, x, n)
	switch kind {
	case capitalWord:
		dst[0] -= 'a' - 'A'
	case commaWord:
		dst[n] = ",.,;.:,."[rank&7]
		n++
	case quotedWord:
		dst[0], dst[n] = `"(['`[rank&3], `")]'`[rank&3]
		n++
	case dottedWord:
		dst[n/2] = '.'
	case snakeWord:
		dst[n/2] = '_'
	case callWord:
		dst[n/3] = '.'
		dst[n/3+1] &^= 0x20
		dst[n*3/4] = '('
	case foreignWord:
		for i := n; i >= 0; i-- { // letters become two bytes each
			c := dst[i] & 15
			dst[2*i], dst[2*i+1] = 0xd0, 0xb0|c
		}
		n = n / 2 * 2
	}
	return n
}

// putNumber writes a number of n digits at most, chosen by x.
func putNumber(dst []byte, x uint64, n int) int {
	for i := range n {
		dst[i] = '0' + byte(x%10)
		x /= 10
	}
	return n
}

func newMixedVocabulary() *vocabulary {
	return newVocabulary(0x6d697865645f7478,
		`the of and to a in is that for it was on as with be by at this are from or I an not he have his
		 which you were but her she they one their had has - all we will there can The been if more when`,
		3, 36, "cdeefffggghhhhiiiijjjjjkkkkkllllmmmmnnnnoooopppqqrrsstuvwxy",
		[]wordKind{plainWord, plainWord, plainWord, plainWord, plainWord, plainWord, capitalWord, capitalWord,
			commaWord, commaWord, quotedWord, numberWord, dottedWord, snakeWord, numberWord, foreignWord})
}

func newGoVocabulary() *vocabulary {
	return newVocabulary(0x676f5f736f757263,
		`// { } = the if := return func a to of err nil, nil { is case for != and in := == string int that be
		 // == ( ) type it not or range as this error var on with const case := i v s . x, %s t break`,
		2, 30, "bcdefgghhhiiijjjkkkllllmmmmnnnoooppqqrrsstuuvvwxyy",
		[]wordKind{plainWord, plainWord, plainWord, callWord, callWord, dottedWord, dottedWord, dottedWord,
			commaWord, commaWord, capitalWord, capitalWord, quotedWord, quotedWord, callWord, numberWord})
}
