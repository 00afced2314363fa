package input

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"time"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// loader reads the pieces of one Load, in order.
type loader struct {
	l       *Loaded
	ctx     context.Context // of the one Load that owns the loader
	h       *blake3.Hasher  // of the current piece, unless fast is
	fast    fastPart        // of the current piece, if the digest may be recalled
	scratch []byte          // receives what is not kept
	used    int64           // bytes of l.buf
	fd      int
	path    string
	calmed  int64 // how far the file is calm; one that is not settled need not be
}

// piece reads and hashes one piece.
func (r *loader) piece(p *Piece) (err error) {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if p.Off < 0 || p.Stamp.Size < 0 {
		return fmt.Errorf("input: impossible piece %s", p)
	}
	r.path = p.Path
	if r.fd, err = r.l.dev.open(p.Path); err != nil {
		return errOpen(p.Path, err)
	}
	defer func() { _ = r.l.dev.close(r.fd) }() // only read from
	before, err := since(r.l.dev, r.fd, p.Path, p.Stamp)
	if err != nil {
		return err
	}
	r.begin()
	r.calmed = math.MaxInt64
	if p.Stamp.settled(time.Now()) {
		r.calmed = max(p.start()-1, 0)
		r.calm(p.end() + lineRead)
	}
	d := part{at: r.used}
	if p.whole() || r.l.o.Format.Kind != mr.Text {
		err = r.exact(p, &d)
	} else {
		err = r.lines(p, &d)
	}
	if err != nil {
		return err
	}
	if r.fast.h != nil {
		d.fast = r.fast.sum()
	} else {
		r.h.Sum(d.sum[:0])
	}
	d.last = d.off+d.size >= p.Stamp.Size
	r.l.parts = append(r.l.parts, d)
	after, err := since(r.l.dev, r.fd, p.Path, before)
	if err != nil || after == p.Stamp {
		return err
	}
	// The beginning of a log is a log. That of a compressed file or of a record is not.
	if d.codec != plainCodec || r.l.o.Format.Kind == mr.Whole {
		return errSize(p.Path, p.Stamp, after)
	}
	r.l.moved = true
	return nil
}

// calm makes the file calm up to the offset end, before it is read there.
func (r *loader) calm(end int64) {
	if end > r.calmed {
		r.l.dev.calm(r.fd, r.calmed, end-r.calmed)
		r.calmed = end
	}
}

// begin forgets the bytes of the piece before.
func (r *loader) begin() {
	if r.fast.h != nil {
		r.fast.h.Reset()
	} else {
		r.h.Reset()
	}
}

// align moves to where the bytes from off on can lie in memory as they lie in the file, seen from
// the lines of the processor's cache: the kernel copies them twice as fast then.
func (r *loader) align(off int64) {
	if r.l.kept {
		r.used += (off - r.used) & (line - 1)
	}
}

// next reads up to n bytes at off, behind what was read before if it is kept. The bytes
// count as used only when hold says so. Fewer than n bytes are read only at the file's end.
func (r *loader) next(off, n int64) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	var b []byte
	if r.l.kept {
		r.grow(r.used+n, off)
		b = r.l.buf[r.used:]
	} else {
		b = r.scratch[off%line:]
	}
	b = b[:n]
	r.calm(off + n)
	got := 0
	for got < len(b) {
		k, err := r.l.dev.read(r.fd, b[got:], off+int64(got))
		if err != nil {
			return nil, errRead(r.path, off+int64(got), err)
		}
		if k == 0 {
			break
		}
		got += k
	}
	r.l.read += int64(got)
	return b[:got], nil
}

// hold takes the bytes up to b[n] of what next returned.
func (r *loader) hold(n int) {
	if r.l.kept {
		r.used += int64(n)
	}
}

// grow makes room for n bytes in all before those at off are read: twice as many as before so that a long
// line costs its length, unless less than that is left of the only file.
func (r *loader) grow(n, off int64) {
	if n <= int64(len(r.l.buf)) {
		return
	}
	room := 2 * r.used
	if pieces := r.l.split.Pieces; len(pieces) == 1 && off < pieces[0].Stamp.Size {
		room = min(room, r.used+pieces[0].Stamp.Size-off+chunk)
	}
	b := buffers.get(max(n, room))
	copy(b, r.l.buf[:min(r.used, int64(len(r.l.buf)))])
	buffers.put(r.l.buf)
	r.l.buf = b
}

