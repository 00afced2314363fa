package lineage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/mrd-io/mr"
)

// Records are
//
//	version  1   2
//	fields       in order: numbers as uvarints, strings and lists length-prefixed, digests
//	             as their 32 bytes
//	crc      4   CRC-32C of all the above, big-endian
//
// Fields are appended in later versions of the program, never changed; a reader takes missing
// trailing fields as zero. Records of later versions end with a crc, too; those of version 1 have none.
//
// The pages of the catalog have no checksums, and the id of a run with one wrong bit may be that of
// another run, whose own checksums are all right.
const (
	recordVersion   = 2
	uncheckedRecord = 1
	crcSize         = 4
)

var errDamagedRecord = errors.New("damaged record")

// ErrVersion is in the error about a record of a version that this program does not know. It is not
// damaged.
var ErrVersion = errors.New("cannot read")

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

type enc struct{ b []byte }

func newEnc() *enc { return &enc{b: append(make([]byte, 0, 192), recordVersion)} }

// record returns what was put together, with its checksum.
func (e *enc) record() []byte {
	return binary.BigEndian.AppendUint32(e.b, crc32.Checksum(e.b, castagnoli()))
}

func (e *enc) num(n int64)        { e.b = binary.AppendUvarint(e.b, uint64(n)) }
func (e *enc) unum(n uint64)      { e.b = binary.AppendUvarint(e.b, n) }
func (e *enc) str(s string)       { e.num(int64(len(s))); e.b = append(e.b, s...) }
func (e *enc) digest(d mr.Digest) { e.b = append(e.b, d[:]...) }

func (e *enc) time(t time.Time) { // 0: the zero time
	if t.IsZero() {
		e.num(0)
		return
	}
	e.num(t.UnixNano())
}

func (e *enc) bytes(b []byte) { // nil and empty differ
	if b == nil {
		e.num(0)
		return
	}
	e.num(int64(len(b)) + 1)
	e.b = append(e.b, b...)
}

func (e *enc) counters(cs mr.Counters) {
	e.num(int64(len(cs)))
	for _, c := range cs {
		e.str(c.Group)
		e.str(c.Name)
		e.b = binary.AppendVarint(e.b, c.Value)
	}
}

func (e *enc) bad(bs []mr.BadRecord) {
	e.num(int64(len(bs)))
	for i := range bs {
		b := &bs[i]
		e.str(b.Path)
		e.num(b.Offset)
		e.num(b.Length)
		e.str(b.Reason)
		e.str(string(b.Data))
	}
}

// dec reads what enc wrote. After the first failure every read returns zero and err
// is set; callers check err once.
type dec struct {
	b   []byte
	err error
}

func newDec(what string, b []byte) *dec {
	fields := len(b) - crcSize
	switch {
	case len(b) > 0 && b[0] == uncheckedRecord:
		return &dec{b: b[1:]}
	case fields < 1 || binary.BigEndian.Uint32(b[fields:]) != crc32.Checksum(b[:fields], castagnoli()):
		return &dec{err: mr.Errorf(mr.Damaged, "the catalog holds a %w (%s); mrctl store restore puts the last snapshot of the catalog in its place", errDamagedRecord, what)}
	case b[0] != recordVersion:
		return &dec{err: mr.Errorf(mr.Damaged, "the catalog holds a record (%s) that this version %w; use the version of mr that wrote the store", what, ErrVersion)}
	}
	return &dec{b: b[1:fields]}
}

func (d *dec) fail() {
	if d.err == nil {
		d.err = mr.Errorf(mr.Damaged, "the catalog holds a %w, which ends in the middle of a field; mrctl store restore puts the last snapshot of the catalog in its place", errDamagedRecord)
	}
	d.b = nil
}

func (d *dec) unum() uint64 {
	n, k := binary.Uvarint(d.b)
	if k <= 0 {
		if len(d.b) > 0 || d.err != nil {
			d.fail()
		}
		return 0 // trailing fields of a later version are absent
	}
	d.b = d.b[k:]
	return n
}

func (d *dec) num() int64 { return int64(d.unum()) }

func (d *dec) time() time.Time {
	if n := d.num(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

func (d *dec) take(n int64) []byte {
	if n < 0 || n > int64(len(d.b)) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *dec) str() string { return string(d.take(d.num())) }

func (d *dec) bytes() []byte {
	n := d.num()
	if n == 0 {
		return nil
	}
	return append([]byte{}, d.take(n-1)...)
}

func (d *dec) digest() (out mr.Digest) {
	copy(out[:], d.take(int64(len(out))))
	return out
}

func (d *dec) counters() mr.Counters {
	n := d.num()
	if n > int64(len(d.b)) {
		d.fail()
		return nil
	}
	var cs mr.Counters
	for range n {
		c := mr.Counter{Group: d.str(), Name: d.str()}
		v, k := binary.Varint(d.b)
		if k <= 0 {
			d.fail()
			return nil
		}
		d.b = d.b[k:]
		c.Value = v
		cs = append(cs, c)
	}
	return cs
}

func (d *dec) bad() (bs []mr.BadRecord) {
	n := d.num()
	if n > int64(len(d.b)) {
		d.fail()
		return nil
	}
	for range n {
		bs = append(bs, mr.BadRecord{Path: d.str(), Offset: d.num(), Length: d.num(), Reason: d.str(), Data: []byte(d.str())})
	}
	return bs
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lineage: %s: %w", what, err)
}
