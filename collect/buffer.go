package collect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/mrd-io/mr/internal/prefetch"
)

// Buffer collects records and hands them out sorted by key, equal keys in the
// order they were added. Beyond its memory it sorts what it holds and writes it to
// a temporary file as a segment.
type Buffer struct {
	memory  int64
	arena   arena
	entries [][]entry // full chunks
	last    []entry   // the chunk being filled
	spill   *spill
	spare   func() (done func(), ok bool)
	adds    bool      // values in entries are signed varints, and those of a key are handed out added up
	segs    []segment // in the order of their records
	stats   Sizes
	err     error // the first failure of the spill file
	done    bool  // drained or discarded
}

const (
	entryChunk = 8192
	// A record costs its bytes in the arena, its entry, and once more an entry
	// while the entries are sorted.
	entryCost = 48
)

// errDone is returned by a second Drain.
var errDone = errors.New("collect: drained or discarded before")

// NewBuffer returns an empty Buffer.
func NewBuffer(o Options) *Buffer {
	b := &Buffer{memory: o.memory(), spare: o.Spare}
	b.arena.chunk = int(min(max(b.memory/16, chunkMin), chunkMax))
	b.spill = &spill{dir: o.Dir}
	return b
}

// Add takes a copy of a record.
func (b *Buffer) Add(key, value []byte) {
	b.stats.RecordsIn++
	b.stats.BytesIn += int64(len(key) + len(value))
	b.add(window(key), key, value)
}

// add is Add for a key whose window is known.
func (b *Buffer) add(e entry, key, value []byte) {
	if b.err != nil || b.done {
		return
	}
	size := recordSize(len(key), len(value))
	if size > maxRecord {
		b.err = fmt.Errorf("collect: key %.40q…: a record of %d bytes is longer than %d", key, size, int64(maxRecord))
		return
	}
	if b.held()+int64(size) > b.memory || !b.arena.fits(size) {
		if b.flush(); b.err != nil {
			return
		}
	}
	var dst []byte
	e.ref, dst = b.arena.alloc(size)
	n := putLengths(dst, len(key), len(value))
	n += copy(dst[n:], key)
	copy(dst[n:], value)
	b.push(e)
}

// addSmall is add for a record that is in its entry.
func (b *Buffer) addSmall(e entry) {
	if b.err != nil || b.done {
		return
	}
	if b.held()+entryCost > b.memory {
		if b.flush(); b.err != nil {
			return
		}
	}
	b.push(e)
}

func (b *Buffer) push(e entry) {
	if len(b.last) == entryChunk {
		b.entries = append(b.entries, b.last)
		b.last = memory.entryChunk()
	}
	b.last = append(b.last, e)
}

func (b *Buffer) count() int { return len(b.entries)*entryChunk + len(b.last) }

func (b *Buffer) held() int64 { return b.arena.held + int64(b.count())*entryCost }

// flush writes what is in memory as a segment.
func (b *Buffer) flush() {
	if b.count() == 0 {
		return
	}
	sorted := b.sorted()
	seg, err := b.spill.write(sorted, &b.arena)
	memory.keepSortable(sorted)
	if err != nil {
		b.err = err
		return
	}
	b.segs = append(b.segs, seg)
	b.arena.reset()
	b.stats.Segments++
	b.stats.Spilled = b.spill.size
}

// sorted returns the entries in key order.
func (b *Buffer) sorted() []entry {
	s := sorter{arena: &b.arena, spare: b.spare}
	all := s.sortParts(append(b.entries, b.last))
	memory.keepSortable(s.tmp)
	for _, c := range b.entries {
		memory.keepEntryChunk(c)
	}
	b.entries, b.last = nil, b.last[:0]
	return all
}

// Drain hands all records to s and releases everything. It returns the first
// error of the temporary file or of s, unwrapped in the latter case.
func (b *Buffer) Drain(s Sink) error {
	defer b.Discard()
	return b.drain(s)
}

// drain is Drain, but what it handed out stays until Discard.
func (b *Buffer) drain(s Sink) error {
	if b.done {
		return errDone
	}
	if b.err != nil {
		return b.err
	}
	if len(b.segs) == 0 {
		return b.drainMemory(s)
	}
	c, err := b.merged()
	if err != nil {
		return err
	}
	return b.pour(c, s)
}

// pour hands the records of c to s.
func (b *Buffer) pour(c Cursor, s Sink) error {
	for c.Next() {
		key, value := c.Key(), c.Value()
		b.stats.RecordsOut++
		b.stats.BytesOut += int64(len(key) + len(value))
		if err := s.Record(key, value); err != nil {
			return err
		}
	}
	return c.Err()
}

