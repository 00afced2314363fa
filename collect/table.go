package collect

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/mrd-io/mr/internal/prefetch"
)

// Codec turns values into bytes and back. Append must be a function of v alone,
// and Decode its inverse. What Decode returns may refer to src: the bytes stay
// until the value has been combined and encoded again.
type Codec[V any] interface {
	Append(dst []byte, v V) []byte
	Decode(src []byte) (V, error)
}

// Sizer is for codecs of values that refer to memory, such as slices and strings.
// With it a Table evicts all keys when their values grow beyond a few MiB;
// without it values are taken to be as large as their type.
type Sizer[V any] interface {
	// Size returns about how many bytes v refers to, a function of v alone.
	Size(v V) int
}

// Table combines values by key. See the package's comment for what Drain gives.
//
// It is a cache: a key may be in the few slots of one row only, and a new key takes the
// place of the one there that came least. What leaves goes to the Buffer. So the table
// fills its memory to the last slot, never moves a key to make room, and takes two lines
// of the processor's cache for a key of up to 16 bytes, which lives in its slot; longer
// ones also have their bytes in t.keys. Added records wait in a batch; a full batch
// first asks for the rows of all its keys, so that their cache misses overlap, and then
// probes.
type Table[V any] struct {
	combine func(a, b V) V
	codec   Codec[V]
	sizer   Sizer[V] // nil if the codec isn't one

	slots []slot[V] // rows of ways slots; length a power of two, or 0 before the first batch
	shift uint      // 64 minus the logarithm of the number of rows
	count int       // keys inserted since the table had its length
	most  int       // length at which the table doesn't grow any more
	aging int       // evictions until hits are halved
	keys  []byte    // bytes of the keys longer than 16, and of some that have left
	heap  int       // Sizer's sum over the values

	adds   bool  // see NewSums
	sums   *sums // of short keys, which have no slots if the table adds; nil before the first
	batch  *batch[V]
	staged []byte // bytes of the batch's longer keys

	keptKey []byte // scratch of compact
	enc     []byte // scratch: an encoded value
	short   [inline]byte

	buf   *Buffer
	stats Sizes
}

// slot is a key with its value.
type slot[V any] struct {
	a    uint64 // the key's first 8 bytes, as by head
	b    uint64 // the next 8 likewise; of a key longer than 16 its hash
	at   uint32 // where the key begins in Table.keys, if longer than 16
	size uint16 // length of the key plus 1; 0: the slot is empty
	hits uint16 // how often the key came since it was inserted, aged
	val  V
}

// batch is what waits to be probed.
type batch[V any] struct {
	n    int
	heap int // Sizer's sum
	key  [batchLen]pending
	val  [batchLen]V
}

type pending struct {
	a, b, hash uint64
	at         uint32 // where the key begins in Table.staged, if longer than 16
	size       uint16 // as in slot
}

// All of these decide when keys are evicted: changing one changes Profile.
const (
	tableBytes = 2 << 20   // bound for the slots, a power of two
	minSlots   = 1 << 10   // a Table begins with so many
	maxSlots   = 1 << 16   // and never has more
	ways       = 4         // slots in a row
	inline     = 16        // bytes of a key in its slot
	batchLen   = 256       // records in a batch
	stagedMax  = 16 << 10  // bytes of its long keys
	keysMax    = 768 << 10 // bytes of long keys in the table
	heapMax    = 8 << 20   // bytes that values refer to
	longestKey = 4 << 10   // longer keys pass the table by
	agingLen   = 8         // hits are halved after so many times maxSlots evictions
)

// short is for a key of at most 16 bytes. It is no method of Table's: see sums.
func (p *pending) short(key []byte) {
	n := len(key)
	if cap(key) >= inline {
		p.a, p.b = halves(key[:inline], n)
	} else {
		p.a, p.b = short(key)
	}
	p.size, p.at, p.hash = uint16(n+1), 0, hashShort(p.a, p.b, n)
}

// NewTable returns an empty Table. combine must not be nil; its first argument is
// the older one, and it may change and return either.
func NewTable[V any](o Options, combine func(a, b V) V, c Codec[V]) *Table[V] {
	t := &Table[V]{combine: combine, codec: c, buf: NewBuffer(o), batch: new(batch[V])}
	t.sizer, _ = c.(Sizer[V])
	t.most = maxSlots
	for t.most > minSlots && t.most*int(unsafe.Sizeof(slot[V]{})) > tableBytes {
		t.most /= 2
	}
	t.aging = agingLen * maxSlots
	return t
}

