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
	all := make([]entry, n)
	if n == 0 {
		return all
	}
	hi, lo := differing(parts)
	if n <= leafLen || hi == 0 && lo == 0 {
		n = 0
		for _, p := range parts {
			n += copy(all[n:], p)
		}
		s.sort(all, 0)
		return all
	}
	s.pass(parts, all, 0, windowOf(n, hi, lo))
	return all
}

// sort sorts a, whose windows are at depth, in place.
func (s *sorter) sort(a []entry, depth int) {
	for len(a) > leafLen {
		parts := [1][]entry{a}
		hi, lo := differing(parts[:])
		if hi != 0 || lo != 0 {
			if len(s.tmp) < len(a) {
				s.tmp = make([]entry, len(a))
			}
			tmp := s.tmp[:copy(s.tmp, a)]
			parts[0] = tmp
			s.pass(parts[:], a, depth, windowOf(len(a), hi, lo))
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
func differing(parts [][]entry) (uint64, uint32) {
	hi, lo := parts[0][0].hi, parts[0][0].lo
	var dh uint64
	var dl uint32
	for _, a := range parts {
		for i := range a {
			dh |= a[i].hi ^ hi
			dl |= a[i].lo ^ lo
		}
	}
	return dh, dl
}

// digit is the bits of the windows that a pass goes by.
type digit struct {
	hi    bool // of entry.hi, or else of entry.lo
	shift uint
	mask  uint64
}

// windowOf chooses the bits for a pass over n entries that differ in hi and lo.
func windowOf(n int, hi uint64, lo uint32) digit {
	width := min(max(bits.Len(uint(n))-3, 2), maxPassBits)
	d := digit{hi: hi != 0, mask: 1<<width - 1}
	if d.hi {
		d.shift = uint(max(64-width-bits.LeadingZeros64(hi), 0))
	} else {
		d.shift = uint(max(32-width-bits.LeadingZeros32(lo), 0))
	}
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
	shift, mask := d.shift&63, d.mask
	if d.hi {
		for _, a := range parts {
			for i := range a {
				ends[a[i].hi>>shift&mask+1]++
			}
		}
	} else {
		for _, a := range parts {
			for i := range a {
				ends[uint64(a[i].lo)>>shift&mask+1]++
			}
		}
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	// ends[x] is where digit x begins, and moves to where it ends.
	if d.hi {
		for _, a := range parts {
			for i := range a {
				x := a[i].hi >> shift & mask
				dst[ends[x]] = a[i]
				ends[x]++
			}
		}
	} else {
		for _, a := range parts {
			for i := range a {
				x := uint64(a[i].lo) >> shift & mask
				dst[ends[x]] = a[i]
				ends[x]++
			}
		}
	}
	start := uint32(0)
	for i := range int(mask) + 1 {
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
		a[i].hi, a[i].lo = window(s.key(&a[i], depth))
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
	if a.lo != b.lo || !a.more() {
		return a.lo < b.lo
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
