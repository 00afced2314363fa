package childproto

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Version is the protocol's version. Both sides must have the same.
const Version = "1"

// Env is the environment variable that tells a binary to be a child; its value is Version.
const Env = "MR_CHILD"

// FD is the child's file descriptor for the conversation.
const FD = 3

// Type is the type of a frame.
type Type uint8

// The types of frames. Append only.
const (
	Hello     Type = 1
	Configure Type = 2
	Traits    Type = 3
	Error     Type = 4
	Start     Type = 5
	Block     Type = 6
	Records   Type = 7
	End       Type = 8
	Done      Type = 9
	Shared    Type = 10
	Release   Type = 11
	Skipped   Type = 12
)

// SharedFD is the child's file descriptor for memory that both sides see, if Configure
// has a field "shared" with the number of its slots: they have SlotSize bytes each.
const SharedFD = 4

// SlotSize has room for a block as package input cuts them, with some slack.
const SlotSize = 1<<20 + 64<<10

// MaxFrame bounds a payload: a block or a record may be large, but not anything.
const MaxFrame = 1 << 30

// maxKept is how large a buffer is kept for the next frame: most are far smaller.
const maxKept = 4 << 20

// BatchSize is the size at which a Records frame is sent.
const BatchSize = 128 << 10

const headerSize = 5

// Reader reads frames.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader reads frames from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next frame; payload is valid until the next call. At the end of the
// stream between two frames it returns io.EOF.
func (r *Reader) Next() (t Type, payload []byte, err error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return 0, nil, err
	}
	t = Type(h[0])
	n := int(binary.LittleEndian.Uint32(h[1:]))
	if t < Hello || t > Skipped || n > MaxFrame {
		return 0, nil, fmt.Errorf("a frame of type %d and %d bytes is none of the protocol", t, n)
	}
	if cap(r.buf) > maxKept && n <= maxKept { // one huge frame must not be remembered for ever
		r.buf = nil
	}
	// Memory grows with what really arrives, not with what a header claims.
	r.buf = r.buf[:0]
	for len(r.buf) < n {
		have := len(r.buf)
		step := min(n-have, max(1<<20, have))
		if cap(r.buf) < have+step {
			r.buf = append(make([]byte, 0, have+step), r.buf...)
		}
		r.buf = r.buf[:have+step]
		if _, err := io.ReadFull(r.r, r.buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
	}
	return t, r.buf, nil
}

// Writer writes frames. It belongs to one goroutine.
type Writer struct {
	w     io.Writer
	head  []byte
	batch []byte // a Records frame being filled, its header left blank
}

