package collect

import (
	"bytes"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// sorter sorts entries by key, stably: equal keys keep their order, which is the
// order of emission. It is a radix sort from the most significant bit. Each pass
// takes as many bits as suits the number of entries, beginning at the first bit
// in which they differ, so that common prefixes and sparse alphabets cost nothing.
// Where all windows of a range are equal, the windows move down to where the keys
// part.
type sorter struct {
	arena  *arena
	spare  func() (done func(), ok bool) // see Options
	tmp    []entry
	counts []uint32 // a stack: each pass takes its counters from the end
}

const (
	sharedLen   = 1 << 15 // from so many entries on, a second core is of use
	leafLen     = 24      // ranges up to this long are sorted by insertion
	maxPassBits = 12
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
		s.sort(all, s.scratch(n), false, 0)
		return all
	}
	starts := s.pass(parts, all, digitOf(n, d))
	if done, ok := s.another(n); ok {
		s.share(all, slices.Clone(s.counts[starts.first:starts.end+1]), done)
	} else {
		for i := starts.first; i < starts.end; i++ {
			// s.counts may move while a part is sorted.
			s.digit(all[s.counts[i]:s.counts[i+1]])
		}
	}
	s.counts = s.counts[:starts.first]
	return all
}

// digit sorts the entries of one digit of the first pass.
func (s *sorter) digit(a []entry) {
	if len(a) > 1 {
		s.sort(a, s.scratch(len(a)), false, 0)
	}
}

// another asks for a second core to sort n entries.
func (s *sorter) another(n int) (done func(), ok bool) {
	if s.spare == nil || n < sharedLen {
		return nil, false
	}
	return s.spare()
}

// share sorts the digits that begin at starts on two cores.
func (s *sorter) share(all []entry, starts []uint32, done func()) {
	var next atomic.Int64
	sortNext := func(s *sorter) {
		for i := next.Add(1); i < int64(len(starts)); i = next.Add(1) {
			s.digit(all[starts[i-1]:starts[i]])
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer done()
		other := sorter{arena: s.arena}
		sortNext(&other)
		memory.keepSortable(other.tmp)
	})
	sortNext(s)
	wg.Wait()
}

// scratch returns n entries, of any content.
func (s *sorter) scratch(n int) []entry {
	if n > leafLen && len(s.tmp) < n {
		memory.keepSortable(s.tmp)
		s.tmp = memory.sortable(n)
	}
	return s.tmp[:min(n, len(s.tmp))]
}

// sort sorts entries, whose windows are at depth and which are in a, or in b if inB. The
// result is in a; passes go to and fro between the two. Ranges of at most leafLen are always
// in a, or b is as long as a.
func (s *sorter) sort(a, b []entry, inB bool, depth int) {
	for {
		from, to := a, b
		if inB {
			from, to = b, a
		}
		if len(a) <= leafLen {
			s.leaf(a, from, depth)
			return
		}
		parts := [1][]entry{from}
		if d := differing(parts[:]); d != (entry{}) {
			starts := s.pass(parts[:], to, digitOf(len(a), d))
			for i := starts.first; i < starts.end; i++ {
				if start, end := s.counts[i], s.counts[i+1]; end > start {
					s.sort(a[start:end], b[start:end], !inB, depth)
				}
			}
			s.counts = s.counts[:starts.first]
			return
		}
		if inB {
			copy(a, b)
			inB = false
		}
		if !a[0].more() {
			return // all keys are equal
		}
		var equal bool
		if depth, equal = s.descend(a, depth); equal {
			return
		}
	}
}

// differing returns the bits of the windows in which entries differ, of the first field where some do.
func differing(parts [][]entry) (d entry) {
	first := parts[0][0]
	for _, a := range parts {
		for i := range a {
			d.hi |= a[i].hi ^ first.hi
		}
	}
	if d.hi != 0 {
		return d
	}
	for _, a := range parts {
		for i := range a {
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

// span is a part of sorter.counts.
type span struct{ first, end int }

// pass moves the entries of parts to dst in the order of a digit. Those of the i-th digit
// are then between the i-th and the next of the counts returned, which are on the stack's end.
func (s *sorter) pass(parts [][]entry, dst []entry, d digit) span {
	base := len(s.counts)
	n := base + int(d.mask) + 3
	s.counts = slices.Grow(s.counts, n-base)[:n]
	c := s.counts[base:]
	clear(c)
	for _, a := range parts {
		for i := range a {
			c[d.of(&a[i])+2]++
		}
	}
	for i := 2; i < len(c); i++ {
		c[i] += c[i-1]
	}
	// c[x+1] is where digit x begins, and moves to where it ends, which is where the next begins.
	for _, a := range parts {
		for i := range a {
			x := d.of(&a[i]) + 1
			dst[c[x]] = a[i]
			c[x]++
		}
	}
	return span{base, base + int(d.mask) + 1}
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

// leaf sorts a short range of from, which may be a itself, into a. Each entry goes to
// where the number of those before it says, which is counted without a branch: in so short
// a range of random order, guessing wrong is what a comparison costs.
func (s *sorter) leaf(a, from []entry, depth int) {
	n := len(a)
	if n <= 3 {
		if &a[0] != &from[0] {
			copy(a, from)
		}
		s.insertion(a, depth)
		return
	}
	var words [leafLen]uint64
	var rank [leafLen]uint64
	var differ uint64
	for i := range from[:n] {
		words[i] = from[i].hi
		differ |= from[i].hi ^ from[0].hi
	}
	if differ == 0 {
		for i := range from[:n] {
			words[i] = from[i].mid
		}
	}
	for i := 1; i < n && i < leafLen; i++ {
		w, before := words[i], uint64(i)
		for j, v := range words[:i] {
			_, less := bits.Sub64(w, v, 0)
			rank[j] += less
			before -= less
		}
		rank[i] = before
	}
	if &a[0] == &from[0] {
		var moved [leafLen]entry
		from = moved[:copy(moved[:], from)]
	}
	for i := range from {
		a[rank[i]] = from[i]
	}
	s.insertion(a, depth) // by what words doesn't tell: seldom anything moves
}

// insertion sorts a short range.
func (s *sorter) insertion(a []entry, depth int) {
	for i := 1; i < len(a); i++ {
		if p, e := &a[i-1], &a[i]; e.hi > p.hi || e.hi == p.hi && (e.mid > p.mid || e.mid == p.mid && e.size >= p.size && !e.more()) || !s.less(e, p, depth) {
			continue
		}
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
