package collect

import (
	"bytes"
	"math/bits"
)

// sorter sorts entries by key, stably: equal keys keep their order, which is the
// order of emission. It is a radix sort from the most significant bit. Each pass
// takes as many bits as suits the number of entries, beginning at the first bit
// in which they differ, so that common prefixes and sparse alphabets cost nothing.
// Where all windows of a range are equal, the windows move down to where the keys
// part.
type sorter struct {
	arena *arena
	tmp   []entry
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

// sort sorts a, whose windows are at depth.
func (s *sorter) sort(a []entry, depth int) {
	for len(a) > leafLen {
		hi, lo := differing(a)
		switch {
		case hi != 0:
			s.pass(a, depth, bits.LeadingZeros64(hi), true)
			return
		case lo != 0:
			s.pass(a, depth, bits.LeadingZeros32(lo), false)
			return
		case !a[0].more():
			return // all keys are equal
		}
		var ended bool
		if depth, ended = s.descend(a, depth); ended {
			return
		}
	}
	s.insertion(a, depth)
}

// differing returns the bits of the windows in which entries differ.
func differing(a []entry) (uint64, uint32) {
	hi, lo := a[0].hi, a[0].lo
	var dh uint64
	var dl uint32
	for i := range a {
		dh |= a[i].hi ^ hi
		dl |= a[i].lo ^ lo
	}
	return dh, dl
}

// pass distributes a by a few bits of hi or lo, from bit from (counted from the
// top) down, and sorts the parts.
func (s *sorter) pass(a []entry, depth, from int, hi bool) {
	width := min(max(bits.Len(uint(len(a)))-3, 2), maxPassBits)
	var shift uint
	if hi {
		shift = uint(max(64-from-width, 0))
	} else {
		shift = uint(max(32-from-width, 0))
	}
	mask := uint64(1)<<width - 1
	var counts [1<<maxPassBits + 1]uint32
	ends := counts[:mask+2]
	if hi {
		for i := range a {
			ends[a[i].hi>>shift&mask+1]++
		}
	} else {
		for i := range a {
			ends[uint64(a[i].lo)>>shift&mask+1]++
		}
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	if len(s.tmp) < len(a) {
		s.tmp = make([]entry, len(a))
	}
	tmp := s.tmp[:len(a)]
	if hi {
		for i := range a {
			d := a[i].hi >> shift & mask
			tmp[ends[d]] = a[i]
			ends[d]++
		}
	} else {
		for i := range a {
			d := uint64(a[i].lo) >> shift & mask
			tmp[ends[d]] = a[i]
			ends[d]++
		}
	}
	copy(a, tmp)
	// Now ends[d] is where part d ends.
	start := uint32(0)
	for _, end := range ends[:mask+1] {
		if end-start > 1 {
			s.sort(a[start:end], depth)
		}
		start = end
	}
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
