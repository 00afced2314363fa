package run

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/mrd-io/mr/collect"
)

// Merge returns a cursor over the records of all of cs by key, equal keys in the order of
// cs. It stops at the first cursor that fails.
//
// Many readers of runs with small records are merged batch by batch: no key in a block that
// is yet to be read lies below the key that the index has for that block, so the least of
// these keys over all readers is a limit below which every record is at hand. What is below
// is gathered and sorted. The limit is lowered further to keep batches within the
// processor's cache.
//
// sums: values are signed varints, which whoever reads the merge adds up by key. The merge
// may do so beforehand.
func Merge(cs []collect.Cursor, sums bool) collect.Cursor {
	rs := make([]*Reader, len(cs))
	var atHand int64
	for i, c := range cs {
		r, ok := c.(*Reader)
		if !ok || r.ix.Unsorted || r.ix.RawBytes > r.ix.Records*batchBytes {
			return collect.Merge(cs)
		}
		rs[i] = r
		atHand += r.ix.ReaderMemory()
	}
	if len(rs) < batchReaders || atHand > batchMemory {
		return collect.Merge(cs)
	}
	return newBatches(rs, batchMost, sums)
}

const (
	batchReaders = 8       // with fewer, a tree of losers is as fast
	batchRecords = 8 << 10 // aim for a batch: its entries and their scratch fit into the second cache
	batchBytes   = 24      // a record's mean size beyond which moving it costs more than comparing
	batchMost    = 1 << 17 // records beyond which a batch is given up, and made anew with a lower limit
	batchMemory  = 2 << 30 // bytes that may be at hand: half of what a batch can address
)

// batches merges readers by batches.
type batches struct {
	most    int       // records of a batch that are too many
	readers []*Reader // those not at their end, in order
	batch   *collect.Batch
	sums    bool
	took    time.Duration
	added   int64 // records that were added into others
	odd     bool  // not all of them had positive values

	// The next limit is the key that lies this many records ahead in the reader with the least
	// key: what is dense in one run is mostly so in the others.
	step    int
	piloted bool   // the last limit was such a key
	keyBuf  []byte // its bytes

	// Where one key goes on behind the end of a block, there is no limit above it: its
	// records are handed out as they come, reader by reader.
	tied bool
	tie  []byte // not nil, which would be no limit
	at   int    // the reader whose turn it is

	done bool
	err  error
}

func newBatches(rs []*Reader, most int, sums bool) *batches {
	return &batches{readers: rs, most: most, sums: sums, step: max(batchRecords/len(rs), 1), keyBuf: make([]byte, 64), tie: []byte{}}
}

func (m *batches) Key() []byte {
	if m.tied {
		return m.readers[m.at].block.key
	}
	return m.batch.Key()
}

func (m *batches) Value() []byte {
	if m.tied {
		return m.readers[m.at].block.value
	}
	return m.batch.Value()
}

func (m *batches) Err() error { return m.err }

// Added returns how many records were added into others so far, and not handed out.
func Added(merged collect.Cursor) int64 {
	if m, ok := merged.(*batches); ok {
		return m.added
	}
	return 0
}

// Positive reports whether all values that were added into others so far were positive, and
// less than 1<<27.
func Positive(merged collect.Cursor) bool {
	m, ok := merged.(*batches)
	return !ok || !m.odd
}

// Took returns how long the merge has worked, if it knows.
func Took(merged collect.Cursor) (time.Duration, bool) {
	m, ok := merged.(*batches)
	if !ok {
		return 0, false
	}
	return m.took, true
}

// Next steps to the next record.
func (m *batches) Next() bool {
	if m.batch == nil && !m.done {
		m.begin()
	}
	for !m.done {
		if m.tied {
			if m.nextTied() {
				return true
			}
			continue
		}
		if m.batch.Next() {
			return true
		}
		m.fill()
	}
	return false
}

