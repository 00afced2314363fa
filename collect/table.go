package collect

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Codec turns values into bytes and back. Append must be a function of v alone,
// and Decode its inverse.
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
	touched uint32 // keeps the touching loads alive

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
	longestRow = 128       // slots that a probe looks at
)

// NewTable returns an empty Table. combine must not be nil; it owns both of its
// arguments, and its first is the older one.
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
	t.limit = n * 3 / 4
	t.count = 0
}

// Add combines v into key's value. The caller may reuse key. Errors come out of
// Drain.
func (t *Table[V]) Add(key []byte, v V) {
	b := t.batch
	n := len(key)
	var p pending
	if n <= 8 {
		p.head = head(key)
		p.hash = hashShort(p.head, n)
	} else {
		if n > longestKey {
			t.pass(key, v)
			return
		}
		p.head = binary.BigEndian.Uint64(key)
		p.hash = hashLong(key)
		p.at = uint32(len(t.staged))
		t.staged = append(t.staged, key...)
	}
	p.size = uint16(n + 1)
	i := b.n
	b.key[i&(batchLen-1)] = p
	b.val[i&(batchLen-1)] = v
	b.n = i + 1
	if t.sizer != nil {
		b.heap += t.sizer.Size(v)
	}
	if i+1 == batchLen || len(t.staged) > stagedMax || b.heap > heapMax {
		t.probe()
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

// probe moves the batch into the table.
func (t *Table[V]) probe() {
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
	var touched uint32
	for i := range b.key[:b.n] {
		touched += t.slots[b.key[i].hash>>t.shift].at
	}
	t.touched += touched
	for i := range b.key[:b.n] {
		t.find(&b.key[i], &b.val[i])
	}
	t.stats.RecordsIn += int64(b.n)
	if t.sizer != nil {
		clear(b.val[:b.n]) // so that nothing is kept alive
	}
	b.n, b.heap = 0, 0
	t.staged = t.staged[:0]
}

// find combines one record into its slot, or inserts it.
func (t *Table[V]) find(p *pending, v *V) {
	mask := uint(len(t.slots) - 1)
	n := int(p.size) - 1
	t.stats.BytesIn += int64(n)
	at := uint(p.hash >> t.shift)
	for row := 0; row < longestRow; row++ {
		s := &t.slots[at&mask]
		if s.head == p.head && s.size == p.size {
			if n <= 8 || t.sameTail(s, p, n) {
				if t.sizer != nil {
					t.combineSized(s, v)
				} else {
					s.val = t.combine(s.val, *v)
				}
				if s.hits++; s.hits == 0 {
					s.hits--
				}
				return
			}
		} else if s.size == 0 {
			*s = slot[V]{head: p.head, size: p.size, val: *v}
			if n > 8 {
				s.at = uint32(len(t.keys))
				t.keys = append(t.keys, t.staged[p.at:int(p.at)+n]...)
			}
			if t.sizer != nil {
				t.heap += t.sizer.Size(*v)
			}
			t.count++
			return
		}
		at++
	}
	// Only keys made to collide get here. As long as the row is as it is, this key
	// is not in the table, so that its records stay in order.
	s := slot[V]{head: p.head, size: p.size, val: *v}
	t.out(&s, t.staged[p.at:])
}

// sameTail compares what lies behind the first 8 bytes of two keys of n bytes.
func (t *Table[V]) sameTail(s *slot[V], p *pending, n int) bool {
	a := t.keys[s.at:][:n]
	b := t.staged[p.at:][:n]
	if n <= 16 {
		return binary.LittleEndian.Uint64(a[n-8:]) == binary.LittleEndian.Uint64(b[n-8:])
	}
	return string(a[8:]) == string(b[8:])
}

func (t *Table[V]) combineSized(s *slot[V], v *V) {
	t.heap -= t.sizer.Size(s.val)
	s.val = t.combine(s.val, *v)
	t.heap += t.sizer.Size(s.val)
}

// Drain hands every key with its value to s, in key order, and releases
// everything. It returns the first error of a temporary file, of the codec or of s.
func (t *Table[V]) Drain(s Sink) error {
	if t.batch == nil {
		return errDone
	}
	t.probe()
	t.evict(true)
	t.batch, t.slots, t.keys, t.staged = nil, nil, nil, nil
	t.kept, t.keptKey = nil, nil
	f := fold[V]{combine: t.combine, codec: t.codec, sink: s}
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
