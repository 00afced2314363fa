package collect

import (
	"encoding/binary"
	"math/bits"
)

// totals adds up the values of a Batch's short keys: integers may be added in any order and in
// parts. It finds the entry of a key by hash, in a table small enough for the processor's
// cache, so that only one entry a key is left to sort.
type totals struct {
	at    []uint32 // index of an entry plus 1, by the upper bits of the key's hash; 0: free
	shift uint
	of    []int64 // by entry, if summed
	added int     // records that have no entry
	odd   int64   // negative if some value, since the batch was made, was not positive
}

const minTotals = 1 << 15

func newTotals() *totals {
	if t, ok := memory.totals.Get().(*totals); ok {
		return t
	}
	t := new(totals)
	t.resize(minTotals)
	return t
}

func (t *totals) resize(n int) {
	t.at, t.shift = make([]uint32, n), uint(64-bits.Len(uint(n-1)))
}

func (t *totals) reset() {
	clear(t.at)
	t.of, t.added = t.of[:0], 0
}

// summed marks an entry whose value is in totals.
const summed = 0xff

// total adds e, which has a short key and a small value, to the entry of its key. What is no
// varint in its shortest form stays as it is, for whoever reads it.
func (b *Batch) total(e entry) {
	t := b.totals
	x, ok := varint(e.ref, e.small-1)
	if !ok {
		b.push(e)
		return
	}
	t.odd |= x - 1
	mask := uint(len(t.at) - 1)
	i := uint(hashShort(e.hi, e.mid, int(e.size)) >> (t.shift & 63))
	for {
		n := t.at[i&mask]
		if n == 0 {
			break
		}
		if o := &b.entries[n-1]; o.hi == e.hi && o.mid == e.mid && o.size == e.size {
			t.of[n-1] += x
			t.added++
			return
		}
		i++
	}
	e.small = summed
	b.entries = append(b.entries, e)
	t.of = append(t.of, x)
	t.at[i&mask] = uint32(len(b.entries))
	if len(b.entries) > len(t.at)/2 {
		b.enlargeTotals()
	}
}

func (b *Batch) enlargeTotals() {
	t := b.totals
	t.resize(2 * len(t.at))
	mask := uint(len(t.at) - 1)
	for n := range b.entries {
		e := &b.entries[n]
		if e.small != summed {
			continue
		}
		i := uint(hashShort(e.hi, e.mid, int(e.size)) >> (t.shift & 63))
		for t.at[i&mask] != 0 {
			i++
		}
		t.at[i&mask] = uint32(n + 1)
	}
}

// putTotals encodes the sums into their entries, or into records if they are too large.
func (b *Batch) putTotals() {
	for i := range b.entries {
		e := &b.entries[i]
		if e.small != summed {
			continue
		}
		v, n := putVarint(b.totals.of[i])
		if e.ref, e.small = v, n+1; n == 0 {
			b.putRecord(e, binary.AppendVarint(nil, b.totals.of[i]))
		}
	}
}

// putRecord makes a record of an entry whose key is its window.
func (b *Batch) putRecord(e *entry, value []byte) {
	var key [windowLen]byte
	e.key(&key)
	var dst []byte
	e.small = 0
	e.ref, dst = b.arena.alloc(recordSize(int(e.size), len(value)))
	n := putLengths(dst, int(e.size), len(value))
	n += copy(dst[n:], key[:e.size])
	copy(dst[n:], value)
}

// varint decodes the n bytes of a signed varint in v, and tells whether they are one in its
// shortest form.
func varint(v uint32, n uint8) (int64, bool) {
	if n == 1 && v < 0x80 {
		return int64(v>>1) ^ -int64(v&1), true
	}
	var x uint64
	for i := range n {
		c := byte(v >> (8 * i))
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int64(x>>1) ^ -int64(x&1), i == n-1 && c != 0
		}
	}
	return 0, false
}

// putVarint encodes x as encoding/binary does, in n bytes, or n is 0 if it takes more than 4.
func putVarint(x int64) (v uint32, n uint8) {
	u := uint64(x)<<1 ^ uint64(x>>63)
	if u >= 1<<28 {
		return 0, 0
	}
	for ; u >= 0x80; u >>= 7 {
		v |= (uint32(u)&0x7f | 0x80) << (8 * n)
		n++
	}
	return v | uint32(u)<<(8*n), n + 1
}
