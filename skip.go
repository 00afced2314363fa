package mr

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"
)

// This file is how a map task does without records on which the mapper fails, where that
// was asked for (Spec.SkipBadRecords). A record that is skipped leaves nothing behind: what the
// mapper emits and counts for it is held back until it has returned.
//
// Running the task again without the record would need no holding back; but each bad record
// would then cost all that came before it.

// BadRecord is a record of the input that was skipped.
type BadRecord struct {
	Path   string // its file
	Offset int64  // of its first byte in the (decompressed) file
	Length int64  // without its line end; 0: not known, since it is longer than the limit, and than 4 KiB
	Reason string // the mapper's error or panic, or what the input format misses; its beginning
	Data   []byte // the record's beginning
}

// badShown bounds Reason and Data: the file, the offset and the length lead to the rest.
const badShown = 1 << 10

// NewBadRecord makes a BadRecord with memory of its own.
func NewBadRecord(path string, off, length int64, data []byte, reason string) BadRecord {
	return BadRecord{
		Path: path, Offset: off, Length: length,
		Reason: strings.ToValidUTF8(reason[:min(len(reason), badShown)], ""),
		Data:   bytes.Clone(data[:min(len(data), badShown)]),
	}
}

// heldLimit is how much a mapper may emit for one record that is held back, if the task's
// memory is not larger.
const heldLimit = 8 << 20

var errHeldTooMuch = errors.New("more is emitted for one record than can be held back until it is known to be good; raise --memory, or run without --skip-bad-records")

// held is what a mapper has emitted for the current record.
type held[V any] struct {
	limit  int
	open   bool   // the mapper is at a record
	n      int    // pairs
	bytes  []byte // keys and, unless vals has them, values
	ends   []int  // of each of them in bytes
	vals   []V    // for a Table, which takes values as they are
	err    error  // the pairs can't be rendered, or are too much
	beside int    // bytes counted for vals
}

func (h *held[V]) add(b []byte) {
	h.bytes = append(h.bytes, b...)
	h.ends = append(h.ends, len(h.bytes))
}

func (h *held[V]) reset() {
	clear(h.vals)
	h.n, h.bytes, h.ends, h.vals, h.err, h.beside = 0, h.bytes[:0], h.ends[:0], h.vals[:0], nil, 0
}

// hold is emit for a task that skips. What is emitted while the mapper is at no record, as by a Cleanup
// with the emit of a record before, is not to be taken back.
func (e *emitter[K, V]) hold(k K, v V) {
	h := e.held
	switch {
	case !h.open:
		e.pass(k, v)
		return
	case h.err != nil:
		return
	}
	e.alone.enter()
	defer e.alone.leave()
	h.n++
	switch {
	case e.table != nil:
		h.add(e.encode(&k))
		h.vals = append(h.vals, e.value.OwnAll(v))
		h.beside += int(unsafe.Sizeof(v))
		if c, ok := e.value.forTable().(sizedCodec[V]); ok {
			h.beside += c.Size(v)
		}
	case e.buffer != nil:
		h.add(e.encode(&k))
		e.vbuf = e.value.Append(e.vbuf[:0], v)
		h.add(e.vbuf)
	default:
		key, value, err := e.text.render(&k, &v)
		if err != nil {
			h.err = err
			return
		}
		h.add(key)
		h.add(value)
	}
	if len(h.bytes)+8*len(h.ends)+h.beside > h.limit {
		h.err = errHeldTooMuch
	}
}

// release lets what was held back go where the job wants it.
func (e *emitter[K, V]) release() {
	h := e.held
	at, from := 0, 0
	next := func() []byte {
		b := h.bytes[from:h.ends[at]]
		at, from = at+1, h.ends[at]
		return b
	}
	for i := range h.n {
		key := next()
		switch {
		case e.table != nil:
			e.table.Add(key, h.vals[i])
		case e.buffer != nil:
			e.buffer.Add(key, next())
		default:
			value := next()
			if e.err == nil {
				e.err = e.text.out.Record(key, value)
			}
		}
	}
	e.n += int64(h.n)
	h.reset()
}

