package mr

import (
	"iter"
	"unsafe"

	"github.com/mrd-io/mr/internal/words"
)

// Words returns the words of text in order: what stands between ASCII white space. It is
// faster than strings.FieldsSeq and bytes.FieldsSeq, which also know white space beyond ASCII.
// Words are pieces of text's own memory: append to none.
func Words[T Input](text T) iter.Seq[T] {
	return func(yield func(T) bool) { eachWord(text, yield) }
}

func eachWord[T Input](text T, yield func(T) bool) {
	b := inputBytes(text)
	var edges [words.Len]uint32 // of words, from i on
	start := 0                  // of the word that goes on at i, if one does
	in := uint64(0)
	for i := 0; i <= len(b); i += words.Len {
		goesOn, n, k := in != 0, 0, 0
		if n, in = words.Edges(&edges, bitsAt(b, i), 0, in); goesOn && n > 0 {
			if !yield(asInput[T](b[start : i+int(edges[0])])) {
				return
			}
			k = 1
		}
		for ; k+1 < n; k += 2 {
			if !yield(asInput[T](b[i+int(edges[k]&63) : i+int(edges[(k+1)&63]&63)])) {
				return
			}
		}
		if k < n {
			start = i + int(edges[k])
		}
	}
}

// bitsAt returns the words.Bits of b from i on, with white space behind its end.
func bitsAt(b []byte, i int) uint64 {
	switch n := len(b) - i; {
	case n >= words.Len:
		return words.Bits(b[i:])
	case len(b) >= words.Len:
		return words.Bits(b[len(b)-words.Len:]) >> (words.Len - n)
	default:
		var short [words.Len]byte
		copy(short[:], b)
		return words.Bits(short[:]) & (1<<n - 1)
	}
}

// inputBytes views text as bytes, which are not to be changed.
func inputBytes[T Input](text T) []byte {
	if b, ok := any(text).([]byte); ok {
		return b
	}
	s := *(*string)(unsafe.Pointer(&text))
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
