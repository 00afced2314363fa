package rpcsvc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// A gob stream is a sequence of messages:
//
//	┌ count ─────────────────────────┬ payload ─────────┐
//	│ one byte < 0x80, the count; or │ count bytes: a   │
//	│ one byte −n as a signed byte,  │ type id, then a  │
//	│ then the count in n bytes,     │ value, or a type │
//	│ most significant first         │ definition       │
//	└────────────────────────────────┴──────────────────┘
//
// gob.Decoder accepts counts of gigabytes. The frameReader stands before it, reads one
// message whole, within a byte budget, has a gobChecker walk it, and only then lets the
// decoder see it: what the decoder allocates is bounded by what really arrived.

var (
	errTooLarge = errors.New("the message exceeds its byte budget")
	errFrame    = errors.New("not a gob stream")
)

type frameReader struct {
	r     *bufio.Reader
	left  int64  // budget of the present request, in bytes
	frame []byte // of the present message, count included
	off   int    // consumed of frame
	gob   gobChecker
	err   error // sticky: after it the stream is out of step
}

func newFrameReader(r *bufio.Reader) *frameReader { return &frameReader{r: r} }

// grant begins a request that may have n bytes.
func (f *frameReader) grant(n int64) { f.left = n }

func (f *frameReader) ReadByte() (byte, error) {
	if err := f.fill(); err != nil {
		return 0, err
	}
	b := f.frame[f.off]
	f.off++
	return b, nil
}

func (f *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.fill(); err != nil {
		return 0, err
	}
	n := copy(p, f.frame[f.off:])
	f.off += n
	return n, nil
}

func (f *frameReader) fill() error {
	if f.off < len(f.frame) {
		return nil
	}
	if f.err == nil {
		if f.err = f.next(); f.err != nil {
			f.frame, f.off = nil, 0 // a part of a message is none, not even later
		}
	}
	return f.err
}

// next reads a whole message into f.frame.
func (f *frameReader) next() error {
	const keep = 64 << 10 // a larger buffer is not kept for the next message
	if cap(f.frame) > keep {
		f.frame = nil
	}
	f.frame, f.off = f.frame[:0], 0
	first, err := f.r.ReadByte()
	if err != nil {
		return err
	}
	count, width := uint64(first), 0
	f.frame = append(f.frame, first)
	if first >= 0x80 {
		width = -int(int8(first))
		if width > 8 {
			return errFrame
		}
		count = 0
		for range width {
			b, err := f.r.ReadByte()
			if err != nil {
				return noEOF(err)
			}
			f.frame = append(f.frame, b)
			count = count<<8 | uint64(b)
		}
	}
	if count == 0 || bits.Len64(count) > 62 {
		return errFrame
	}
	f.left -= int64(len(f.frame))
	if f.left < 0 || int64(count) > f.left {
		return fmt.Errorf("%w: %d bytes more than it may have", errTooLarge, int64(count)-max(f.left, 0))
	}
	f.left -= int64(count)
	if err := f.payload(int(count)); err != nil {
		return err
	}
	return f.gob.check(f.frame[1+width:])
}

// payload appends n bytes, growing the frame as they come in and not before.
func (f *frameReader) payload(n int) error {
	const step = 64 << 10
	for n > 0 {
		part := min(n, step)
		at := len(f.frame)
		f.frame = append(f.frame, make([]byte, part)...)
		if _, err := io.ReadFull(f.r, f.frame[at:]); err != nil {
			return noEOF(err)
		}
		n -= part
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
