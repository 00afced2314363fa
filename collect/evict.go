package collect

// growth is how many times as many slots a table gets that is not yet of its size.
const growth = 8

// enlarge moves a table to a larger one. The keys of a row part into several, by the
// next bits of their hashes, so that there is room for all.
func (t *Table[V]) enlarge() {
	old := t.slots
	t.resize(min(len(old)*growth, t.most))
	for i := range old {
		s := &old[i]
		if s.size == 0 {
			continue
		}
		var h uint64
		if n := int(s.size) - 1; n <= inline {
			h = hashShort(s.a, s.b, n)
		} else {
			h = s.b
		}
		at := uint(h>>(t.shift&63)) * ways
		for t.slots[at].size != 0 {
			at++
		}
		t.slots[at] = *s
		t.count++
	}
}

// out appends a key and its value to the Buffer.
func (t *Table[V]) out(s *slot[V]) {
	n := int(s.size) - 1
	t.stats.Evicted++
	t.enc = t.codec.Append(t.enc[:0], s.val)
	if n > inline {
		key := t.keys[s.at:][:n]
		t.buf.add(window(key), key, t.enc)
		return
	}
	e := entry{hi: s.a, mid: s.b, size: uint8(n)}
	if len(t.enc) <= smallValue {
		e.hold(t.enc)
		t.buf.addSmall(e)
		return
	}
	t.buf.add(e, e.key(&t.short), t.enc)
}

// evictAll empties the table.
func (t *Table[V]) evictAll() {
	for i := range t.slots {
		if s := &t.slots[i]; s.size != 0 {
			t.out(s)
		}
	}
	clear(t.slots)
	t.heap, t.keys = 0, t.keys[:0]
}

// age halves all hits, so that a key that was frequent in one part of the input doesn't
// stay for the rest of it.
func (t *Table[V]) age() {
	for i := range t.slots {
		t.slots[i].hits /= 2
	}
	t.aging = agingLen * maxSlots
}

// compact drops the bytes of keys that have left. If that doesn't make enough room, the long
// keys that came less than others of their row leave as well, and then all long keys.
func (t *Table[V]) compact() {
	for leave := ways; ; leave /= 2 {
		kept := t.keptKey[:0]
		for i := range t.slots {
			s := &t.slots[i]
			n := int(s.size) - 1
			switch {
			case n <= inline:
			case i%ways >= leave:
				t.out(s)
				if t.sizer != nil {
					t.heap -= t.sizer.Size(s.val)
				}
				*s = slot[V]{}
			default:
				at := len(kept)
				kept = append(kept, t.keys[s.at:][:n]...)
				s.at = uint32(at)
			}
		}
		t.keys, t.keptKey = kept, t.keys
		if len(t.keys) <= keysMax/2 {
			return
		}
	}
}
