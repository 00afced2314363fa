package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/collect"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// cursorReader is a cursor as a RecordReader. It remembers the cursor's error.
type cursorReader struct {
	c       collect.Cursor
	err     error
	records int64
	passed  atomic.Int64  // what read has returned a little earlier, less before; anybody may ask for it
	quiet   int           // what may be read before passed is due
	took    time.Duration // by steps of the cursor, an estimate

	// Of runs that are folded in a tree.
	levels *plan.Levels // nil: they are not
	place  func() int   // of the current record's run
	last   int          // the place of the record before

	counts bool  // values are signed varints: see positive
	odd    bool  // one of them is no small positive one
	before int64 // records that earlier passes have added into others

	enough func() bool // asked now and then: true ends the records; may be nil
}

const (
	everySo   = 1 << 12 // records between two questions
	quietMost = 64      // records, or KiB, between two numbers in passed
)

func (r *cursorReader) Next() (key, value []byte, err error) {
	if r.records&(everySo-1) == 0 && r.enough != nil && r.enough() {
		return nil, nil, io.EOF
	}
	if r.step() {
		r.records++
		key, value = r.c.Key(), r.c.Value()
		if r.quiet -= 1 + (len(key)+len(value))>>10; r.quiet < 0 {
			r.quiet = quietMost
			r.passed.Store(r.read() - r.before)
		}
		if r.counts && !small(value) {
			r.odd = true
		}
		return key, value, nil
	}
	if r.err = r.c.Err(); r.err != nil {
		return nil, nil, r.err
	}
	return nil, nil, io.EOF
}

// timedEvery is how many steps of a cursor pass for one whose time is taken.
const timedEvery = 61

// step steps the cursor.
func (r *cursorReader) step() bool {
	if r.records%timedEvery != 0 {
		return r.c.Next()
	}
	start := time.Now()
	ok := r.c.Next()
	took := time.Since(start)
	if r.records > 0 { // the first step opens the runs
		took *= timedEvery
	}
	r.took += took
	return ok
}

// merging returns how long stepping the cursor took, about.
func (r *cursorReader) merging() time.Duration {
	if exact, ok := run.Took(r.c); ok {
		return exact
	}
	return r.took
}

// read returns how many records were read, with those that the merge has added up.
func (r *cursorReader) read() int64 { return r.records + r.added() }

// added returns how many records were added into others before they came out of the cursor.
func (r *cursorReader) added() int64 { return r.before + run.Added(r.c) }

// small reports whether v is a signed varint from 1 to 1<<34 - 1.
func small(v []byte) bool {
	return len(v) > 0 && len(v) <= 5 && v[0]&1 == 0 && (v[0] != 0 || len(v) > 1)
}

// mostPositive is a number of records whose values, if they are small, add up to less than 1<<62.
const mostPositive = 1 << 28

// positive reports whether all records that were read had positive values, and the sum of them
// all is far from what 64 bits can hold.
func (r *cursorReader) positive() bool {
	return r.counts && !r.odd && run.Positive(r.c) && r.read() < mostPositive
}

// reader is r, as a TreeReader only if there is a tree.
func (r *cursorReader) reader() mr.RecordReader {
	if r.levels == nil {
		return r
	}
	return &treeReader{cursorReader: r}
}

// treeReader tells the levels of records.
type treeReader struct {
	*cursorReader
	level int
}

var _ mr.TreeReader = (*treeReader)(nil)

func (r *treeReader) Next() (key, value []byte, err error) {
	key, value, err = r.cursorReader.Next()
	if err == nil {
		at := r.place()
		r.level = 0
		if at > r.last { // else it is another key's
			r.level = int(r.levels.Between(r.last, at))
		}
		r.last = at
	}
	return key, value, err
}

func (r *treeReader) Level() int { return r.level }

// source is something to merge: a run, or a spilled merge of several.
type source struct {
	cursor collect.Cursor
	reader *run.Reader
	memory int64      // bytes its reader needs
	place  func() int // in the tree, of its current record; nil: there is no tree
}

// merged merges runs within the attempt's memory. When their readers would need more,
// neighbours are merged into temporary runs first, in as many passes as it takes: the order
// of equal keys is that of the runs, so only neighbours may be joined. Sums are added up on
// the way.
func (m *openedRuns) merged(a *attempt, runs []*openedRun, dir string) (*cursorReader, error) {
	var srcs []source
	for _, o := range runs {
		o.reader = run.NewReader(o.src, o.ix, m.r.Lo, m.r.Hi)
		src := source{cursor: o.reader, reader: o.reader, memory: o.ix.ReaderMemory()}
		if m.levels != nil {
			src.place = func() int { return o.at }
		}
		srcs = append(srcs, src)
	}
	in := &cursorReader{levels: m.levels, counts: m.sums}
	budget := max(a.work.Memory*3/4, 8<<20)
	for {
		groups := neighbourhoods(srcs, budget)
		if len(groups) <= 1 {
			m.readAhead(srcs, budget)
			s := mergeOf(srcs, m.sums)
			in.c, in.place = s.cursor, s.place
			return in, nil
		}
		spilled, err := newSpill(dir)
		if err != nil {
			return nil, err
		}
		m.spills = append(m.spills, spilled)
		srcs = nil
		for _, g := range groups {
			m.readAhead(g, budget)
			s := mergeOf(g, m.sums)
			c := s.cursor
			sums := &adding{Cursor: c}
			switch {
			case m.sums:
				c = sums
			case m.levels != nil:
				c = &tagging{Cursor: c, place: s.place}
			}
			r, err := spilled.add(a.ctx, c)
			if err != nil {
				return nil, err
			}
			in.before += sums.added + run.Added(s.cursor)
			in.odd = in.odd || sums.odd || !run.Positive(s.cursor)
			reader := run.NewReader(r, r.ix, nil, nil)
			s = source{cursor: reader, reader: reader, memory: r.ix.ReaderMemory()}
			if m.levels != nil {
				p := &tagged{Cursor: s.cursor}
				s.cursor, s.place = p, func() int { return p.at }
			}
			srcs = append(srcs, s)
		}
	}
}

