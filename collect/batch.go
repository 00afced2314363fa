package collect

import "bytes"

// Batch sorts a limited number of records by key, equal keys in the order they were added.
// A merge of many cursors that can tell how far each of them reaches gathers what lies below
// that limit, and has it sorted within the processor's cache, by fewer guessed branches than
// a tree of losers takes a record. Its memory is used again by the next batch.
//
// It is a Cursor once Sort was called.
type Batch struct {
	limit    entry // of limitKey, if bounded
	limitKey []byte
	bounded  bool
	arena    arena
	entries  []entry
	sorter   sorter
	totals   *totals // nil: values are not to be added up
	memoryCursor
}

// NewBatch returns an empty Batch, to be released after use. sums: values are signed varints,
// as of encoding/binary, to be added up by key, by somebody who gets the records; the batch
// does so beforehand where it is quick.
func NewBatch(sums bool) *Batch {
	b := &Batch{entries: memory.sortable(entryChunk)[:0]}
	if sums {
		b.totals = newTotals()
	}
	b.arena.chunk = chunkMax
	b.sorter.arena, b.memoryCursor.arena = &b.arena, &b.arena
	return b
}

// Reset empties the batch. It takes keys below limit from now on; all keys if limit is nil.
func (b *Batch) Reset(limit []byte) {
	b.arena.reset()
	b.entries = b.entries[:0]
	b.memoryCursor.entries, b.memoryCursor.near = nil, 0
	if b.totals != nil {
		b.totals.reset()
	}
	b.limit = entry{hi: ^uint64(0), mid: ^uint64(0), size: windowMore}
	if b.bounded = limit != nil; b.bounded {
		b.limitKey = append(b.limitKey[:0], limit...)
		b.limit = window(b.limitKey)
	}
}

// Len returns the number of records to sort.
func (b *Batch) Len() int { return len(b.entries) }

// Added returns how many records were added into others since the batch was reset.
func (b *Batch) Added() int {
	if b.totals == nil {
		return 0
	}
	return b.totals.added
}

// Positive reports whether all values that were added into others, since the batch was made,
// were positive. They are all less than 1<<27.
func (b *Batch) Positive() bool { return b.totals == nil || b.totals.odd >= 0 }

// Add takes a copy of the record and returns true, or returns false if its key is not below
// the limit.
func (b *Batch) Add(key, value []byte) bool {
	e := window(key)
	if b.bounded && e.hi >= b.limit.hi && !b.below(&e, key) {
		return false
	}
	if e.more() || len(value) > smallValue {
		size := recordSize(len(key), len(value))
		var dst []byte
		e.ref, dst = b.arena.alloc(size)
		n := putLengths(dst, len(key), len(value))
		n += copy(dst[n:], key)
		copy(dst[n:], value)
	} else {
		e.hold(value)
	}
	b.push(e)
	return true
}

func (b *Batch) push(e entry) {
	b.entries = append(b.entries, e)
	if b.totals != nil {
		b.totals.of = append(b.totals.of, 0)
	}
}

func (b *Batch) below(e *entry, key []byte) bool {
	switch l := &b.limit; {
	case e.hi != l.hi:
		return e.hi < l.hi
	case e.mid != l.mid:
		return e.mid < l.mid
	}
	return bytes.Compare(key, b.limitKey) < 0
}

// AddShort is Add for a key of at most 16 bytes, given as two big-endian numbers padded with
// zeros, and a value of at most 4, given as a little-endian one.
func (b *Batch) AddShort(hi, mid uint64, size uint8, value uint32, valueSize uint8) bool {
	if hi >= b.limit.hi && b.bounded {
		if l := &b.limit; hi > l.hi || mid > l.mid || mid == l.mid && size >= l.size {
			return false
		}
	}
	e := entry{hi: hi, mid: mid, size: size, small: valueSize + 1, ref: value}
	if b.totals == nil {
		b.entries = append(b.entries, e)
		return true
	}
	b.total(e)
	return true
}

// Sort sorts what was added. Next steps through it.
func (b *Batch) Sort() {
	if b.totals != nil {
		b.putTotals()
	}
	b.sorter.sort(b.entries, b.sorter.scratch(len(b.entries)), false, 0)
	b.memoryCursor.entries, b.memoryCursor.near = b.entries, 0
	b.memoryCursor.same = false
}

// Middle sorts what was added and returns the key of the n-th record, or nil if there is none
// or no key is less than that one. After that the batch is to be reset.
func (b *Batch) Middle(n int) []byte {
	b.Sort()
	var least, key []byte
	for i := 0; i <= n && b.Next(); i++ {
		if key = append(key[:0], b.Key()...); i == 0 {
			least = bytes.Clone(key)
		}
	}
	if bytes.Equal(least, key) {
		return nil
	}
	return key
}

// Release gives the batch's memory back.
func (b *Batch) Release() {
	b.arena.release()
	memory.keepSortable(b.sorter.tmp)
	memory.keepSortable(b.entries)
	if b.totals != nil && len(b.totals.at) == minTotals { // each reset of a larger one costs more
		b.totals.reset()
		b.totals.odd = 0
		memory.totals.Put(b.totals)
	}
	b.totals, b.sorter.tmp, b.entries, b.memoryCursor.entries = nil, nil, nil, nil
}