// NewWriter writes frames to w, which should not buffer: frames are large or rare.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Control writes a frame of fields, unless they are more than Fields takes: then the error is ErrLong.
func (w *Writer) Control(t Type, fields ...[]string) error {
	b := make([]byte, headerSize, 256)
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		for _, s := range f {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	if len(b)-headerSize > maxFields {
		return fmt.Errorf("%w: %d bytes", ErrLong, len(b)-headerSize)
	}
	return w.send(t, b)
}

// send fills in the header at the beginning of b and writes b.
func (w *Writer) send(t Type, b []byte) error {
	if len(b)-headerSize > MaxFrame {
		return fmt.Errorf("a frame of %d bytes is beyond the protocol's limit of %d", len(b)-headerSize, MaxFrame)
	}
	b[0] = byte(t)
	binary.LittleEndian.PutUint32(b[1:], uint32(len(b)-headerSize))
	_, err := w.w.Write(b)
	return err
}

// Block writes a Block frame.
func (w *Writer) Block(path string, off int64, last bool, data []byte) error {
	b := w.blockHead(Block, path, off, last)
	n := len(b) - headerSize + len(data)
	if n > MaxFrame {
		return fmt.Errorf("a block of %d bytes is beyond the protocol's limit of %d", len(data), MaxFrame)
	}
	binary.LittleEndian.PutUint32(b[1:], uint32(n))
	if _, err := w.w.Write(b); err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	_, err := w.w.Write(data)
	return err
}

// Shared writes a Shared frame: a block of n bytes that lies in that slot.
func (w *Writer) Shared(path string, off int64, last bool, slot, n int) error {
	b := w.blockHead(Shared, path, off, last)
	b = binary.AppendUvarint(b, uint64(slot))
	w.head = binary.AppendUvarint(b, uint64(n))
	return w.send(Shared, w.head)
}

// Release writes a Release frame: the block in that slot is no longer needed.
func (w *Writer) Release(slot int) error {
	return w.send(Release, []byte{0, 0, 0, 0, 0, byte(slot)})
}

// blockHead begins a Block or Shared frame, in w.head.
func (w *Writer) blockHead(t Type, path string, off int64, last bool) []byte {
	b := append(w.head[:0], byte(t), 0, 0, 0, 0)
	b = binary.AppendUvarint(b, uint64(len(path)))
	b = append(b, path...)
	b = binary.AppendUvarint(b, uint64(off))
	if last {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	w.head = b
	return b
}

// ReadShared takes what is data in a Block frame, but is in a Shared frame the place of
// the data, as a slot of memory that has so many.
func ReadShared(data, memory []byte) (slot int, block []byte, err error) {
	at, k := binary.Uvarint(data)
	if k <= 0 || at >= uint64(len(memory)/SlotSize) {
		return 0, nil, errPayload
	}
	n, m := binary.Uvarint(data[k:])
	if m <= 0 || n > SlotSize {
		return 0, nil, errPayload
	}
	return int(at), memory[at*SlotSize:][:n:n], nil
}

// ReadBlock takes a Block or Shared frame's payload apart; for ReadShared see there.
func ReadBlock(b []byte) (path []byte, off int64, last bool, data []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, 0, false, nil, errPayload
	}
	path, b = b[k:k+int(n)], b[k+int(n):]
	o, k := binary.Uvarint(b)
	if k <= 0 || len(b) == k {
		return nil, 0, false, nil, errPayload
	}
	return path, int64(o), b[k] == 1, b[k+1:], nil
}

// Record adds a record to the current Records frame, and sends it when it is large.
func (w *Writer) Record(key, value []byte) error {
	if w.Add(key, value) {
		return w.Flush()
	}
	return nil
}

// Add adds a record to the current Records frame, and reports whether that is large enough to be sent.
func (w *Writer) Add(key, value []byte) (large bool) {
	w.begin(len(key), len(value))
	w.batch = append(w.batch, key...)
	w.batch = append(w.batch, value...)
	return len(w.batch) >= BatchSize
}

// AddTree is Add for records that are folded in a tree: the value begins with a byte
// more, the level.
func (w *Writer) AddTree(key []byte, level byte, value []byte) (large bool) {
	w.begin(len(key), len(value)+1)
	w.batch = append(w.batch, key...)
	w.batch = append(w.batch, level)
	w.batch = append(w.batch, value...)
	return len(w.batch) >= BatchSize
}

// begin adds a record's lengths, and the frame's header before the first.
func (w *Writer) begin(key, value int) {
	if len(w.batch) == 0 {
		w.batch = append(w.batch, 0, 0, 0, 0, 0)
	}
	w.batch = binary.AppendUvarint(w.batch, uint64(key))
	w.batch = binary.AppendUvarint(w.batch, uint64(value))
}

// Flush sends the records that were added since the last Records frame.
func (w *Writer) Flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	err := w.send(Records, w.batch)
	w.batch = w.batch[:0]
	if cap(w.batch) > 8*BatchSize { // one huge record must not be remembered for ever
		w.batch = nil
	}
	return err
}

// Alive sends a frame that says nothing but that somebody is at work. Another goroutine may add records meanwhile,
// or send them if the stream is a file: a frame is one write.
func (w *Writer) Alive() error {
	return w.send(Records, make([]byte, headerSize))
}

// NextRecord splits the first record off a Records frame's payload.
func NextRecord(b []byte) (key, value, rest []byte, err error) {
	kl, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, nil, nil, errPayload
	}
	vl, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return nil, nil, nil, errPayload
	}
	b = b[n+m:]
	if kl > uint64(len(b)) || vl > uint64(len(b))-kl {
		return nil, nil, nil, errPayload
	}
	return b[:kl:kl], b[kl : kl+vl : kl+vl], b[kl+vl:], nil
}
