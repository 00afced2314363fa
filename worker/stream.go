package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"syscall"

	"github.com/mrd-io/mr"
)

// The bytes of runs, parts and binaries travel between a joined worker and the daemon on
// streams, connections of their own: in gob replies they would cost three times as much, and
// orders and signs of life would wait behind them. A stream is a sequence of frames:
//
//	┌─────────┬────────────────┬─────────┬───────────────────────────────┐
//	│ type, 1 │ length, 4, BE  │ payload │ CRC-32C of all before it, 4 BE │
//	└─────────┴────────────────┴─────────┴───────────────────────────────┘
//
// The worker asks and the daemon answers, in order. ← marks answers; numbers are big endian.
// Where no answer is given below, there is none: an error is told at the next one.
//
//	'C' create a run                                   'B' block*   then 'S' or 'D'
//	'P' attempt 8, path: create a part       ← O | E   'B' bytes*   then 'S' or 'D'
//	'S' seal what is open                    ← O run id 8 (0 for a part) | E
//	'D' discard what is open                 ← O
//	'X' run id 8: drop a run sealed before   ← O
//	'R' run id 8, sealed 1: open a run       ← O number of blocks 4 | E
//	'G' run id 8, sealed 1, block 4          ← B block | E
//	'L' attempt 8, digest 32, length 4, from, path: link a part  ← O ok 1, bytes 8 | E
//	'F' digest 32: fetch a job binary        ← B bytes* O | E
//
// E is a code (see streamErrors) and a message. A stream that ends discards what is open.
const (
	frameCreate  = 'C'
	framePart    = 'P'
	frameBlock   = 'B'
	frameSeal    = 'S'
	frameDiscard = 'D'
	frameDrop    = 'X'
	frameRun     = 'R'
	frameGet     = 'G'
	frameLink    = 'L'
	frameFetch   = 'F'
	frameOK      = 'O'
	frameError   = 'E'
)

const (
	frameHead = 5
	maxFrame  = 256 << 20 // a block holds one record at least, of any size the job allows
	frameStep = 1 << 20   // memory is set aside as bytes arrive
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

var errFrameSum = errors.New("a frame's checksum is wrong")

// framer reads and writes frames. One goroutine reads, one writes.
type framer struct {
	r   *bufio.Reader
	w   *bufio.Writer
	buf []byte // of the last payload read
}

func newFramer(rw io.ReadWriter) *framer {
	return &framer{r: bufio.NewReaderSize(rw, 64<<10), w: bufio.NewWriterSize(rw, 64<<10)}
}

// write sends a frame of the parts' bytes, when the buffer is full or flushed.
func (f *framer) write(kind byte, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > maxFrame {
		return fmt.Errorf("a block of %d bytes is more than a stream carries", n)
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(n))
	sum := crc32.Checksum(head, crcTable)
	if _, err := f.w.Write(head); err != nil {
		return err
	}
	for _, p := range parts {
		sum = crc32.Update(sum, crcTable, p)
		if _, err := f.w.Write(p); err != nil {
			return err
		}
	}
	_, err := f.w.Write(binary.BigEndian.AppendUint32(nil, sum))
	return err
}

// read returns the next frame; the payload is good until the next read. io.EOF: the stream
// ended between frames.
func (f *framer) read() (kind byte, payload []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(f.r, head[:1]); err != nil {
		return 0, nil, err
	}
	if _, err := io.ReadFull(f.r, head[1:]); err != nil {
		return 0, nil, torn(err)
	}
	n := int(binary.BigEndian.Uint32(head[1:]))
	if n > maxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes is too long", n)
	}
	if cap(f.buf) > 4*frameStep {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		at := len(f.buf)
		f.buf = append(f.buf, make([]byte, min(n-at, frameStep))...)
		if _, err := io.ReadFull(f.r, f.buf[at:]); err != nil {
			return 0, nil, torn(err)
		}
	}
	var sum [4]byte
	if _, err := io.ReadFull(f.r, sum[:]); err != nil {
		return 0, nil, torn(err)
	}
	if crc32.Update(crc32.Checksum(head[:], crcTable), crcTable, f.buf) != binary.BigEndian.Uint32(sum[:]) {
		return 0, nil, errFrameSum
	}
	return head[0], f.buf, nil
}

func torn(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// streamErrors are what the codes of errors mean. Append only.
var streamErrors = [...]error{1: ErrLost, 2: syscall.ENOSPC, 3: errFenced}

var errFenced = errors.New("the attempt is not on the daemon's books any more")

func errorFrame(err error) []byte {
	code := byte(0)
	for i, known := range streamErrors {
		if known != nil && errors.Is(err, known) || i == 2 && errors.Is(err, syscall.EDQUOT) {
			code = byte(i)
		}
	}
	return append([]byte{code}, err.Error()...)
}

// remoteError is an error that the daemon told.
func remoteError(payload []byte) error {
	if len(payload) == 0 {
		return errors.New("the daemon refused, and did not say why")
	}
	text := string(payload[1:])
	if code := int(payload[0]); code > 0 && code < len(streamErrors) {
		return &mr.Error{Kind: mr.Failed, Msg: text, Err: streamErrors[code]}
	}
	return errors.New(text)
}
