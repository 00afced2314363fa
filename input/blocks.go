package input

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// block is about how long blocks are.
const block = 1 << 20

var errClosed = errors.New("input: blocks of a split that was closed")

// Blocks returns the split's blocks: whole records, decompressed, piece after piece. Plain
// bytes that are in memory are not copied. Each call begins anew.
//
// A split that is not in memory is read and hashed again: instead of io.EOF the reader then
// returns ErrChanged if the bytes are not those of the digest, and whatever was made
// from the blocks must be thrown away.
func (l *Loaded) Blocks(ctx context.Context) mr.BlockReader {
	b := &blockReader{ctx: ctx, l: l}
	if l.closed {
		b.err = errClosed
		return b
	}
	l.open = append(l.open, b)
	return b
}

// blockReader hands out the blocks of a split. One of mem and dec reads the current piece.
type blockReader struct {
	ctx  context.Context // bounds the reading; the reader is the call
	l    *Loaded
	i    int // the piece to begin next
	mem  memory
	dec  stream
	cur  interface{ next() (mr.Block, error) } // &mem or &dec; nil between pieces
	file *rereader                             // of the current piece, when it is not in memory
	buf  *bufio.Reader                         // in front of file for decoders
	kit  decoders
	err  error
}

func (b *blockReader) Next() (mr.Block, error) {
	for b.err == nil {
		if b.err = b.ctx.Err(); b.err != nil {
			break
		}
		if b.cur == nil {
			if b.i == len(b.l.parts) {
				b.err = io.EOF
				break
			}
			b.err = b.begin()
			continue
		}
		blk, err := b.cur.next()
		if err == nil {
			return blk, nil
		}
		b.cur = nil
		if err == io.EOF {
			err = b.end()
		}
		b.err = err
	}
	b.release()
	return mr.Block{}, b.err
}

// begin opens the next piece.
func (b *blockReader) begin() error {
	p, d := &b.l.split.Pieces[b.i], &b.l.parts[b.i]
	b.i++
	c := cutter{path: p.Path, format: b.l.o.Format, limit: b.l.o.RecordLimit, skip: b.l.o.Skip, off: d.off, last: d.last}
	var src stored
	if b.l.kept {
		data := b.l.buf[d.at : d.at+d.size : d.at+d.size]
		if d.codec == plainCodec {
			b.mem = memory{cutter: c, data: data}
			b.cur = &b.mem
			return nil
		}
		src = bytes.NewReader(data)
	} else {
		f, err := reopen(b.l, p, d)
		if err != nil {
			return err
		}
		b.file = f
		if d.codec == plainCodec {
			b.dec.begin(c, f, nil)
			b.cur = &b.dec
			return nil
		}
		if b.buf == nil {
			b.buf = bufio.NewReaderSize(nil, chunk)
		}
		b.buf.Reset(f)
		src = b.buf
	}
	r, err := b.kit.open(d.codec, src)
	why := func(off int64, err error) error { return b.explain(p.Path, d.codec, src, off, err) }
	if err != nil {
		return why(0, err)
	}
	b.dec.begin(c, r, why)
	b.cur = &b.dec
	return nil
}

// explain turns a decoder's error at a decoded offset into the user's.
func (b *blockReader) explain(path string, c codec, src stored, off int64, err error) error {
	if b.file != nil {
		// The bytes may differ from those that were hashed; then that is the error.
		if b.file.err != nil {
			return b.file.err
		}
		now, err := since(b.l.dev, b.file.fd, path, b.file.p.Stamp)
		if err != nil {
			return err
		}
		if now != b.file.p.Stamp {
			return errSize(path, b.file.p.Stamp, now)
		}
	}
	left, rerr := more(src)
	return errDecode(path, c, off, rerr == nil && !left, err)
}

// end checks a piece that was read to its end.
func (b *blockReader) end() error {
	if b.file == nil {
		return nil
	}
	f := b.file
	b.file = nil
	return f.finish()
}

// release frees all but the buffer of the last block, which stays valid until the split is
// closed.
func (b *blockReader) release() {
	if b.file != nil {
		b.file.close()
		b.file = nil
	}
	b.kit.close()
	b.cur = nil
}

// rereader reads a piece's stored bytes once more, and hashes them as they were hashed before.
type rereader struct {
	l    *Loaded
	p    *Piece
	d    *part
	fd   int
	h    *blake3.Hasher // nil: fast is used, since the digest was recalled
	fast fastPart
	off  int64
	err  error // what the file itself did wrong, whatever a decoder makes of it
}

func reopen(l *Loaded, p *Piece, d *part) (*rereader, error) {
	fd, err := l.dev.open(p.Path)
	if err != nil {
		return nil, errOpen(p.Path, err)
	}
	r := &rereader{l: l, p: p, d: d, fd: fd, off: d.off}
	if l.recalled {
		r.fast = newFastPart(l.o.FastKey)
	} else {
		r.h = blake3.New()
	}
	if err := r.check(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// check compares the file's stamp with that of its listing.
func (r *rereader) check() error {
	now, err := since(r.l.dev, r.fd, r.p.Path, r.p.Stamp)
	if err == nil && now != r.p.Stamp {
		r.l.moved = true
	}
	return err
}

func (r *rereader) Read(b []byte) (int, error) {
	left := r.d.off + r.d.size - r.off
	switch {
	case r.err != nil:
		return 0, r.err
	case left == 0:
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), left, chunk)]
	n, err := r.l.dev.read(r.fd, b, r.off)
	switch {
	case err != nil:
		r.err = errRead(r.p.Path, r.off, err)
	case n == 0 && len(b) > 0:
		r.err = errChanged(r.p.Path, "it is shorter now")
	}
	if r.h != nil {
		_, _ = r.h.Write(b[:n]) // a hash's Write has no error
	} else {
		_, _ = r.fast.h.Write(b[:n]) // likewise
	}
	r.off += int64(n)
	r.l.read += int64(n)
	return n, r.err
}

// finish reads what a decoder has left, and compares bytes and stamp with the first reading.
func (r *rereader) finish() error {
	defer r.close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if !r.same() {
		return errChanged(r.p.Path, "its bytes differ from those that were hashed")
	}
	return r.check()
}

// same reports whether the bytes are those of the first reading.
func (r *rereader) same() bool {
	if r.h == nil {
		return r.fast.sum() == r.d.fast
	}
	var sum mr.Digest
	r.h.Sum(sum[:0])
	return sum == r.d.sum
}

func (r *rereader) close() { _ = r.l.dev.close(r.fd) } // only read from
