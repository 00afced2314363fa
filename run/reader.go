package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/mrd-io/mr/internal/prefetch"
)

// Reader walks over the records of a run with keys in a range. It is a
// collect.Cursor.
type Reader struct {
	src    BlockSource
	ix     *Index
	lo, hi []byte // lo is nil once it has been reached

	next          int // the block to load next
	end           int // the block after the last
	hiFrom        int // keys of blocks from here on are compared with hi
	*readerMemory     // nil before the first block and after the last
	block         parser
	marked        marked
	ahead         *aheadOf // nil: every block is read when it is reached
	err           error
	done          bool
}

// NewReader returns a Reader of the keys in [lo, hi); nil means no bound. A run
// that is unsorted has no ranges.
func NewReader(src BlockSource, ix *Index, lo, hi []byte) *Reader {
	r := &Reader{src: src, ix: ix, lo: lo, hi: hi}
	if ix.Unsorted && (lo != nil || hi != nil) {
		r.err, r.done = errors.New("run: an unsorted run has no key ranges"), true
		return r
	}
	r.next, r.end = ix.Range(lo, hi)
	r.hiFrom = r.end
	for hi != nil && r.hiFrom > r.next {
		// A block can reach hi if the one behind it doesn't begin below.
		if i := r.hiFrom; i < len(ix.Blocks) && ix.Blocks[i].Overlap == Apart && bytes.Compare(ix.Blocks[i].FirstKey, hi) <= 0 {
			break
		}
		r.hiFrom--
	}
	return r
}

// Next steps to the next record.
func (r *Reader) Next() bool {
	for !r.done {
		if r.lo != nil && !r.block.skip(r.lo) || r.lo == nil && !r.block.next() {
			r.load()
			continue
		}
		r.lo = nil
		if r.hi != nil && r.next > r.hiFrom && bytes.Compare(r.block.key, r.hi) >= 0 {
			r.finish()
			return false
		}
		return true
	}
	return false
}

// load makes the next block the current one, or ends the walk.
func (r *Reader) load() {
	if r.block.err != nil {
		r.fail(damaged(r.next-1, "%w", r.block.err))
		return
	}
	if r.next == r.end {
		r.finish()
		return
	}
	i := r.next
	payload, err := r.reach(i)
	if err != nil {
		r.fail(err)
		return
	}
	r.block.reset(payload, r.ix.Blocks[i].Records)
	r.next++
}

// reach returns block i, the next, like fetch: what was read ahead, if it was.
func (r *Reader) reach(i int) ([]byte, error) {
	if r.ahead == nil {
		return r.fetch(i)
	}
	f := r.take()
	if f == nil {
		defer r.ahead.ended()
		return r.fetch(i)
	}
	r.begin()
	r.stored, f.m.stored = f.m.stored, r.stored
	r.decoded, f.m.decoded = f.m.decoded, r.decoded
	memory.keepReader(f.m)
	return f.payload, f.err
}

// begin makes sure that there is memory for blocks.
func (r *Reader) begin() {
	if r.readerMemory == nil {
		r.readerMemory = memory.reader()
		r.block.keyBuf = r.key
	}
}

// fetch reads and opens block i. The payload is valid until the next call.
func (r *Reader) fetch(i int) ([]byte, error) {
	r.begin()
	return r.fetchInto(i, r.readerMemory)
}

// fetchInto reads and opens block i in m's memory.
func (r *Reader) fetchInto(i int, m *readerMemory) ([]byte, error) {
	b, err := r.src.ReadBlock(i, m.stored[:0])
	if err != nil {
		return nil, fmt.Errorf("run: read blob %d: %w", i, err)
	}
	m.stored = b
	want := &r.ix.Blocks[i]
	if len(b) != want.Size {
		return nil, damaged(i, "%d bytes, want %d", len(b), want.Size)
	}
	payload, err := openBlob(b, magicData, m.decoded, want.Payload)
	if err != nil {
		return nil, damaged(i, "%w", err)
	}
	if len(payload) != want.Payload {
		return nil, damaged(i, "payload of %d bytes, want %d", len(payload), want.Payload)
	}
	if b[4] == codecS2 {
		m.decoded = payload
	}
	return payload, nil
}

func (r *Reader) fail(err error) {
	r.err = err
	r.finish()
}

// finish ends the walk and leaves r's memory to other Readers.
func (r *Reader) finish() {
	r.done = true
	if r.ahead != nil {
		r.ahead.stop()
	}
	if m := r.readerMemory; m != nil {
		m.key = r.block.keyBuf
		r.block, r.readerMemory = parser{}, nil
		memory.keepReader(m)
	}
}

// Key returns the current key, valid until Next.
func (r *Reader) Key() []byte { return r.block.key }