func (m *batches) begin() {
	m.batch = collect.NewBatch(m.sums)
	rs := m.readers
	m.readers = nil
	for _, r := range rs {
		if r.Next() {
			m.readers = append(m.readers, r)
		} else if m.stop(r.err) {
			return
		}
	}
}

// stop ends the merge if err is not nil.
func (m *batches) stop(err error) bool {
	if err != nil {
		m.err = err
		m.end()
	}
	return err != nil
}

func (m *batches) end() {
	m.done, m.tied = true, false
	m.batch.Release()
}

// fill makes the next batch.
func (m *batches) fill() {
	defer func(start time.Time) { m.took += time.Since(start) }(time.Now())
	if len(m.readers) == 0 {
		m.end()
		return
	}
	limit, least := m.limit()
	m.tie = append(m.tie[:0], least...)
	for !m.gather(limit) {
		// The step was too long for what comes. If one key alone has so many records, the
		// limit becomes that key, and they are handed out as a tie.
		m.step = max(m.step/4, 1)
		if limit = m.batch.Middle(min(batchRecords, m.most/2)); limit == nil {
			limit = m.tie
		}
	}
	if !m.advance() {
		return
	}
	n := m.batch.Len()
	if n == 0 {
		m.tied, m.at = true, -1
		return
	}
	if want := m.step * batchRecords / n; want < m.step || m.piloted {
		m.step = max(min(want, 2*m.step), m.step/4, 1)
	}
	m.added += int64(m.batch.Added())
	m.odd = !m.batch.Positive()
	m.batch.Sort()
}

// gather makes a batch of what lies below the limit. If that is too much, it puts all readers
// back to where they were and returns false.
func (m *batches) gather(limit []byte) bool {
	m.batch.Reset(limit)
	for i, r := range m.readers {
		if m.batch.Len() > m.most {
			for _, r := range m.readers[:i] {
				r.rewind()
			}
			return false
		}
		r.mark()
		r.gather(m.batch)
	}
	return true
}

// advance moves readers that are at the end of their block to the next one, and drops those
// that are at their end. It returns false after an error, which ends the merge.
func (m *batches) advance() bool {
	live := m.readers[:0]
	for _, r := range m.readers {
		if r.settle() {
			live = append(live, r)
		} else if m.stop(r.err) {
			return false
		}
	}
	m.readers = live
	return true
}

// limit returns the limit of the next batch, nil if there is none, and a key that is the
// least if nothing lies below the limit.
func (m *batches) limit() (limit, least []byte) {
	pilot := m.readers[0]
	for _, r := range m.readers {
		if b := r.bound(); b != nil && (limit == nil || bytes.Compare(b, limit) < 0) {
			limit = b
		}
		if bytes.Compare(r.block.key, pilot.block.key) < 0 {
			pilot = r
		}
	}
	m.piloted = false
	if key := m.ahead(pilot); key != nil && (limit == nil || bytes.Compare(key, limit) < 0) {
		limit, m.piloted = key, true
	}
	return limit, pilot.block.key
}

// ahead returns a key of the pilot's block above its current one, m.step records on or where
// the key changes first behind that, or nil if the block ends before.
func (m *batches) ahead(pilot *Reader) []byte {
	p := pilot.block // a copy: the reader stays where it is
	p.keyBuf = append(m.keyBuf[:0], p.keyBuf...)
	defer func() { m.keyBuf = p.keyBuf }()
	for n := 0; p.next(); n++ {
		if n+1 >= m.step && !bytes.Equal(p.key, pilot.block.key) {
			return p.key
		}
	}
	return nil
}

