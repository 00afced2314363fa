package collect

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
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
// Keys of up to 8 bytes live in their slot; longer ones also have their bytes in
// t.keys. Added records wait in a batch; a full batch first touches the slots
// of all its keys, so that their cache misses overlap, and then probes.
type Table[V any] struct {
	combine func(a, b V) V
	codec   Codec[V]
	sizer   Sizer[V] // nil if the codec isn't one

	slots []slot[V] // open addressing, linear probing; length a power of two
	shift uint      // 64 minus the length's logarithm
	count int       // slots in use
	limit int       // count beyond which keys are evicted or the table grows
	most  int       // length at which the table doesn't grow any more
	keys  []byte    // bytes of the keys longer than 8
	heap  int       // Sizer's sum over the values

	batch  *batch[V]
	staged []byte // bytes of the batch's longer keys

	kept    []slot[V] // scratch of evict
	keptKey []byte
	enc     []byte // scratch: an encoded value
	short   [8]byte
	touched uint16 // keeps the touching loads alive

	buf   *Buffer
	stats Sizes
}

// slot is a key with its value. Invariant: the keys between a key's slot and the
// place its hash asks for are a row without an empty slot.
type slot[V any] struct {
	head uint64 // as by head
	at   uint32 // where the key begins in Table.keys, if longer than 8
	size uint16 // length of the key plus 1; 0: the slot is empty
	hits uint16 // how often the key came since it was inserted, aged by evict
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
	head, hash uint64
	at         uint32 // where the key begins in Table.staged, if longer than 8
	size       uint16 // as in slot
}

// All of these decide when keys are evicted: changing one changes Profile.
const (
	tableBytes = 2 << 20   // bound for the slots, a power of two
	minSlots   = 1 << 10   // a Table begins with so many
	maxSlots   = 1 << 16   // and never has more
	batchLen   = 256       // records in a batch
	stagedMax  = 16 << 10  // bytes of its long keys
	keysMax    = 768 << 10 // bytes of long keys in the table
	heapMax    = 8 << 20   // bytes that values refer to
	longestKey = 4 << 10   // longer keys pass the table by
	longestRow = 128       // slots that a probe looks at, less one
)

// NewTable returns an empty Table. combine must not be nil; its first argument is
// the older one, and it may change and return either.
func NewTable[V any](o Options, combine func(a, b V) V, c Codec[V]) *Table[V] {
	t := &Table[V]{combine: combine, codec: c, buf: NewBuffer(o), batch: new(batch[V])}
	t.sizer, _ = c.(Sizer[V])
	t.most = maxSlots
	for t.most > minSlots && t.most*int(unsafe.Sizeof(slot[V]{})) > tableBytes {
		t.most /= 2
	}
	t.resize(minSlots)
	return t
}

// resize makes an empty table of n slots.
func (t *Table[V]) resize(n int) {
	t.slots = make([]slot[V], n)
	t.shift = uint(64 - bits.Len(uint(n-1)))
	t.limit = n * 5 / 8 // fuller, and rows get long
	t.count = 0
}

