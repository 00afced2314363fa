package builtin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"strconv"
)

// A list of paths, as the map tasks of index make them, ascends and names none twice. Each
// path is
//
//	uvarint  bytes that it shares with the path before
//	uvarint  bytes that follow
//	         the rest of the path

// appendPath appends path to a list that ends with before.
func appendPath(dst, before, path []byte) []byte {
	shared := commonPrefix(before, path)
	rest := path[shared:]
	if shared < 0x80 && len(rest) < 0x80 {
		dst = append(dst, byte(shared), byte(len(rest)))
	} else {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(shared)), uint64(len(rest)))
	}
	return append(dst, rest...)
}

// commonPrefix returns how many bytes a and b share.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; n-i >= 8; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

var errPaths = errors.New("a list of paths is damaged")

// pathLine puts lists of paths together to a line of the output: their number, a blank, and
// the paths with commas between them. The line is one record, so it is in memory in any case.
type pathLine struct {
	text []byte // room for the number and the blank, and the paths with a comma behind each
	ends []int  // of the paths in text, behind their commas
	less bool   // a path was less than the one before
}

// numberRoom is for a number and a blank.
const numberRoom = 21

func (l *pathLine) reset() {
	if l.text == nil {
		l.text = make([]byte, numberRoom)
	}
	l.text, l.ends, l.less = l.text[:numberRoom], l.ends[:0], false
}

// add appends a list. Its first path may be the last one of the list before.
func (l *pathLine) add(list []byte) error {
	begin := len(l.text) // of the path before
	for first := true; len(list) > 0; first = false {
		shared, rest := uint64(list[0]), uint64(0)
		if len(list) > 1 && list[0]|list[1] < 0x80 {
			rest, list = uint64(list[1]), list[2:]
		} else {
			n, m := 0, 0
			shared, n = binary.Uvarint(list)
			rest, m = binary.Uvarint(list[max(n, 0):])
			if n <= 0 || m <= 0 {
				return errPaths
			}
			list = list[n+m:]
		}
		if shared > uint64(len(l.text)-begin) || rest > uint64(len(list)) {
			return errPaths
		}
		if first && l.known(list[:rest]) {
			begin, list = l.start(len(l.ends)-1), list[rest:]
			continue
		}
		text := append(append(append(l.text, l.text[begin:begin+int(shared)]...), list[:rest]...), ',')
		begin, list = len(l.text), list[rest:]
		l.text, l.ends = text, append(l.ends, len(text))
	}
	return nil
}

// known reports whether path is the last one. If it is less, it says so in l.less.
func (l *pathLine) known(path []byte) bool {
	n := len(l.ends)
	if n == 0 {
		return false
	}
	order := bytes.Compare(path, l.path(n-1))
	l.less = l.less || order < 0
	return order == 0
}

func (l *pathLine) start(i int) int {
	if i == 0 {
		return numberRoom
	}
	return l.ends[i-1]
}

func (l *pathLine) path(i int) []byte { return l.text[l.start(i) : l.ends[i]-1] }

// finish returns the line, valid until the next reset.
func (l *pathLine) finish() []byte {
	if l.less {
		l.order()
	}
	var number [numberRoom]byte
	n := append(strconv.AppendInt(number[:0], int64(len(l.ends)), 10), ' ')
	copy(l.text[numberRoom-len(n):], n)
	return l.text[numberRoom-len(n) : len(l.text)-1]
}

// order sorts the paths, which come in order as long as files are read in theirs.
func (l *pathLine) order() {
	paths := make([][]byte, len(l.ends))
	for i := range paths {
		paths[i] = bytes.Clone(l.path(i))
	}
	slices.SortFunc(paths, bytes.Compare)
	paths = slices.CompactFunc(paths, bytes.Equal)
	l.text, l.ends = l.text[:numberRoom], l.ends[:0]
	for _, p := range paths {
		l.text = append(append(l.text, p...), ',')
		l.ends = append(l.ends, len(l.text))
	}
}