// nextTied steps to the next record that has the tie for a key, or ends the tie.
func (m *batches) nextTied() bool {
	if m.at >= 0 && !m.readers[m.at].Next() {
		if m.stop(m.readers[m.at].err) {
			return false
		}
		m.readers = append(m.readers[:m.at], m.readers[m.at+1:]...)
		m.at--
	} else if m.at >= 0 && bytes.Equal(m.readers[m.at].block.key, m.tie) {
		return true
	}
	for m.at++; m.at < len(m.readers); m.at++ {
		if bytes.Equal(m.readers[m.at].block.key, m.tie) {
			return true
		}
	}
	m.tied = false
	m.batch.Reset(nil)
	return false
}

// bound returns a key that no record behind the current block lies below, or nil if there
// is no such record.
func (r *Reader) bound() []byte {
	switch {
	case r.next == r.end:
		return r.hi
	case len(r.ix.Blocks[r.next].FirstKey) == 0: // and may be nil
		return []byte{}
	}
	return r.ix.Blocks[r.next].FirstKey
}

// marked is a place in a block to come back to.
type marked struct {
	parser parser // without its buffer
	key    []byte
	spent  bool // the block has no more records
}

// mark remembers the current record.
func (r *Reader) mark() {
	m := &r.marked
	m.parser, m.key, m.spent = r.block, append(m.key[:0], r.block.key...), false
}

// rewind goes back to the record that was marked, whose block is still the current one.
func (r *Reader) rewind() {
	m := &r.marked
	buf := append(r.block.keyBuf[:0], m.key...)
	r.block = m.parser
	r.block.keyBuf, r.block.key, m.spent = buf, buf, false
}

// gather adds the records below b's limit, which is not above r.bound, to b, from the
// current one on, and steps to the next, or to the end of the block.
func (r *Reader) gather(b *collect.Batch) {
	p := &r.block
	for b.Add(p.key, p.value) {
		p.gatherShort(b)
		if !p.next() {
			r.marked.spent = true
			return
		}
	}
}

// settle makes what gather has stepped to the current record, and returns false at the end.
func (r *Reader) settle() bool {
	if r.marked.spent {
		return r.Next()
	}
	if r.hi != nil && r.next > r.hiFrom && bytes.Compare(r.block.key, r.hi) >= 0 {
		r.finish()
		return false
	}
	return true
}

// gatherShort adds the records that follow to b, as long as they are below its limit and their
// keys and values short. Their keys are put together in two registers: to write a key and
// read it again at once holds up the processor.
func (p *parser) gatherShort(b *collect.Batch) {
	const window, value = 16, 4
	n := uint64(len(p.keyBuf))
	if n > window {
		return
	}
	key := p.keyBuf[:window]
	clear(key[n:])
	hi, mid := binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:])
	rest, left := p.rest, p.left
	for ; left > 0 && len(rest) >= 24; left-- {
		in := (*[24]byte)(rest)
		shared, tail := uint64(in[0]>>4), uint64(in[0]&15)
		size := uint64(in[1+tail])
		if shared > n || shared == 15 || tail == 15 || shared+tail > window || size > value {
			break
		}
		x := binary.BigEndian.Uint64(in[1:]) &^ (^uint64(0) >> (8 * tail))
		y := binary.BigEndian.Uint64(in[9:]) &^ (^uint64(0) >> (8*max(tail, 8) - 64))
		// Shifts by 64 and more give 0, and so do those whose negative count wraps.
		s := 8 * shared
		hi0 := hi&^(^uint64(0)>>s) | x>>s
		mid0 := mid&^(^uint64(0)>>(max(s, 64)-64)) | y>>s | x<<(64-s) | x>>(s-64)
		v := binary.LittleEndian.Uint32(in[2+tail:]) & uint32(1<<(8*size)-1)
		if !b.AddShort(hi0, mid0, uint8(shared+tail), v, uint8(size)) {
			break
		}
		hi, mid, n = hi0, mid0, shared+tail
		rest = rest[2+tail+size:]
	}
	binary.BigEndian.PutUint64(key, hi)
	binary.BigEndian.PutUint64(key[8:], mid)
	p.keyBuf = key[:n]
	p.rest, p.left = rest, left
}