// Add combines v into key's value. The caller may reuse key, but what v refers to
// now belongs to the Table. Errors come out of Drain. A Table that was drained or
// discarded takes no more.
func (t *Table[V]) Add(key []byte, v V) {
	b := t.batch
	n := len(key)
	if n > longestKey {
		t.pass(key, v)
		return
	}
	i := b.n & (batchLen - 1)
	p := &b.key[i]
	p.size = uint16(n + 1)
	if n <= 8 {
		p.head = head(key)
		p.hash = hashShort(p.head, n)
		p.at = 0
	} else {
		p.head = binary.BigEndian.Uint64(key)
		if n <= 16 {
			p.hash = hashMid(binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[n-8:]), n)
		} else {
			p.hash = hashLong(key)
		}
		p.at = uint32(len(t.staged))
		t.staged = appendLong(t.staged, key)
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

// pass sends a record with a very long key to the Buffer: it would push hundreds
// of others out of the table. Such a key is never in the table, so that its
// records stay in order.
func (t *Table[V]) pass(key []byte, v V) {
	t.stats.RecordsIn++
	t.stats.BytesIn += int64(len(key))
	t.stats.Evicted++
	t.enc = t.codec.Append(t.enc[:0], v)
	hi, lo := window(key)
	t.buf.add(hi, lo, key, t.enc)
	if cap(t.enc) > heapMax {
		t.enc = nil
	}
}

// flush moves the batch into the table.
func (t *Table[V]) flush() {
	b := t.batch
	for t.count+b.n > t.limit || len(t.keys)+len(t.staged) > keysMax {
		if len(t.slots) < t.most && len(t.keys)+len(t.staged) <= keysMax {
			t.enlarge()
		} else {
			t.evict(false)
		}
	}
	if t.heap+b.heap > heapMax {
		t.evict(true)
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
// them. The first loop has no branch that depends on what it loads: the processor
// runs ahead and has many slots under way at once. The second finds them near.
func (t *Table[V]) probe(ps []pending, vs []V) {
	slots, shift := t.slots, t.shift
	mask := uint(len(slots) - 1)
	var touched uint16
	bytes := 0
	for i := range ps {
		p := &ps[i]
		touched |= slots[uint(p.hash>>(shift&63))&mask].size
		bytes += int(p.size)
	}
	t.touched |= touched
	t.stats.BytesIn += int64(bytes - len(ps))
	vs = vs[:len(ps)]
	for i := range ps {
		p := &ps[i]
		at := uint(p.hash >> (shift & 63))
		for row := 0; ; row++ {
			s := &slots[at&mask]
			if s.head == p.head && s.size == p.size && (p.size <= 9 || t.sameTail(s, p)) {
				if t.sizer != nil {
					t.heap -= t.sizer.Size(s.val)
				}
				s.val = t.combine(s.val, vs[i])
				if s.hits++; s.hits == 0 {
					s.hits--
				}
				if t.sizer != nil {
					t.heap += t.sizer.Size(s.val)
				}
				break
			}
			if s.size == 0 {
				t.insert(s, p, &vs[i])
				break
			}
			if row == longestRow {
				// Only keys made to collide get here. As long as the row is as it is, this
				// key is not in the table, so that its records stay in order.
				t.out(&slot[V]{head: p.head, size: p.size, val: vs[i]}, t.staged[p.at:])
				break
			}
			at++
		}
	}
}

// appendLong is append for keys of more than 8 bytes: up to 16 it takes two moves
// that overlap, and no call.
func appendLong(dst, key []byte) []byte {
	n, at := len(key), len(dst)
	if n > 16 || cap(dst)-at < 16 {
		return append(dst, key...)
	}
	dst = dst[:at+n]
	binary.LittleEndian.PutUint64(dst[at:], binary.LittleEndian.Uint64(key))
	binary.LittleEndian.PutUint64(dst[at+n-8:], binary.LittleEndian.Uint64(key[n-8:]))
	return dst
}

// insert puts a key into the empty slot s.
func (t *Table[V]) insert(s *slot[V], p *pending, v *V) {
	s.head, s.size, s.hits, s.val = p.head, p.size, 0, *v
	if n := int(p.size) - 1; n > 8 {
		s.at = uint32(len(t.keys))
		t.keys = appendLong(t.keys, t.staged[p.at:int(p.at)+n])
	}
	if t.sizer != nil {
		t.heap += t.sizer.Size(*v)
	}
	t.count++
}

// sameTail compares what lies behind the first 8 bytes of two keys of one length.
func (t *Table[V]) sameTail(s *slot[V], p *pending) bool {
	n := int(p.size) - 1
	a := t.keys[s.at:][:n]
	b := t.staged[p.at:][:n]
	if n <= 16 {
		return binary.LittleEndian.Uint64(a[n-8:]) == binary.LittleEndian.Uint64(b[n-8:])
	}
	return string(a[8:]) == string(b[8:])
}

// Drain hands every key with its value to s, in key order, and releases
// everything. It returns the first error of a temporary file, of the codec or of s.
func (t *Table[V]) Drain(s Sink) error {
	if t.batch == nil {
		return errDone
	}
	t.flush()
	t.evict(true)
	t.batch, t.slots, t.keys, t.staged = nil, nil, nil, nil
	t.kept, t.keptKey = nil, nil
	f := fold[V]{combine: t.combine, codec: t.codec, sink: s, stable: len(t.buf.segs) == 0}
	err := t.buf.Drain(&f)
	if err == nil {
		err = f.flush()
	}
	t.stats.RecordsOut, t.stats.BytesOut = f.records, f.bytes
	return err
}

// Discard releases memory and temporary files. It may be called at any time, and
// again.
func (t *Table[V]) Discard() {
	t.batch, t.slots, t.keys, t.staged = nil, nil, nil, nil
	t.kept, t.keptKey = nil, nil
	t.buf.Discard()
}

// Stats returns what went through so far; records that wait in a batch are
// missing.
func (t *Table[V]) Stats() Sizes {
	s := t.stats
	b := t.buf.Stats()
	s.Spilled, s.Segments = b.Spilled, b.Segments
	return s
}