// skipper is what a map task that skips has beside the others.
type skipper struct {
	report func(BadRecord) error
	head   []byte // of the current record, as it was before the mapper saw it
	block  []byte // a copy of the current block, for block mappers to change
}

// careful makes a mapper skip the records that it fails on.
func (m *mapTask[I, K, V]) careful(each func(*Task, I, Emit[K, V]) error) func(*Task, I, Emit[K, V]) error {
	return func(_ *Task, record I, _ Emit[K, V]) error {
		s := m.skip
		s.head = append(s.head[:0], record[:min(len(record), badShown)]...)
		if err := m.attempt(each, record); err != nil {
			return m.skipped(err, len(record))
		}
		return nil
	}
}

// carefulBlock does the same for a mapper of blocks: a block on which it fails is given to
// it once more, record by record.
func (m *mapTask[I, K, V]) carefulBlock(f func(*Task, []byte, Emit[K, V]) error) func(*Task, []byte, Emit[K, V]) error {
	each := func(t *Task, b I, emit Emit[K, V]) error { return f(t, []byte(b), emit) } // I is []byte: no copy
	return func(_ *Task, block []byte, _ Emit[K, V]) error {
		s := m.skip
		s.block = append(s.block[:0], block...)
		err := m.attempt(each, asInput[I](s.block))
		if err == nil || m.emitter.err != nil {
			return err
		}
		starts := []int{}
		for at := range Records(m.format, block) {
			starts = append(starts, at)
		}
		starts = append(starts, len(block))
		i := 0
		for at, record := range Records(m.format, block) {
			m.task.pos = at
			s.head = append(s.head[:0], record[:min(len(record), badShown)]...)
			i++
			err := m.attempt(each, asInput[I](block[at:starts[i]:starts[i]]))
			if err != nil {
				err = m.skipped(err, len(record))
			}
			if err == nil {
				err = m.emitter.err
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// attempt calls the mapper. After an error nothing of the call is left.
func (m *mapTask[I, K, V]) attempt(each func(*Task, I, Emit[K, V]) error, record I) error {
	m.emitter.held.reset()
	m.emitter.held.open = true
	m.task.mark()
	err := m.caught(each, record)
	m.emitter.held.open = false
	if err == nil {
		err = m.emitter.held.err
	}
	if err != nil {
		m.task.unmark()
		m.emitter.held.reset()
		return err
	}
	m.emitter.release()
	return nil
}

// caught turns a panic of the mapper into an error. One of this package's own says that the
// job is used wrongly, which no record is to blame for.
func (m *mapTask[I, K, V]) caught(each func(*Task, I, Emit[K, V]) error, record I) (err error) {
	defer func() {
		r := recover()
		if e, ok := r.(*Error); ok {
			panic(e)
		}
		if r != nil {
			err = fmt.Errorf("panic: %v%s", r, panicPlace())
		}
	}()
	return each(m.task, record, m.emit)
}

// skipped reports the current record as bad, unless err is not about the record.
func (m *mapTask[I, K, V]) skipped(err error, length int) error {
	if errors.Is(err, errHeldTooMuch) {
		return err
	}
	b := m.task.block
	return m.skip.report(NewBadRecord(b.Path, b.Off+int64(m.task.pos), int64(length), m.skip.head, err.Error()))
}

// panicPlace is where the panic that is being recovered began, in the author's code. It is
// without what differs from run to run.
func panicPlace() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf(" (%s:%d)", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}

// marked is a counter as it was before the current record.
type marked struct {
	c *Counter
	n int64
}

// mark remembers the counters; unmark brings them back. A counter that is new since stays,
// since its owner may keep it, and is 0.
func (t *Task) mark() {
	t.marks = t.marks[:0]
	for _, c := range t.counters {
		t.marks = append(t.marks, marked{c, c.Value})
	}
}

func (t *Task) unmark() {
	for _, c := range t.counters {
		c.Value = 0
	}
	for _, m := range t.marks {
		m.c.Value = m.n
	}
}
