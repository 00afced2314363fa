package collect

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/mrd-io/mr/internal/prefetch"
)

// sums is where a Table of integers to be added up has its short keys: a cache as its slots
// are, and denser. Three keys with their sums share one line of the processor's cache, and all
// lines fit in the memory that a core has of its own, so a record waits for one line where a
// row of slots takes two that are farther away. What leaves goes to the Buffer, and so does a
// sum that outgrows its 32 bits: integers may be added in any order and in parts.
//
// It has no type of the Table's values: in a generic method that another package gives its types,
// nearly every call is a real one, and there is little else to do for a record.
type sums struct {
	lines   []line // length a power of two
	shift   uint   // 64 minus the logarithm of that
	count   int    // keys inserted since there are so many lines
	leaving int    // evictions until all keys are
	n       int    // of waiting
	waiting [batchLen]addend
	buf     *Buffer // where what leaves goes
	stats   *Sizes
	enc     []byte // scratch: an encoded sum
	short   [inline]byte
}

// line is a line of the processor's cache, of 64 bytes.
type line struct {
	hi, mid [perLine]uint64 // as of an entry
	sum     [perLine]int32
	size    [perLine]uint8 // length of the key plus 1; 0: the place is free
	_       uint8
}

// addend is a record on its way to its line.
type addend struct {
	hi, mid uint64
	at      uint32 // which line, of all that there can be
	x       int32
	size    uint8 // as in line
}

const (
	perLine  = 3
	askLen   = 32
	lineBits = 14      // logarithm of the most lines: 1 MiB
	minLines = 1 << 8  // a table begins with so many
	longMost = 1 << 13 // slots for longer keys: they are to leave the cache to the lines

	// agingLines is after how many evictions all keys leave, so that one that was frequent in
	// one part of the input doesn't stay for the rest of it.
	agingLines = agingLen * maxSlots
)

// NewSums is NewTable for a combine that adds up values which are signed integers of 8 bytes
// and which c writes as signed varints, as of encoding/binary. It takes fewer steps and less memory.
func NewSums[V any](o Options, combine func(a, b V) V, c Codec[V]) *Table[V] {
	t := NewTable(o, combine, c)
	t.most, t.adds, t.buf.adds = longMost, true, true
	return t
}

// begun returns t.sums. A task that emits nothing goes without.
func (t *Table[V]) begun() *sums {
	if t.sums == nil {
		t.sums = &sums{leaving: agingLines, buf: t.buf, stats: &t.stats}
		t.sums.resize(minLines)
	}
	return t.sums
}

func (s *sums) resize(n int) {
	if n == 1<<lineBits {
		s.lines = memory.fullLines()
	} else {
		s.lines = make([]line, n)
	}
	s.shift = uint(64 - bits.Len(uint(n-1)))
	s.count = 0
}

// integer returns v, which is a signed integer of 8 bytes.
func integer[V any](v V) int64 { return *(*int64)(unsafe.Pointer(&v)) }

// note lets a record wait whose key is short.
func (s *sums) note(key []byte, x int32) {
	n := len(key)
	var hi, mid uint64
	if cap(key) >= inline {
		hi, mid = halves(key[:inline], n)
	} else {
		hi, mid = short(key)
	}
	p := &s.waiting[s.n&(batchLen-1)]
	p.at = uint32(hashShort(hi, mid, n) >> (64 - lineBits))
	p.hi, p.mid, p.x, p.size = hi, mid, x, uint8(n+1)
	s.n++
}

// noteSpans lets records wait whose keys are spans of text, as many as there is room for, but none
// from the first that is not short or lies at the end of the text. It returns the spans that are left.
func (s *sums) noteSpans(text []byte, spans []uint32, x int32) []uint32 {
	n := s.n
	for len(spans) >= 2 && n < batchLen {
		start := int(spans[0])
		size := int(spans[1]) - start
		if uint(size) > inline || start+inline > len(text) {
			break
		}
		spans = spans[2:]
		hi, mid := halves(text[start:start+inline], size)
		p := &s.waiting[n&(batchLen-1)]
		p.at = uint32(hashShort(hi, mid, size) >> (64 - lineBits))
		p.hi, p.mid, p.x, p.size = hi, mid, x, uint8(size+1)
		n++
	}
	s.n = n
	return spans
}

// addSum is Add for a key of at most 16 bytes.
func (t *Table[V]) addSum(key []byte, v V) {
	x := integer(v)
	if x != int64(int32(x)) {
		t.pass(key, v)
		return
	}
	s := t.begun()
	s.note(key, int32(x))
	if s.n == batchLen {
		s.settle()
	}
}

// addSpans is AddSpans.
func (t *Table[V]) addSpans(text []byte, spans []uint32, v V) {
	if len(spans) == 0 {
		return
	}
	s, x := t.begun(), integer(v)
	small := x == int64(int32(x))
	for len(spans) >= 2 {
		if small {
			spans = s.noteSpans(text, spans, int32(x))
		}
		if s.n == batchLen {
			s.settle()
		} else if len(spans) >= 2 {
			t.Add(text[spans[0]:spans[1]], v)
			spans = spans[2:]
		}
	}
}