// exact reads the bytes of the nominal range: a whole file, or fixed records.
func (r *loader) exact(p *Piece, d *part) error {
	end := p.end()
	d.off = p.start()
	if p.Stamp.Size == 0 {
		return r.empty()
	}
	r.align(d.off)
	from := d.off // where the last line begins
	for off := d.off; off < end; {
		n := min(end-off, chunk)
		b, err := r.next(off, n)
		if err != nil {
			return err
		}
		if int64(len(b)) < n {
			return errChanged(p.Path, fmt.Sprintf("it ends at offset %d", off+int64(len(b))))
		}
		if off == 0 && p.whole() {
			d.codec = sniff(b[:min(len(b), sniffLen)])
			if d.codec == plainCodec && r.l.o.Format.Kind == mr.Whole && end > r.l.o.RecordLimit && r.l.o.Skip == nil {
				return errLarge(p.Path, r.l.o.RecordLimit) // before all of it is read
			}
		}
		if d.codec == plainCodec && r.l.o.Format.Kind == mr.Text {
			if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
				from = off + int64(i) + 1
			}
		}
		r.take(b, d, 0)
		off += n
	}
	switch {
	case d.codec != plainCodec:
		return nil
	case r.l.o.Format.Kind == mr.Fixed:
		return r.recordEnd(d, end)
	case r.l.o.Format.Kind == mr.Text && from < end:
		return r.lineEnd(p, d, end, from)
	}
	return nil
}

// recordEnd completes a fixed record that was torn at the planned end with what was appended
// since. If that is not all of it, whoever reads the records will say so.
func (r *loader) recordEnd(d *part, off int64) error {
	width := int64(r.l.o.Format.N)
	for missing := (width - d.size%width) % width; missing > 0; {
		n := min(missing, chunk)
		b, err := r.next(off, n)
		if err != nil {
			return err
		}
		r.take(b, d, 0)
		if int64(len(b)) < n {
			return nil
		}
		off, missing = off+n, missing-n
	}
	return nil
}

// empty makes sure that a file of no bytes has none: those of /proc and the like say so
// whatever they hold, and would be passed over in silence.
func (r *loader) empty() error {
	b, err := r.next(0, 1)
	if err != nil || len(b) == 0 {
		return err
	}
	now, _, err := r.l.dev.stat(r.fd) // it may have grown
	if err == nil && now.Size == 0 {
		err = mr.Errorf(mr.Failed, "%s: the file has bytes, but says that its size is 0; copy it to a folder on a disk and name the copy", r.path)
	}
	return err
}

// lines reads the lines that begin in the nominal range: from behind the first LF at or after
// the byte before the range, to the end of the line that begins before the range's end.
func (r *loader) lines(p *Piece, d *part) error {
	off, end := p.start(), p.end()
	d.off = off
	begun := off == 0
	if !begun {
		off--
	}
	r.align(off)
	from := int64(0) // where the last line begins
	for off < end {
		n := min(end-off, chunk)
		b, err := r.next(off, n)
		if err != nil {
			return err
		}
		if int64(len(b)) < n {
			return errChanged(p.Path, fmt.Sprintf("it ends at offset %d", off+int64(len(b))))
		}
		last := int64(bytes.LastIndexByte(b, '\n'))
		if last >= 0 {
			from = off + last + 1
		}
		if begun {
			r.take(b, d, 0)
		} else if i := bytes.IndexByte(b, '\n'); i >= 0 {
			begun, d.off = true, off+int64(i)+1
			r.take(b, d, i+1)
		}
		off += n
	}
	switch {
	case !begun: // all of it belongs to a line that began earlier
		d.off = end
		return nil
	case from == end:
		return nil
	}
	return r.lineEnd(p, d, end, from)
}

// take hashes b from i on, the beginning of the piece's bytes or more of them.
func (r *loader) take(b []byte, d *part, i int) {
	if d.size == 0 {
		d.at = r.used + int64(i)
	}
	r.hold(len(b))
	if r.fast.h != nil {
		_, _ = r.fast.h.Write(b[i:]) // a hash's Write has no error
	} else {
		_, _ = r.h.Write(b[i:])
	}
	d.size += int64(len(b) - i)
}

// lineEnd reads on from off to the end of the line that began at from: to its LF or, in the
// last line, to the end of the file. If the file was appended to after it was listed, a
// line that was torn at its end then is read as it is now.
func (r *loader) lineEnd(p *Piece, d *part, off, from int64) error {
	limit := r.l.o.RecordLimit
	for n := int64(lineRead); ; n = min(4*n, chunk) {
		b, err := r.next(off, n)
		if err != nil {
			return err
		}
		eof := int64(len(b)) < n
		if eof && off+int64(len(b)) < p.Stamp.Size {
			return errChanged(p.Path, fmt.Sprintf("it ends at offset %d", off+int64(len(b))))
		}
		i := bytes.IndexByte(b, '\n')
		length := off + int64(len(b)) - from // without its LF
		if i >= 0 {
			length = off + int64(i) - from
			b = b[:i+1]
		}
		long := length > limit
		if long && r.l.o.Skip == nil {
			return errLong(p.Path, from, limit)
		}
		r.take(b, d, 0)
		off += int64(len(b))
		if i >= 0 || eof || long { // of a line that is skipped no more is read than shows its length
			return nil
		}
	}
}
