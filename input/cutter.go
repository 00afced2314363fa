package input

import (
	"bytes"
	"fmt"
	"io"

	"github.com/mrd-io/mr"
)

// cutter cuts the decoded bytes of one piece into blocks of whole records. Where blocks end
// depends on those bytes and the format alone, not on how they were read.
type cutter struct {
	path   string
	format mr.Format
	limit  int64
	skip   func(mr.BadRecord) error // see Options; nil: bad records are errors
	off    int64                    // decoded offset of the next block
	last   bool                     // the piece ends at the end of its file
	done   bool                     // the piece's last block was handed out

	passing *passing // a bad record whose end was not seen yet
}

// whole returns how many bytes of data are the whole records of one block, 0 if more bytes
// are needed to see the end of the first. final: no bytes follow.
func (c *cutter) whole(data []byte, final bool) (int, error) {
	switch c.format.Kind {
	case mr.Whole:
		if int64(len(data)) > c.limit {
			return 0, badRecord{errLarge(c.path, c.limit), fmt.Sprintf("the file is longer than %d bytes", c.limit)}
		}
		if final {
			return len(data), nil
		}
		return 0, nil
	case mr.Fixed:
		n := c.format.N
		if final && len(data) < n && len(data) > 0 {
			return 0, badRecord{errTorn(c.path, c.off, int64(len(data)), n), fmt.Sprintf("torn: %d bytes of %d", len(data), n)}
		}
		if len(data) > block {
			data = data[:min(max(block, n), len(data))]
		}
		return len(data) / n * n, nil
	}
	return c.text(data, final)
}

func (c *cutter) text(data []byte, final bool) (int, error) {
	n := len(data)
	if !final || n > block {
		window := data[:min(n, block)]
		n = bytes.LastIndexByte(window, '\n') + 1
		if n == 0 {
			i := bytes.IndexByte(data[len(window):], '\n')
			switch {
			case i >= 0:
				n = len(window) + i + 1
			case final:
				n = len(data)
			}
		}
	}
	long := data[:n]
	if n == 0 {
		long = data
	}
	if i := longLine(long, c.limit); i > 0 && c.skip != nil {
		return i, nil // the lines before it
	} else if i >= 0 {
		return 0, badRecord{errLong(c.path, c.off+int64(i), c.limit), fmt.Sprintf("the line is longer than %d bytes", c.limit)}
	}
	return n, nil
}

// longLine returns where a line that is longer than limit (without its LF) begins in data,
// or -1. It leaps from the last LF within limit bytes to the next, so it looks at a few
// bytes of each limit.
func longLine(data []byte, limit int64) int {
	at := 0
	for int64(len(data)-at) > limit {
		i := bytes.LastIndexByte(data[at:at+int(limit)+1], '\n')
		if i < 0 {
			return at
		}
		at += i + 1
	}
	return -1
}

// emit makes the block of data, which the piece's bytes end with if final.
func (c *cutter) emit(data []byte, final bool) mr.Block {
	b := mr.Block{Data: data, Path: c.path, Off: c.off, Last: final && c.last}
	c.off += int64(len(data))
	c.done = final
	return b
}

// empty reports whether a piece without any bytes left to hand out is at its end: only
// an empty file of the whole format is a record nevertheless.
func (c *cutter) empty() bool {
	return c.done || c.format.Kind != mr.Whole
}

// memory hands out plain bytes that are in memory, without copying them.
type memory struct {
	cutter
	data []byte
}

func (m *memory) next() (mr.Block, error) {
	for {
		if len(m.data) == 0 && m.empty() {
			return mr.Block{}, io.EOF
		}
		n, err := m.whole(m.data, true)
		if err == nil {
			data := m.data[:n:n]
			m.data = m.data[n:]
			return m.emit(data, len(m.data) == 0), nil
		}
		if n, err = m.pass(err, m.data, true); err != nil {
			return mr.Block{}, err
		}
		m.data = m.data[n:]
	}
}

// stream hands out what a reader gives, in a buffer that grows to the longest record.
type stream struct {
	cutter
	r       io.Reader
	explain func(off int64, err error) error // of the reader's errors; nil: they are the user's already
	buf     []byte
	lo, hi  int // buf[lo:hi] was read and not handed out
	eof     bool
}

// begin makes s ready for a piece; its buffer is kept.
func (s *stream) begin(c cutter, r io.Reader, explain func(int64, error) error) {
	*s = stream{cutter: c, r: r, explain: explain, buf: s.buf}
}

func (s *stream) next() (mr.Block, error) {
	if s.done {
		return mr.Block{}, io.EOF
	}
	for want := block; ; {
		if err := s.fill(want); err != nil {
			return mr.Block{}, err
		}
		// One byte is held back until the end is seen, so that the last block knows it is.
		data := s.buf[s.lo:s.hi]
		if !s.eof {
			data = data[:len(data)-1]
		}
		if len(data) == 0 && s.empty() {
			return mr.Block{}, io.EOF
		}
		n, err := s.whole(data, s.eof)
		if err != nil {
			if err = s.leave(err); err != nil {
				return mr.Block{}, err
			}
			want = block
			continue
		}
		if n > 0 || s.eof {
			data = data[:n:n]
			s.lo += n
			return s.emit(data, s.eof && s.lo == s.hi), nil
		}
		want = 2 * len(data)
		if s.format.Kind != mr.Fixed && int64(want) > s.limit {
			want = int(s.limit) + 1 // more would be too long in any case
		}
	}
}

// leave passes over a bad record, which is the first in the buffer, however long it is.
func (s *stream) leave(bad error) error {
	for {
		data := s.buf[s.lo:s.hi]
		if !s.eof {
			data = data[:len(data)-1]
		}
		n, err := s.pass(bad, data, s.eof)
		if err != nil {
			return err
		}
		s.lo += n
		if s.passing == nil {
			return nil
		}
		if err := s.fill(block); err != nil {
			return err
		}
	}
}

// fill reads until more than want bytes, or all there are, are in the buffer.
func (s *stream) fill(want int) error {
	if s.eof || s.hi-s.lo > want {
		return nil
	}
	front := int(s.off % line) // as in the file, see loader.align
	if front+want+chunk > len(s.buf) {
		b := buffers.get(int64(line + want + chunk))
		s.hi = front + copy(b[front:], s.buf[s.lo:s.hi])
		buffers.put(s.buf)
		s.buf, s.lo = b, front
	} else if s.lo != front {
		s.hi = front + copy(s.buf[front:], s.buf[s.lo:s.hi])
		s.lo = front
	}
	for empty := 0; s.hi-s.lo <= want; {
		n, err := s.r.Read(s.buf[s.hi:])
		s.hi += n
		if err == io.EOF {
			s.eof = true
			return nil
		}
		if empty++; n > 0 {
			empty = 0
		}
		if err == nil && empty > 100 {
			err = io.ErrNoProgress
		}
		if err != nil {
			if s.explain != nil {
				err = s.explain(s.off+int64(s.hi-s.lo), err)
			}
			return err
		}
	}
	return nil
}

// close gives the buffer back, and with it the last block.
func (s *stream) close() {
	buffers.put(s.buf)
	*s = stream{}
}
