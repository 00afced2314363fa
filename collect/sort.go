package collect

import (
	"bytes"
	"math/bits"
	"slices"
)

// sorter sorts entries by key, stably: equal keys keep their order, which is the
// order of emission. It is a radix sort from the most significant bit. Each pass
// takes as many bits as suits the number of entries, beginning at the first bit
// in which they differ, so that common prefixes and sparse alphabets cost nothing.
// Where all windows of a range are equal, the windows move down to where the keys
// part.
type sorter struct {
	arena  *arena
	tmp    []entry
	counts []uint32 // a stack: each pass takes its counters from the end
}

const (
	leafLen     = 24 // ranges up to this long are sorted by insertion
	maxPassBits = 11
)

// key returns the key of e from depth on.
func (s *sorter) key(e *entry, depth int) []byte {
	b := s.arena.at(e.ref)
	k, v, _ := lengths(b)
	return b[k+depth : v]
}

// sortParts returns the entries of parts, which it doesn't change, in order.
func (s *sorter) sortParts(parts [][]entry) []entry {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	all := memory.sortable(n)
	if n == 0 {
		return all
	}
	d := differing(parts)
	if n <= leafLen || d == (entry{}) {
		n = 0
		for _, p := range parts {
			n += copy(all[n:], p)
		}
		s.sort(all, 0)
		return all
	}
	s.pass(parts, all, 0, digitOf(n, d))
	return all
}

// sort sorts a, whose windows are at depth, in place.
func (s *sorter) sort(a []entry, depth int) {
	for len(a) > leafLen {
		parts := [1][]entry{a}
		if d := differing(parts[:]); d != (entry{}) {
			if len(s.tmp) < len(a) {
				memory.keepSortable(s.tmp)
				s.tmp = memory.sortable(len(a))
			}
			tmp := s.tmp[:copy(s.tmp, a)]
			parts[0] = tmp
			s.pass(parts[:], a, depth, digitOf(len(a), d))
			return
		}
		if !a[0].more() {
			return // all keys are equal
		}
		var equal bool
		if depth, equal = s.descend(a, depth); equal {
			return
		}
	}
	s.insertion(a, depth)
}

// differing returns the bits of the windows in which entries differ.
func differing(parts [][]entry) (d entry) {
	first := parts[0][0]
	for _, a := range parts {
		for i := range a {
			d.hi |= a[i].hi ^ first.hi
			d.mid |= a[i].mid ^ first.mid
			d.size |= a[i].size ^ first.size
		}
	}
	return d
}

// digit is the bits of the windows that a pass goes by.
type digit struct {
	field fieldOf
	shift uint
	mask  uint64
}

type fieldOf uint8

const (
	fieldHi fieldOf = iota
	fieldMid
	fieldSize
)

// of returns the digit of e.
func (d *digit) of(e *entry) uint64 {
	x := e.hi
	if d.field != fieldHi {
		if x = e.mid; d.field == fieldSize {
			x = uint64(e.size)
		}
	}
	return x >> (d.shift & 63) & d.mask
}

// digitOf chooses the bits for a pass over n entries that differ in those of e.
func digitOf(n int, e entry) digit {
	width := min(max(bits.Len(uint(n))-3, 2), maxPassBits)
	d := digit{mask: 1<<width - 1}
	x := e.hi
	if x == 0 {
		x, d.field = e.mid, fieldMid
	}
	if x == 0 {
		x, d.field = uint64(e.size), fieldSize
	}
	d.shift = uint(max(bits.Len64(x)-width, 0))
	return d
}

// pass moves the entries of parts to dst in the order of a digit, and sorts those
// that share one. parts may change when dst is being sorted.
func (s *sorter) pass(parts [][]entry, dst []entry, depth int, d digit) {
	base := len(s.counts)
	n := base + int(d.mask) + 2
	s.counts = slices.Grow(s.counts, n-base)[:n]
	ends := s.counts[base:]
	clear(ends)
	for _, a := range parts {
		for i := range a {
			ends[d.of(&a[i])+1]++
		}
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	// ends[x] is where digit x begins, and moves to where it ends.
	for _, a := range parts {
		for i := range a {
			x := d.of(&a[i])
			dst[ends[x]] = a[i]
			ends[x]++
		}
	}
	start := uint32(0)
	for i := range int(d.mask) + 1 {
		// s.counts may move while a part is sorted.
		end := s.counts[base+i]
		if end-start > 1 {
			s.sort(dst[start:end], depth)
		}
		start = end
	}
	s.counts = s.counts[:base]
}

// descend moves the windows of a, all equal and with more behind them, down to
// where the keys differ. It reports true if they never do.
func (s *sorter) descend(a []entry, depth int) (int, bool) {
	first := s.key(&a[0], depth)
	common := len(first)
	shorter := false
	for i := 1; i < len(a); i++ {
		k := s.key(&a[i], depth)
		if len(k) != len(first) {
			shorter = true
		}
		common = commonPrefix(first[:common], k)
	}
	if common == len(first) && !shorter {
		return depth, true
	}
	depth += common
	for i := range a {
		ref := a[i].ref
		a[i] = window(s.key(&a[i], depth))
		a[i].ref = ref
	}
	return depth, false
}

// insertion sorts a short range.
func (s *sorter) insertion(a []entry, depth int) {
	for i := 1; i < len(a); i++ {
		e := a[i]
		j := i
		for j > 0 && s.less(&e, &a[j-1], depth) {
			a[j] = a[j-1]
			j--
		}
		a[j] = e
	}
}

func (s *sorter) less(a, b *entry, depth int) bool {
	if a.hi != b.hi {
		return a.hi < b.hi
	}
	if a.mid != b.mid {
		return a.mid < b.mid
	}
	if a.size != b.size || !a.more() {
		return a.size < b.size
	}
	return bytes.Compare(s.key(a, depth+windowLen), s.key(b, depth+windowLen)) < 0
}

// commonPrefix returns the length of the common prefix of a and b.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		x, y := head(a[i:]), head(b[i:])
		if x != y {
			return i + bits.LeadingZeros64(x^y)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
