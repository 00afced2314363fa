package collect

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// spill is a temporary file of sorted segments. Its name is removed as soon as it
// is open, so that no way of ending the process leaves it behind.
//
// A segment is a row of frames of about 64 KiB, each holding whole records. Where
// frames lie and their checksums stay in memory: nobody but this process reads
// the file.
type spill struct {
	dir   string
	file  *os.File
	size  int64 // bytes written so far
	frame []byte
}

type segment struct {
	off    int64
	frames []frame
}

type frame struct {
	size uint32
	sum  uint32 // crc32c
}

const (
	frameLen  = 64 << 10
	minFanIn  = 8
	maxFanIn  = 512
	maxRecord = 1<<32 - 1<<20 // a frame's size has 32 bits
)

// errFrame says that a temporary file's bytes are not those written.
var errFrame = errors.New("bytes changed since they were written")

// write appends the records of sorted entries as a segment.
func (s *spill) write(entries []entry, a *arena) (segment, error) {
	return s.copy(&memoryCursor{entries: entries, arena: a})
}

// copy appends all records of c as a segment.
func (s *spill) copy(c Cursor) (segment, error) {
	if err := s.open(); err != nil {
		return segment{}, err
	}
	seg := segment{off: s.size}
	for c.Next() {
		key, value := c.Key(), c.Value()
		n := recordSize(len(key), len(value))
		if len(s.frame) > 0 && len(s.frame)+n > frameLen {
			if err := s.flush(&seg); err != nil {
				return seg, err
			}
		}
		s.frame = appendRecord(s.frame, key, value)
	}
	if err := c.Err(); err != nil {
		return seg, err
	}
	return seg, s.flush(&seg)
}

func appendRecord(dst, key, value []byte) []byte {
	var n [20]byte
	dst = append(dst, n[:putLengths(n[:], len(key), len(value))]...)
	dst = append(dst, key...)
	return append(dst, value...)
}

func (s *spill) flush(seg *segment) error {
	if len(s.frame) == 0 {
		return nil
	}
	if _, err := s.file.Write(s.frame); err != nil {
		return spillError(s.dir, err)
	}
	seg.frames = append(seg.frames, frame{uint32(len(s.frame)), crc32.Checksum(s.frame, castagnoli())})
	s.size += int64(len(s.frame))
	if s.frame = s.frame[:0]; cap(s.frame) > 4*frameLen {
		s.frame = nil
	}
	return nil
}

func (s *spill) open() error {
	if s.file != nil {
		return nil
	}
	if s.dir == "" {
		s.dir = os.TempDir()
	}
	f, err := os.CreateTemp(s.dir, "collect-")
	if err != nil {
		return spillError(s.dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return spillError(s.dir, err)
	}
	s.file = f
	return nil
}

// close gives the file's space back.
func (s *spill) close() {
	if s.file != nil {
		s.file.Close() // unlinked: nothing written can matter any more
		s.file = nil
	}
	s.frame = nil
}

// compact merges neighbouring segments until a merge of all fits in memory with a
// frame each. Neighbours only, and without combining: the order of equal keys
// stays, and so does the result.
func (s *spill) compact(segs []segment, memory int64) ([]segment, error) {
	fanIn := int(min(max(memory/frameLen, minFanIn), maxFanIn))
	for len(segs) > fanIn {
		var merged []segment
		for len(segs) > 0 {
			n := min(fanIn, len(segs))
			cs := make([]Cursor, n)
			for i, seg := range segs[:n] {
				cs[i] = s.cursor(seg)
			}
			seg, err := s.copy(Merge(cs))
			if err != nil {
				return nil, err
			}
			merged = append(merged, seg)
			segs = segs[n:]
		}
		segs = merged
	}
	return segs, nil
}

func (s *spill) cursor(seg segment) Cursor {
	return &segmentCursor{spill: s, off: seg.off, frames: seg.frames}
}

// segmentCursor reads a segment, a frame at a time.
type segmentCursor struct {
	spill      *spill
	off        int64
	frames     []frame
	buf        []byte // the current frame
	rest       []byte // what of it is still to come
	key, value []byte
	err        error
}

func (c *segmentCursor) Next() bool {
	if len(c.rest) == 0 && !c.load() {
		return false
	}
	k, v, end := lengths(c.rest)
	c.key, c.value = c.rest[k:v:v], c.rest[v:end:end]
	c.rest = c.rest[end:]
	return true
}

func (c *segmentCursor) load() bool {
	if len(c.frames) == 0 || c.err != nil {
		return false
	}
	f := c.frames[0]
	if cap(c.buf) < int(f.size) || cap(c.buf) > 4*frameLen {
		c.buf = make([]byte, max(int(f.size), frameLen))
	}
	c.buf = c.buf[:f.size]
	n, err := c.spill.file.ReadAt(c.buf, c.off)
	if n < len(c.buf) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		c.err = spillError(c.spill.dir, err)
		return false
	}
	if crc32.Checksum(c.buf, castagnoli()) != f.sum {
		c.err = spillError(c.spill.dir, errFrame)
		return false
	}
	c.off += int64(f.size)
	c.frames = c.frames[1:]
	c.rest = c.buf
	return true
}

func (c *segmentCursor) Key() []byte   { return c.key }
func (c *segmentCursor) Value() []byte { return c.value }
func (c *segmentCursor) Err() error    { return c.err }

// castagnoli is the table of crc32c; the standard library makes it once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
