package collect

import "encoding/binary"

// keepShare is the share of the table's keys, as a divisor, that an eviction
// keeps at most; it is part of Profile.
const keepShare = 4

// enlarge moves a table that hasn't reached its size to one of eight times as many
// slots.
func (t *Table[V]) enlarge() {
	old := t.slots
	t.resize(min(len(old)*8, t.most))
	for i := range old {
		if old[i].size != 0 {
			t.place(&old[i])
		}
	}
}

// place inserts the key of s, known to be missing, whose bytes are in t.keys
// already. Where the row is too long it goes to the Buffer instead.
func (t *Table[V]) place(s *slot[V]) {
	n := int(s.size) - 1
	var h uint64
	if n <= 8 {
		h = hashShort(s.head, n)
	} else {
		h = hashLong(t.keys[s.at:][:n])
	}
	mask := uint(len(t.slots) - 1)
	at := uint(h >> t.shift)
	for row := 0; row <= longestRow; row++ {
		if to := &t.slots[at&mask]; to.size == 0 {
			*to = *s
			t.count++
			return
		}
		at++
	}
	t.out(s, t.keys[s.at:])
}

// out appends a key and its value to the Buffer. long holds the key's bytes if
// it has more than 8.
func (t *Table[V]) out(s *slot[V], long []byte) {
	n := int(s.size) - 1
	t.stats.Evicted++
	t.enc = t.codec.Append(t.enc[:0], s.val)
	if n <= 8 {
		binary.BigEndian.PutUint64(t.short[:], s.head)
		t.buf.add(s.head, uint32(n), t.short[:n], t.enc)
		return
	}
	hi, lo := window(long[:n])
	t.buf.add(hi, lo, long[:n], t.enc)
}

// evict makes room: the keys that came most often stay, a quarter at most, and
// the others go to the Buffer; or all do.
//
// Text has a few thousand words that make up most of it and millions that come
// once. Evicting all of them every time would send the frequent ones to the
// Buffer again and again; keeping what is oldest, or what came last, keeps the
// wrong ones. Counts are halved each time, so that a key that was frequent in one
// part of the input doesn't stay for the rest of it.
func (t *Table[V]) evict(all bool) {
	least := 1 << 16
	if !all {
		least = t.keepFrom()
	}
	t.kept, t.keptKey = t.kept[:0], t.keptKey[:0]
	for i := range t.slots {
		s := &t.slots[i]
		if s.size == 0 {
			continue
		}
		n := int(s.size) - 1
		if int(s.hits) < least || len(t.kept) == t.limit/keepShare || len(t.keptKey)+n > keysMax/keepShare {
			t.out(s, t.keys[s.at:])
			continue
		}
		s.hits /= 2
		if n > 8 {
			at := len(t.keptKey)
			t.keptKey = append(t.keptKey, t.keys[s.at:][:n]...)
			s.at = uint32(at)
		}
		t.kept = append(t.kept, *s)
	}
	clear(t.slots)
	t.count, t.heap = 0, 0
	t.keys, t.keptKey = t.keptKey, t.keys
	for i := range t.kept {
		t.place(&t.kept[i])
		if t.sizer != nil {
			t.heap += t.sizer.Size(t.kept[i].val)
		}
	}
	clear(t.kept) // so that no value is kept alive
}

// keepFrom returns the number of hits from which on about a quarter of the keys
// is kept, going by every eighth slot: slots are in the order of hashes, and so a
// fair sample. evict has the last word on what fits.
func (t *Table[V]) keepFrom() int {
	const (
		most = 64
		step = 8
	)
	var keys [most + 1]int // by hits, the last for most and more
	for i := 0; i < len(t.slots); i += step {
		if s := &t.slots[i]; s.size != 0 {
			keys[min(s.hits, most)]++
		}
	}
	count := 0
	for h := most; h > 0; h-- {
		if count += keys[h]; count > t.limit/keepShare/step {
			return h + 1
		}
	}
	return 1
}
