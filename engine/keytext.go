package engine

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// keyForms are the encoded keys that text may stand for in a job with keys of that shape
// (mr.Traits.KeyShape). A shape tells the lengths of a key's components, not their types,
// so a number has several forms; which of them occurs is seen in the runs. Fewer
// components than the shape has are the beginning of a key: exact is false then.
func keyForms(shape, text string) (forms [][]byte, exact bool) {
	if shape == "*" {
		return [][]byte{[]byte(text)}, true
	}
	fields := []string{text}
	if len(shape) > 1 {
		fields = strings.Split(text, "\t")
	}
	if len(fields) > len(shape) {
		return nil, false
	}
	forms = [][]byte{nil}
	for i, f := range fields {
		var next [][]byte
		for _, form := range forms {
			for _, c := range componentForms(shape[i], f) {
				next = append(next, append(append([]byte{}, form...), c...))
			}
		}
		forms = next
	}
	return forms, len(fields) == len(shape)
}

// componentForms are the encodings of one component, of a letter as in KeyShape.
func componentForms(letter byte, text string) (forms [][]byte) {
	switch letter {
	case 's', 'S':
		b := append([]byte(strings.ReplaceAll(text, "\x00", "\x00\xff")), 0, 1)
		if letter == 'S' {
			b = inverted(b)
		}
		return [][]byte{b}
	}
	size := int(letter - '0')
	add := func(u uint64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], u)
		forms = append(forms, b[8-size:], inverted(b[8-size:]))
	}
	if n, err := strconv.ParseInt(text, 10, 8*size); err == nil {
		add(uint64(n) ^ 1<<(8*size-1))
	}
	if n, err := strconv.ParseUint(text, 10, 8*size); err == nil {
		add(n)
	}
	if f, err := strconv.ParseFloat(text, 8*size); err == nil && size >= 4 {
		add(floatKey(f, size))
	}
	if v, err := strconv.ParseBool(text); err == nil && size == 1 {
		forms = append(forms, []byte{b2i(v)}, []byte{^b2i(v)})
	}
	return forms
}

func floatKey(f float64, size int) uint64 {
	u, sign := math.Float64bits(f), uint64(1)<<63
	if size == 4 {
		u, sign = uint64(math.Float32bits(float32(f))), 1<<31
	}
	switch {
	case f == 0:
		u = 0
	case f != f && size == 4:
		u = 0x7fc00000
	case f != f:
		u = 0x7ff8000000000000
	}
	if u&sign != 0 {
		return ^u
	}
	return u | sign
}

func b2i(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func inverted(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}