// Value returns the current value, valid until Next.
func (r *Reader) Value() []byte { return r.block.value }

// Err returns what stopped the Reader early.
func (r *Reader) Err() error { return r.err }

// parser walks over the records of a block's payload.
type parser struct {
	rest       []byte
	left       int // records still to come
	keyBuf     []byte
	key, value []byte
	err        error
}

var errCount = errors.New("the number of records is not the index's")

func (p *parser) reset(payload []byte, records int) {
	p.rest, p.left = payload, records
	if cap(p.keyBuf) < 64 {
		p.keyBuf = make([]byte, 64)
	}
	p.keyBuf, p.key, p.value = p.keyBuf[:0], nil, nil
}

// next steps to the next record. After false, err tells the end from damage.
func (p *parser) next() bool {
	if p.left == 0 || p.err != nil {
		if len(p.rest) > 0 && p.err == nil {
			p.err = errCount
		}
		return false
	}
	if p.short() {
		return true
	}
	at, err := placeOf(p.rest)
	if err == nil && at.shared > len(p.keyBuf) {
		err = errRecord
	}
	if err != nil {
		p.err = err
		return false
	}
	if at.shared == 0 && p.left == 1 && at.restEnd >= keepMax { // a huge key, and none behind it shares bytes with it
		p.key = p.rest[at.rest:at.restEnd:at.restEnd]
	} else {
		p.keyBuf = append(p.keyBuf[:at.shared], p.rest[at.rest:at.restEnd]...)
		p.key = p.keyBuf
	}
	p.value = p.rest[at.value:at.valueEnd:at.valueEnd]
	p.rest = p.rest[at.valueEnd:]
	p.left--
	if len(p.rest) >= aheadAt+2*aheadLine {
		prefetch.Line(unsafe.Pointer(&p.rest[aheadAt]))
		prefetch.Line(unsafe.Pointer(&p.rest[aheadAt+aheadLine]))
	}
	return true
}

// skip steps to the first record whose key is not below lo, from the beginning of a block. It
// puts no keys together: one that shares more bytes with the key before than that shares with lo
// differs from lo where that does, and of any other, what it shares is a prefix of lo.
func (p *parser) skip(lo []byte) bool {
	rest, left := p.rest, p.left
	size, match := 0, 0 // of the key before, and what it shares with lo
	for ; left > 0; left-- {
		var at place
		if len(rest) >= 17 && rest[0] < 15<<4 && rest[0]&15 < 15 && rest[1+(rest[0]&15)] < 0x80 {
			// As in short: nearly all.
			at.shared, at.rest, at.restEnd = int(rest[0]>>4), 1, 1+int(rest[0]&15)
			at.valueEnd = 1 + at.restEnd + int(rest[at.restEnd])
		}
		if at.rest == 0 || at.valueEnd > len(rest) {
			if at, p.err = placeOf(rest); p.err != nil {
				return false
			}
		}
		if at.shared > size {
			p.err = errRecord
			return false
		}
		size = at.shared + at.restEnd - at.rest
		if at.shared <= match {
			n := at.shared + commonPrefix(rest[at.rest:at.restEnd], lo[at.shared:])
			if n == len(lo) || n < size && rest[at.rest+n-at.shared] > lo[n] {
				p.keyBuf = append(p.keyBuf[:0], lo[:at.shared]...)
				break
			}
			match = n
		}
		rest = rest[at.valueEnd:]
	}
	p.rest, p.left = rest, left
	return p.next()
}

// Of records of a hundred bytes and more that are merged, a block's next lines of the processor's
// cache are asked for ahead: between two records of one run lie those of many others. Further
// ahead is worse, since the runs' lines together have to fit.
const (
	aheadAt   = 128
	aheadLine = 64
)

// short is next for records with lengths below 15, 15 and 128 that don't lie at the
// end of a block: nearly all. It returns false for the others.
func (p *parser) short() bool {
	b, key := p.rest, p.keyBuf
	if len(b) < 17 {
		return false
	}
	shared, rest := int(b[0]>>4), int(b[0]&15)
	if shared == 15 || rest == 15 || shared > len(key) || shared+16 > cap(key) {
		return false
	}
	value := 2 + rest
	end := value + int(b[1+rest])
	if b[1+rest] >= 0x80 || end > len(b) {
		return false
	}
	// Two moves of 8 bytes, whatever the length: no call and nothing to guess.
	key = key[:shared+16]
	binary.LittleEndian.PutUint64(key[shared:], binary.LittleEndian.Uint64(b[1:]))
	binary.LittleEndian.PutUint64(key[shared+8:], binary.LittleEndian.Uint64(b[9:]))
	p.keyBuf = key[:shared+rest]
	p.key = p.keyBuf
	p.value = b[value:end:end]
	p.rest = b[end:]
	p.left--
	return true
}