// sumAdder is Adder.
func (t *Table[V]) sumAdder(late func()) func(key []byte, v V) {
	return func(key []byte, v V) {
		s := t.sums
		if t.batch == nil {
			late()
			return
		}
		x := *(*int64)(unsafe.Pointer(&v)) // integer would be a call for each record
		if len(key) > inline || x != int64(int32(x)) || s == nil {
			t.Add(key, v)
			return
		}
		if s.note(key, int32(x)); s.n == batchLen {
			s.settle()
		}
	}
}

// settle adds what waits to the sums of its keys.
func (s *sums) settle() {
	lines, down := s.lines, s.shift-(64-lineBits)
	// Their lines are asked for some at a time, one such group ahead: more would have to wait for each other.
	ask := func(from int) {
		if n := min(s.n-from, askLen); n > 0 {
			prefetch.Lines(unsafe.Pointer(&lines[0]), &s.waiting[from].at, unsafe.Sizeof(addend{}), uintptr(n), down)
		}
	}
	ask(0)
	bytes := 0
	for i := range s.waiting[:s.n] {
		if i%askLen == 0 {
			ask(i + askLen)
		}
		p := &s.waiting[i]
		l := &lines[p.at>>(down&31)]
		bytes += int(p.size) - 1
		var way int
		switch {
		case l.hi[0] == p.hi && l.mid[0] == p.mid && l.size[0] == p.size:
		case l.hi[1] == p.hi && l.mid[1] == p.mid && l.size[1] == p.size:
			way = 1
		case l.hi[2] == p.hi && l.mid[2] == p.mid && l.size[2] == p.size:
			way = 2
		default:
			s.insert(l, p)
			continue
		}
		sum := int64(l.sum[way]) + int64(p.x)
		if sum != int64(int32(sum)) {
			s.out(l, way)
			sum = int64(p.x)
		}
		l.sum[way] = int32(sum)
		// Of counts those that came most are found first, and stay.
		if way > 0 && l.sum[way] > l.sum[way-1] {
			l.swap(way-1, way)
		}
	}
	s.stats.RecordsIn += int64(s.n)
	s.stats.BytesIn += int64(bytes)
	s.n = 0
	if s.leaving <= 0 {
		s.evict()
		s.leaving = agingLines
	}
	for len(s.lines) < 1<<lineBits && s.count > len(s.lines) {
		s.enlarge()
	}
}

// insert puts a key that is missing into its line.
func (s *sums) insert(l *line, p *addend) {
	way := 0
	for way < perLine-1 && l.size[way] != 0 {
		way++
	}
	if l.size[way] != 0 {
		s.out(l, way)
		s.leaving--
	}
	l.hi[way], l.mid[way], l.sum[way], l.size[way] = p.hi, p.mid, p.x, p.size
	s.count++
}

func (l *line) swap(i, j int) {
	l.hi[i], l.hi[j] = l.hi[j], l.hi[i]
	l.mid[i], l.mid[j] = l.mid[j], l.mid[i]
	l.sum[i], l.sum[j] = l.sum[j], l.sum[i]
	l.size[i], l.size[j] = l.size[j], l.size[i]
}

// enlarge moves the keys to more lines. Those of a line part into several, by the next bits
// of their hashes, so that there is room for all.
func (s *sums) enlarge() {
	old := s.lines
	s.resize(min(len(old)*growth, 1<<lineBits))
	for i := range old {
		for way, size := range old[i].size {
			if size == 0 {
				continue
			}
			hi, mid := old[i].hi[way], old[i].mid[way]
			l := &s.lines[hashShort(hi, mid, int(size)-1)>>(s.shift&63)]
			to := 0
			for l.size[to] != 0 {
				to++
			}
			l.hi[to], l.mid[to], l.sum[to], l.size[to] = hi, mid, old[i].sum[way], size
			s.count++
		}
	}
}

// out appends a key and its sum to the Buffer.
func (s *sums) out(l *line, way int) {
	s.stats.Evicted++
	e := entry{hi: l.hi[way], mid: l.mid[way], size: l.size[way] - 1}
	if v, n := putVarint(int64(l.sum[way])); n > 0 {
		e.ref, e.small = v, n+1
		s.buf.addSmall(e)
		return
	}
	s.enc = binary.AppendVarint(s.enc[:0], int64(l.sum[way]))
	s.buf.add(e, e.key(&s.short), s.enc)
}

// evict empties the lines.
func (s *sums) evict() {
	lines := s.lines
	for i := range lines {
		for way, size := range lines[i].size {
			if size != 0 {
				s.out(&lines[i], way)
			}
		}
	}
	clear(lines)
}