// resize makes an empty table of n slots.
func (t *Table[V]) resize(n int) {
	if n == t.most {
		t.slots = slotsFor[V](&memory, n)
		t.keys, t.keptKey = memory.keysFor(t.keys), memory.keysFor(nil)
	} else {
		t.slots = make([]slot[V], n)
	}
	t.shift = uint(64 - bits.Len(uint(n/ways-1)))
	t.count = 0
}

// Add combines v into key's value. The caller may reuse key, but what v refers to
// now belongs to the Table. Errors come out of Drain. A Table that was drained or
// discarded takes no more.
func (t *Table[V]) Add(key []byte, v V) {
	b := t.batch
	n := len(key)
	switch {
	case n > longestKey:
		t.pass(key, v)
		return
	case n <= inline && t.adds:
		t.addSum(key, v)
		return
	}
	i := b.n & (batchLen - 1)
	p := &b.key[i]
	switch {
	case n <= inline:
		p.short(key)
	default:
		p.size = uint16(n + 1)
		p.hash = hashLong(key)
		p.a, p.b = binary.BigEndian.Uint64(key), p.hash
		p.at = uint32(len(t.staged))
		t.staged = append(t.staged, key...)
	}
	b.val[i] = v
	b.n = i + 1
	if t.sizer != nil {
		b.heap += t.sizer.Size(v)
	}
	if i+1 == batchLen || len(t.staged) > stagedMax || b.heap > heapMax {
		t.flush()
	}
}

// AddSpans adds v for each key text[spans[0]:spans[1]], text[spans[2]:spans[3]] and so on.
// v must not refer to memory.
func (t *Table[V]) AddSpans(text []byte, spans []uint32, v V) {
	if t.adds {
		t.addSpans(text, spans, v)
		return
	}
	b := t.batch
	for ; len(spans) >= 2; spans = spans[2:] {
		start := int(spans[0])
		n := int(spans[1]) - start
		if uint(n) > inline || start+inline > len(text) {
			t.Add(text[start:start+n], v)
			continue
		}
		i := b.n & (batchLen - 1)
		b.key[i].short(text[start : start+n])
		b.val[i] = v
		if b.n = i + 1; i+1 == batchLen {
			t.flush()
		}
	}
}

// halves returns the first n of in's 16 bytes as two numbers, as window does. The others are
// shifted out, whatever n is: nothing to guess.
func halves(in []byte, n int) (hi, mid uint64) {
	_ = in[inline-1]
	dropA, dropB := uint(8*max(8-n, 0)), uint(8*min(16-n, 8))
	return binary.BigEndian.Uint64(in) >> dropA << dropA, binary.BigEndian.Uint64(in[8:]) >> dropB << dropB
}

// pass sends a record to the Buffer. A very long key would push hundreds of others out
// of the table; it is never in it, so that its records stay in order.
func (t *Table[V]) pass(key []byte, v V) {
	t.stats.RecordsIn++
	t.stats.BytesIn += int64(len(key))
	t.stats.Evicted++
	t.enc = t.codec.Append(t.enc[:0], v)
	t.buf.add(window(key), key, t.enc)
	if cap(t.enc) > heapMax {
		t.enc = nil
	}
}

// flush moves the batch into the table.
func (t *Table[V]) flush() {
	b := t.batch
	if b.n == 0 {
		return
	}
	if t.slots == nil { // a task that emits nothing goes without
		t.resize(minSlots)
	}
	for len(t.slots) < t.most && t.count+b.n > len(t.slots)/2 {
		t.enlarge()
	}
	if len(t.keys)+len(t.staged) > keysMax {
		t.compact()
	}
	if t.heap+b.heap > heapMax {
		t.evictAll()
	}
	t.stats.RecordsIn += int64(b.n)
	t.probe(b.key[:b.n], b.val[:b.n])
	if t.sizer != nil {
		clear(b.val[:b.n]) // so that nothing is kept alive
	}
	b.n, b.heap = 0, 0
	t.staged = t.staged[:0]
}

