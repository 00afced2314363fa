package corpus

import (
	"encoding/binary"
	"io"
)

// RecordSize is the length of a sort record, its line feed included.
const RecordSize = 100

// records makes sort records:
//
//	bytes   0–9    key: printable, '!' to '~'
//	bytes  10–11   two blanks
//	bytes  12–27   the record's number, 16 hexadecimal digits: no two records are equal
//	bytes  28–29   two blanks
//	bytes  30–98   random letters, which hardly compress
//	byte   99      line feed
type records struct {
	rnd      random
	n        uint64
	skewed   bool
	prefixes [4]uint64
	filler   *twoChars
}

func (s *records) line(dst []byte) int {
	x, y := s.rnd.next(), s.rnd.next()
	key := printable(x)
	if s.skewed && y>>63 == 0 {
		// Half of the records share four prefixes of seven bytes.
		key = s.prefixes[y>>61&3]&(1<<56-1) | key&^(1<<56-1)
	}
	binary.LittleEndian.PutUint64(dst, key)
	binary.LittleEndian.PutUint64(dst[8:], printable(y)&0xffff|0x2020_0000)
	hex := "0123456789abcdef"
	for i := range 16 {
		dst[12+i] = hex[s.n>>(60-4*i)&15]
	}
	dst[28], dst[29] = ' ', ' '
	s.filler.fill(dst[30:100], &s.rnd)
	dst[99] = '\n'
	s.n++
	return RecordSize
}

// printable makes each byte of x one of the 94 visible characters.
func printable(x uint64) uint64 {
	const even = 0x00ff00ff00ff00ff
	// Each byte times 94, of 256, plus '!': in 16-bit lanes, so that no product touches its neighbour.
	a := (x & even) * 94 >> 8 & even
	b := (x >> 8 & even) * 94 >> 8 & even
	return (a | b<<8) + 0x2121212121212121
}

// Records writes size bytes of sort records, rounded down to whole ones. Keys are uniform, or skewed.
func Records(w io.Writer, skewed bool, seed uint64, size int64) error {
	s := &records{rnd: newRandom(seed), skewed: skewed, filler: newTwoChars()}
	for i := range s.prefixes {
		s.prefixes[i] = printable(s.rnd.next())
	}
	return stream(w, size/RecordSize*RecordSize, s.line)
}
