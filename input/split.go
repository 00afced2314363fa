package input

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// Piece is a whole file or a byte range of one.
type Piece struct {
	Path string
	// Off and Len are the nominal range: records that begin inside it belong to it, so
	// the bytes read may begin later and end later. Len < 0: the whole file, decoded by its
	// magic bytes; a range is always plain.
	Off, Len int64
	Stamp    Stamp
}

// String returns FILE@[a,b) for people, the nominal range of stored bytes.
func (p Piece) String() string {
	return fmt.Sprintf("%s@[%d,%d)", p.Path, p.start(), p.end())
}

// Bytes returns how many stored bytes the nominal range holds.
func (p Piece) Bytes() int64 { return p.end() - p.start() }

func (p Piece) whole() bool { return p.Len < 0 }

func (p Piece) start() int64 {
	if p.whole() {
		return 0
	}
	return min(p.Off, p.Stamp.Size)
}

func (p Piece) end() int64 {
	if p.whole() || p.Len > p.Stamp.Size-p.start() {
		return p.Stamp.Size
	}
	return p.start() + p.Len
}

// Split is the input of one map task: one piece of a large file, or several whole files in
// path order.
type Split struct {
	Pieces []Piece
}

// Bytes returns how many stored bytes the split's nominal ranges hold.
func (s Split) Bytes() int64 {
	var n int64
	for i := range s.Pieces {
		n += s.Pieces[i].Bytes()
	}
	return n
}

// String describes the split for people.
func (s Split) String() string {
	switch n := len(s.Pieces); n {
	case 0:
		return "no files"
	case 1:
		return s.Pieces[0].String()
	default:
		return fmt.Sprintf("%d files, %s … %s", n, s.Pieces[0].Path, s.Pieces[n-1].Path)
	}
}

// Settled reports whether every file's times are at least 2 s before now. A digest may be
// remembered under the split's stamps only if it was settled when its reading began;
// otherwise a change within the same tick of the file system's clock could hide.
func (s Split) Settled(now time.Time) bool {
	for i := range s.Pieces {
		if !s.Pieces[i].Stamp.settled(now) {
			return false
		}
	}
	return true
}

// StampKey is the key under which a split's digest may be remembered without reading the
// split: a hash of the format and of each piece's stamp and range. Paths are not in it.
//
// skipped is the RecordLimit of a reading that skips records beyond it, else 0: it does not read
// such a line to its end, so what it digests is not what others do.
func (s Split) StampKey(f mr.Format, skipped int64) mr.Digest {
	k := newKey("mr input stamps 1")
	k.uint(DecoderVersion)
	k.uint(uint64(f.Kind))
	k.uint(uint64(f.N))
	k.uint(uint64(len(s.Pieces)))
	for i := range s.Pieces {
		p := &s.Pieces[i]
		k.uint(p.Stamp.Dev)
		k.uint(p.Stamp.Ino)
		k.uint(uint64(p.Stamp.Size))
		k.uint(uint64(p.Stamp.Mtime))
		k.uint(uint64(p.Stamp.Ctime))
		k.uint(uint64(p.Off))
		k.uint(uint64(p.Len))
	}
	if skipped != 0 {
		k.string("skipped")
		k.uint(uint64(skipped))
	}
	return k.sum()
}

// Positions is what a job that sees paths and offsets observes beside the split's bytes:
// a hash of each piece's path and of start, which is [Loaded.Start]. The nominal offset
// would not do: the same bytes in the same nominal range can begin elsewhere when the line
// before them grew.
func (s Split) Positions(start int64) mr.Digest {
	k := newKey("mr input positions 1")
	k.uint(uint64(start))
	k.uint(uint64(len(s.Pieces)))
	for i := range s.Pieces {
		k.string(s.Pieces[i].Path)
	}
	return k.sum()
}

// key hashes fields that cannot run into each other: integers have eight bytes, strings
// their length before them.
type key struct {
	buf []byte
	h   *blake3.Hasher
}

func newKey(domain string) *key {
	k, ok := keys.Get().(*key)
	if !ok {
		k = &key{buf: make([]byte, 0, 1<<10), h: blake3.New()}
	}
	k.string(domain)
	return k
}

func (k *key) uint(v uint64) {
	if len(k.buf)+8 > cap(k.buf) {
		k.flush()
	}
	k.buf = binary.LittleEndian.AppendUint64(k.buf, v)
}

func (k *key) string(s string) {
	k.uint(uint64(len(s)))
	if len(k.buf)+len(s) > cap(k.buf) {
		k.flush()
	}
	k.buf = append(k.buf, s...)
}

func (k *key) flush() {
	_, _ = k.h.Write(k.buf) // a hash's Write has no error
	k.buf = k.buf[:0]
}

// sum returns the hash. The key must not be used any more.
func (k *key) sum() (d mr.Digest) {
	k.flush()
	k.h.Sum(d[:0])
	k.h.Reset()
	keys.Put(k)
	return d
}