// probe finds the keys of ps in the table and combines their values, or inserts
// them. The first loop asks for the rows, many of which are under way at once; the second
// finds them near.
func (t *Table[V]) probe(ps []pending, vs []V) {
	slots, shift := t.slots, t.shift&63
	mask := uint(len(slots)/ways - 1)
	bytes := 0
	for i := range ps {
		p := &ps[i]
		row := (*[ways]slot[V])(slots[uint(p.hash>>shift)&mask*ways:])
		prefetch.Line(unsafe.Pointer(&row[0]))
		prefetch.Line(unsafe.Pointer(&row[ways/2])) // a row may have two lines
		bytes += int(p.size)
	}
	t.stats.BytesIn += int64(bytes - len(ps))
	vs = vs[:len(ps)]
next:
	for i := range ps {
		p := &ps[i]
		row := (*[ways]slot[V])(slots[uint(p.hash>>shift)&mask*ways:])
		for way := range row {
			s := &row[way]
			if s.a != p.a || s.b != p.b || s.size != p.size || p.size > inline+1 && !t.same(s, p) {
				continue
			}
			if t.sizer == nil {
				s.val = t.combine(s.val, vs[i])
			} else {
				t.heap -= t.sizer.Size(s.val)
				s.val = t.combine(s.val, vs[i])
				t.heap += t.sizer.Size(s.val)
			}
			if s.hits++; s.hits == 0 {
				s.hits--
			}
			// Those that come most are found first.
			if way > 0 && s.hits > row[way-1].hits {
				row[way], row[way-1] = row[way-1], row[way]
			}
			continue next
		}
		t.insert(row, p, &vs[i])
	}
}

// insert puts a key that is missing into its row.
func (t *Table[V]) insert(row *[ways]slot[V], p *pending, v *V) {
	way := 0
	for way < ways-1 && row[way].size != 0 {
		way++
	}
	s := &row[way]
	if s.size != 0 {
		t.out(s)
		if t.sizer != nil {
			t.heap -= t.sizer.Size(s.val)
		}
		if t.aging--; t.aging == 0 {
			t.age()
		}
	}
	s.a, s.b, s.size, s.hits, s.val = p.a, p.b, p.size, 0, *v
	if n := int(p.size) - 1; n > inline {
		s.at = uint32(len(t.keys))
		t.keys = append(t.keys, t.staged[p.at:int(p.at)+n]...)
	}
	if t.sizer != nil {
		t.heap += t.sizer.Size(*v)
	}
	t.count++
}

// same compares two long keys of one length and hash.
func (t *Table[V]) same(s *slot[V], p *pending) bool {
	n := int(p.size) - 1
	return string(t.keys[s.at:][:n]) == string(t.staged[p.at:][:n])
}

// Drain hands every key with its value to s, in key order, and releases everything. It
// returns the first error of a temporary file, of the codec or of s.
//
// What other tables hold is drained with it, as if it had been added to t. In which order
// is not said, so combine must not care, nor how often it is called.
func (t *Table[V]) Drain(s Sink, others ...*Table[V]) error {
	all := append([]*Table[V]{t}, others...)
	bufs := make([]*Buffer, len(all))
	for i, t := range all {
		if t.batch == nil {
			return errDone
		}
		t.empty()
		bufs[i] = t.buf
		defer t.buf.Discard()
	}
	f := fold[V]{combine: t.combine, codec: t.codec, sink: s}
	err := drain(bufs, &f)
	if err == nil {
		err = f.flush()
	}
	t.stats.RecordsOut, t.stats.BytesOut = f.records, f.bytes
	return err
}

// empty moves all keys to the Buffer and leaves the table's memory to others.
func (t *Table[V]) empty() {
	t.flush()
	t.evictAll()
	if t.sums != nil {
		t.sums.settle()
		t.sums.evict()
		memory.keepLines(t.sums.lines)
	}
	if slots := t.slots; len(slots) == t.most {
		memory.slots.Put(&slots)
		for _, keys := range [][]byte{t.keys, t.keptKey} {
			memory.keys.Put(&keys)
		}
	}
	t.release()
}

// Discard releases memory and temporary files. It may be called at any time, and
// again.
func (t *Table[V]) Discard() {
	t.release()
	t.buf.Discard()
}

func (t *Table[V]) release() {
	t.batch, t.slots, t.keys, t.staged, t.keptKey, t.sums = nil, nil, nil, nil, nil, nil
}

// Stats returns what went through so far; records that wait in a batch are
// missing.
func (t *Table[V]) Stats() Sizes {
	s := t.stats
	b := t.buf.Stats()
	s.Spilled, s.Segments = b.Spilled, b.Segments
	return s
}