// aheadMost is how many bytes of blocks are read ahead of a merge: enough for a slow disk to
// have several requests at a time.
const aheadMost = 8 << 20

// readAhead reads the blocks of srcs in the background, in what memory their readers leave.
func (m *openedRuns) readAhead(srcs []source, budget int64) {
	rs := make([]*run.Reader, len(srcs))
	for i, s := range srcs {
		rs[i] = s.reader
		budget -= s.memory
	}
	if budget > 0 {
		m.aheads = append(m.aheads, run.ReadAhead(rs, min(budget, aheadMost)))
	}
}

func mergeOf(srcs []source, sums bool) source {
	if len(srcs) == 1 {
		return srcs[0]
	}
	cs := make([]collect.Cursor, len(srcs))
	for i, s := range srcs {
		cs[i] = s.cursor
	}
	if len(srcs) == 0 || srcs[0].place == nil {
		return source{cursor: run.Merge(cs, sums)}
	}
	c := collect.Merge(cs)
	return source{cursor: c, place: func() int { return srcs[collect.Source(c)].place() }}
}

// neighbourhoods cuts srcs into groups whose readers fit into budget together, of at
// least two each but the last.
func neighbourhoods(srcs []source, budget int64) (gs [][]source) {
	start, sum := 0, int64(0)
	for i, s := range srcs {
		if i-start >= 2 && sum+s.memory > budget {
			gs = append(gs, srcs[start:i])
			start, sum = i, 0
		}
		sum += s.memory
	}
	return append(gs, srcs[start:])
}

// adding adds up the values of records of one key, which are signed varints.
type adding struct {
	collect.Cursor
	begun, more bool // the cursor has been stepped; it is at a record that is still to come
	key, value  []byte
	added       int64 // records that were added into others
	odd         bool  // not all of these, and what they were added to, are small
}

func (p *adding) Next() bool {
	if !p.begun {
		p.begun, p.more = true, p.Cursor.Next()
	}
	if !p.more {
		return false
	}
	p.key = append(p.key[:0], p.Cursor.Key()...)
	p.value = append(p.value[:0], p.Cursor.Value()...)
	if p.more = p.Cursor.Next(); !p.more || !bytes.Equal(p.Cursor.Key(), p.key) {
		return true
	}
	sum, ok := varint(p.value)
	if !ok {
		return true // and let who reads the sums say so
	}
	p.odd = p.odd || !small(p.value)
	for p.more && bytes.Equal(p.Cursor.Key(), p.key) {
		v, ok := varint(p.Cursor.Value())
		if !ok {
			break
		}
		p.odd = p.odd || !small(p.Cursor.Value())
		sum += v
		p.added++
		p.more = p.Cursor.Next()
	}
	p.value = binary.AppendVarint(p.value[:0], sum)
	return true
}

func (p *adding) Key() []byte   { return p.key }
func (p *adding) Value() []byte { return p.value }

// varint decodes all of b.
func varint(b []byte) (int64, bool) {
	v, n := binary.Varint(b)
	return v, n > 0 && n == len(b)
}

// tagging puts the place of each record in front of its value, for a spill.
type tagging struct {
	collect.Cursor
	place func() int
	value []byte
}

func (p *tagging) Value() []byte {
	p.value = append(binary.AppendUvarint(p.value[:0], uint64(p.place())), p.Cursor.Value()...)
	return p.value
}

// tagged reads what tagging has written.
type tagged struct {
	collect.Cursor
	at    int
	value []byte
	err   error
}

var errPlace = errors.New("a spilled record lacks its place")

func (p *tagged) Next() bool {
	if !p.Cursor.Next() {
		return false
	}
	v := p.Cursor.Value()
	at, n := binary.Uvarint(v)
	if n <= 0 {
		p.err = errPlace
		return false
	}
	p.at, p.value = int(at), v[n:]
	return true
}

func (p *tagged) Value() []byte { return p.value }

func (p *tagged) Err() error {
	if p.err != nil {
		return p.err
	}
	return p.Cursor.Err()
}
