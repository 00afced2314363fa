package input

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/mrd-io/mr"
)

const (
	// tail is how many bytes before a record's end its hash covers at most, so that a record
	// can be hashed without knowing where it began.
	tail = 4 << 10
	// sight is how many bytes the hash of a shorter fixed record covers, those of the records
	// before it: a few bytes have too few values to tell records apart.
	sight = 64
)

// scan looks for marks in a plain file. It is shared by the goroutines of one Cut.
type scan struct {
	dev    device
	fd     int
	file   File
	format mr.Format
	reach  int64
}

// segment returns the marks in (a, b].
func (s *scan) segment(ctx context.Context, a, b int64) ([]mark, error) {
	size := s.file.Stamp.Size
	// Record ends within reach of the segment compete, and each needs its tail.
	lo, hi := max(a-s.reach, 0), min(b+s.reach, size)
	buf := buffers.get(tail + line + chunk)
	defer buffers.put(buf)
	m := minima{reach: s.reach, from: a, to: min(b, size-1), high: make([]mark, 0, 2<<10), low: -s.reach}
	held := 0 // bytes before what is read next that were read already
	for off := max(lo-tail, 0); off < hi; {
		n := int(min(chunk, hi-off))
		base := tail + int(off%line) // as in the file, see loader.align
		if err := s.read(ctx, buf[base:base+n], off); err != nil {
			return nil, err
		}
		first := off - int64(held) // the offset of data[0]
		data := buf[base-held : base+n]
		if s.format.Kind == mr.Fixed {
			held = s.records(&m, data, first, max(lo, off))
		} else {
			held = s.lines(&m, data, held, first, lo)
		}
		off += int64(n)
		base = tail + int(off%line)
		copy(buf[base-held:base], data[len(data)-held:])
	}
	m.finish()
	return m.marks, nil
}

// lines adds the lines that end in data[from:], beyond lo, and returns how many of the last bytes
// belong to the next line's tail.
func (s *scan) lines(m *minima, data []byte, from int, first, lo int64) int {
	begin := 0
	for {
		i := bytes.IndexByte(data[from:], '\n')
		if i < 0 {
			return min(len(data)-begin, tail)
		}
		end := from + i
		if at := first + int64(end) + 1; at > lo {
			m.add(mark{at, hashRecord(data[max(begin, end-tail):end])})
		}
		begin, from = end+1, end+1
	}
}

// records adds the fixed records that end behind the offset after, and returns how many of the
// last bytes the next record may need.
func (s *scan) records(m *minima, data []byte, first, after int64) int {
	n := int64(s.format.N)
	window := int(min(max(n, sight), tail))
	for at := (after/n + 1) * n; at <= first+int64(len(data)); at += n {
		end := int(at - first)
		m.add(mark{at, hashRecord(data[max(end-window, 0):end])})
	}
	return min(len(data), tail)
}

// read fills b from off on.
func (s *scan) read(ctx context.Context, b []byte, off int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for len(b) > 0 {
		n, err := s.dev.read(s.fd, b, off)
		if err != nil {
			return errRead(s.file.Path, off, err)
		}
		if n == 0 {
			return errChanged(s.file.Path, fmt.Sprintf("it ends at offset %d", off))
		}
		b, off = b[n:], off+int64(n)
	}
	return nil
}

// minima picks from record ends in order those that no other within reach beats.
type minima struct {
	reach    int64
	from, to int64 // marks in (from, to] are kept
	marks    []mark
	// window holds the ends within reach of the last one that beat all between
	// themselves and it, in order: hashes do not fall. window[0] is at head.
	window []mark
	head   int
	// candidate was beaten by none so far; its reach is not yet over if open.
	candidate mark
	open      bool
	// high are the ends since low, the last one with a low hash. Most ends are passed over
	// between two low ones without a look at the window.
	high []mark
	low  int64
}

// rare is the bound of low hashes, one in 64.
const rare = 1 << 58

// add takes the next record end. The ends between two low ones that are less than a reach
// apart are beaten by both, and beat none that those don't.
func (w *minima) add(m mark) {
	switch {
	case m.hash >= rare:
		if w.high = append(w.high, m); len(w.high) == cap(w.high) {
			w.flush()
		}
		return
	case m.end-w.low >= w.reach:
		w.flush()
	}
	w.high, w.low = w.high[:0], m.end
	w.compete(m)
}

func (w *minima) flush() {
	for _, m := range w.high {
		w.compete(m)
	}
	w.high = w.high[:0]
}

func (w *minima) compete(m mark) {
	if w.open && m.end-w.candidate.end >= w.reach {
		w.close()
	}
	for n := len(w.window); n > w.head && m.hash < w.window[n-1].hash; n-- {
		w.window = w.window[:n-1]
	}
	for w.head < len(w.window) && m.end-w.window[w.head].end >= w.reach {
		w.head++
	}
	if w.head == len(w.window) {
		w.window, w.head = w.window[:0], 0
		w.candidate, w.open = m, true
	} else if w.head > 1<<10 {
		w.window = append(w.window[:0], w.window[w.head:]...)
		w.head = 0
	}
	w.window = append(w.window, m)
}

// close takes the candidate, whose reach is over.
func (w *minima) close() {
	w.open = false
	if c := w.candidate; c.end > w.from && c.end <= w.to {
		w.marks = append(w.marks, c)
	}
}

// finish ends the records: what lies beyond the file's end beats nobody.
func (w *minima) finish() {
	w.flush()
	if w.open {
		w.close()
	}
}

// hashRecord hashes a record's bytes, 16 at a time by a full product. The cuts, and so what
// hits in the cache, depend on it: it must not change but with cutsVersion.
func hashRecord(b []byte) uint64 {
	const k0, k1, k2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93, 0xa0761d6478bd642f
	h := uint64(len(b)) ^ k0
	for ; len(b) > 16; b = b[16:] {
		h = fold(binary.LittleEndian.Uint64(b)^k1, binary.LittleEndian.Uint64(b[8:])^h)
	}
	var x, y uint64
	switch n := len(b); {
	case n >= 8:
		x, y = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		x, y = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		x, y = uint64(b[0])|uint64(b[n/2])<<8, uint64(b[n-1])
	}
	return fold(fold(x^k1, y^h), k2)
}

// fold multiplies and adds both halves of the product.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