// drain hands the records of all of bufs to s in key order, those of equal keys in the order
// of bufs. What it handed out stays until Discard.
func drain(bufs []*Buffer, s Sink) error {
	if len(bufs) == 1 {
		return bufs[0].drain(s)
	}
	cs := make([]Cursor, len(bufs))
	errs := make([]error, len(bufs))
	var wg sync.WaitGroup
	for i, b := range bufs {
		if b.done {
			return errDone
		}
		one := func() {
			if errs[i] = b.err; errs[i] == nil {
				cs[i], errs[i] = b.merged()
			}
		}
		done, ok := func() {}, false
		if i > 0 && b.spare != nil {
			done, ok = b.spare()
		}
		if !ok {
			one()
			continue
		}
		wg.Go(func() {
			defer done()
			one()
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return bufs[0].pour(Merge(cs), s)
}

func (b *Buffer) drainMemory(s Sink) error {
	sorted := b.sorted()
	defer memory.keepSortable(sorted)
	c := memoryCursor{entries: sorted, arena: &b.arena, adds: b.adds}
	lone, _ := s.(loneSink)
	for c.Next() {
		b.stats.RecordsOut++
		b.stats.BytesOut += int64(len(c.key) + len(c.value))
		var err error
		if lone != nil && c.lone {
			err = lone.loneRecord(c.key, c.value)
		} else {
			err = s.Record(c.key, c.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loneSink is a Sink that is glad to know that a record's key occurs once.
type loneSink interface {
	loneRecord(key, value []byte) error
}

// merged returns a cursor over the segments and what is still in memory, which
// came last. If that and a frame for each segment are too much, it is written out
// as well.
func (b *Buffer) merged() (Cursor, error) {
	if b.held()+int64(len(b.segs))*frameLen > b.memory {
		if b.flush(); b.err != nil {
			return nil, b.err
		}
		b.arena.release()
	}
	segs, err := b.spill.compact(b.segs, b.memory)
	if err != nil {
		return nil, err
	}
	b.segs = segs
	b.stats.Spilled = b.spill.size
	cs := make([]Cursor, 0, len(segs)+1)
	for _, seg := range segs {
		cs = append(cs, b.spill.cursor(seg))
	}
	if b.count() > 0 {
		cs = append(cs, &memoryCursor{entries: b.sorted(), arena: &b.arena, adds: b.adds})
	}
	return Merge(cs), nil
}

// Discard releases memory and temporary files. It may be called at any time, and
// again.
func (b *Buffer) Discard() {
	if b.done {
		return
	}
	b.done = true
	b.spill.close()
	b.arena.release()
	for _, c := range append(b.entries, b.last) {
		memory.keepEntryChunk(c)
	}
	b.entries, b.last, b.segs = nil, nil, nil
}

// Stats returns what went through so far.
func (b *Buffer) Stats() Sizes { return b.stats }

// memoryCursor walks over sorted entries.
type memoryCursor struct {
	entries    []entry // still to come
	near       int     // how many of them have been asked for
	lone       bool    // no other record has the current one's key; false may be wrong
	same       bool    // the current entry's window is the next one's
	adds       bool    // see Buffer
	arena      *arena
	key, value []byte
	small      [windowLen + binary.MaxVarintLen64]byte // of an entry that has no record
}

// A record's first nearBytes are asked for when nearLen others are to come before it: the
// arena is walked in key order, which is random for the cache.
const (
	nearLen   = 32
	nearBytes = 192
)

func (c *memoryCursor) Next() bool {
	if len(c.entries) == 0 {
		return false
	}
	for c.near <= min(len(c.entries)-1, nearLen) {
		c.fetch(&c.entries[c.near])
		c.near++
	}
	e := &c.entries[0]
	c.pass()
	// Equal keys have equal windows, at whatever depth.
	before := c.same
	c.same = c.goesOn(e)
	if e.small != 0 {
		c.key = e.key((*[windowLen]byte)(c.small[:]))
		value := c.small[windowLen:]
		if c.adds && c.same {
			c.value = binary.AppendVarint(value[:0], c.addUp(e))
		} else {
			binary.LittleEndian.PutUint32(value, e.ref)
			c.value = value[:e.small-1]
		}
		c.lone = !before && !c.same
		return true
	}
	c.lone = !before && !c.same
	b := c.arena.at(e.ref)
	k, v, end := lengths(b)
	c.key, c.value = b[k:v:v], b[v:end:end]
	return true
}

// pass steps over an entry.
func (c *memoryCursor) pass() {
	c.entries = c.entries[1:]
	c.near = max(c.near-1, 0)
}

// goesOn reports whether the next entry's window is e's.
func (c *memoryCursor) goesOn(e *entry) bool {
	if len(c.entries) == 0 {
		return false
	}
	n := &c.entries[0]
	return e.hi == n.hi && e.mid == n.mid && e.size == n.size
}

// addUp returns the sum of e's value and those behind it of the same key, up to the first that is a record.
func (c *memoryCursor) addUp(e *entry) int64 {
	sum, _ := varint(e.ref, e.small-1)
	for c.same && c.entries[0].small != 0 {
		x, _ := varint(c.entries[0].ref, c.entries[0].small-1)
		sum += x
		c.pass()
		c.same = c.goesOn(e)
	}
	return sum
}

// fetch asks for e's record.
func (c *memoryCursor) fetch(e *entry) {
	if e.small != 0 {
		return
	}
	b := c.arena.at(e.ref)
	for at := 0; at < min(len(b), nearBytes); at += 64 {
		prefetch.Line(unsafe.Pointer(&b[at]))
	}
}

func (c *memoryCursor) Key() []byte   { return c.key }
func (c *memoryCursor) Value() []byte { return c.value }
func (c *memoryCursor) Err() error    { return nil }

func spillError(dir string, err error) error {
	return fmt.Errorf("collect: temporary file in %s: %w", dir, err)
}
