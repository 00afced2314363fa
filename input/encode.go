package input

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The splits of a job are stored and sent as
//
//	version  1 byte, 1
//	splits   uvarint
//	pieces   uvarint, of all splits
//	split*   uvarint n, n × piece
//	piece    uvarint  bytes that the path shares with the path before it
//	         uvarint  length of the rest, and the rest
//	         varint   Off
//	         varint   Len
//	         varint   Dev, Ino, Size, Mtime, Ctime: each less that of the piece before it
//	crc32c   4 bytes, little endian, of all before
//
// The piece before the first has an empty path and zeros.

const (
	splitsVersion = 1
	minPiece      = 9    // bytes of the shortest piece
	maxPath       = 8192 // longer than any system opens
)

var errSplits = errors.New("input: damaged list of splits")

func castagnoli(data []byte) uint32 {
	return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
}

// AppendSplits appends the stored form of splits to dst.
func AppendSplits(dst []byte, splits []Split) []byte {
	begin := len(dst)
	total := 0
	for i := range splits {
		total += len(splits[i].Pieces)
	}
	dst = append(dst, splitsVersion)
	dst = binary.AppendUvarint(dst, uint64(len(splits)))
	dst = binary.AppendUvarint(dst, uint64(total))
	var last Piece
	for i := range splits {
		dst = binary.AppendUvarint(dst, uint64(len(splits[i].Pieces)))
		for _, p := range splits[i].Pieces {
			dst = appendPiece(dst, p, last)
			last = p
		}
	}
	return binary.LittleEndian.AppendUint32(dst, castagnoli(dst[begin:]))
}

func appendPiece(dst []byte, p, last Piece) []byte {
	shared := 0
	for n := min(len(p.Path), len(last.Path)); shared < n && p.Path[shared] == last.Path[shared]; {
		shared++
	}
	dst = binary.AppendUvarint(dst, uint64(shared))
	dst = binary.AppendUvarint(dst, uint64(len(p.Path)-shared))
	dst = append(dst, p.Path[shared:]...)
	dst = binary.AppendVarint(dst, p.Off)
	dst = binary.AppendVarint(dst, p.Len)
	a, b := p.Stamp, last.Stamp
	dst = binary.AppendVarint(dst, int64(a.Dev-b.Dev))
	dst = binary.AppendVarint(dst, int64(a.Ino-b.Ino))
	dst = binary.AppendVarint(dst, a.Size-b.Size)
	dst = binary.AppendVarint(dst, a.Mtime-b.Mtime)
	return binary.AppendVarint(dst, a.Ctime-b.Ctime)
}

// DecodeSplits reads what AppendSplits made. No byte may be left over, and a piece
// that Cut cannot make is refused.
func DecodeSplits(data []byte) ([]Split, error) {
	if len(data) < 1+4 {
		return nil, errSplits
	}
	if data[0] != splitsVersion {
		return nil, fmt.Errorf("input: list of splits has version %d, not %d", data[0], splitsVersion)
	}
	body := data[:len(data)-4]
	if castagnoli(body) != binary.LittleEndian.Uint32(data[len(body):]) {
		return nil, errSplits
	}
	d := decoder{data: body[1:]}
	nSplits, nPieces := d.count(1), d.count(minPiece)
	if d.bad {
		return nil, errSplits
	}
	splits := make([]Split, nSplits)
	pieces := make([]Piece, 0, nPieces)
	var last Piece
	for i := range splits {
		n := d.count(minPiece)
		if d.bad || n > nPieces-len(pieces) {
			return nil, errSplits
		}
		from := len(pieces)
		for range n {
			last = d.piece(last)
			pieces = append(pieces, last)
		}
		if n > 0 {
			splits[i].Pieces = pieces[from:len(pieces):len(pieces)]
		}
	}
	if d.bad || len(d.data) > 0 || len(pieces) != nPieces {
		return nil, errSplits
	}
	return splits, nil
}

// decoder reads numbers off data until bad is set; from then on it returns zeros.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	return advance(d, v, n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	return advance(d, v, n)
}

func advance[T int64 | uint64](d *decoder, v T, n int) T {
	// Each number has one form: a padded one is refused.
	if n <= 0 || n > 1 && d.data[n-1] == 0 {
		d.bad = true
	}
	if d.bad {
		return 0
	}
	d.data = d.data[n:]
	return v
}

// count reads the number of things that have at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.data)/size) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) piece(last Piece) (p Piece) {
	shared, rest := d.uvarint(), d.uvarint()
	if shared > uint64(len(last.Path)) || rest > uint64(len(d.data)) || shared+rest > maxPath {
		d.bad = true
	}
	if d.bad {
		return Piece{}
	}
	if p.Path = last.Path; rest > 0 || shared < uint64(len(last.Path)) {
		p.Path = last.Path[:shared] + string(d.data[:rest])
	}
	d.data = d.data[rest:]
	p.Off, p.Len = d.varint(), d.varint()
	p.Stamp = Stamp{
		Dev:   last.Stamp.Dev + uint64(d.varint()),
		Ino:   last.Stamp.Ino + uint64(d.varint()),
		Size:  last.Stamp.Size + d.varint(),
		Mtime: last.Stamp.Mtime + d.varint(),
		Ctime: last.Stamp.Ctime + d.varint(),
	}
	if p.Off < 0 || p.Len < -1 || p.Len < 0 && p.Off > 0 || p.Stamp.Size < 0 {
		d.bad = true
	}
	return p
}

// MarshalBinary implements encoding.BinaryMarshaler, in the form of AppendSplits.
func (s Split) MarshalBinary() ([]byte, error) {
	return AppendSplits(nil, []Split{s}), nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (s *Split) UnmarshalBinary(data []byte) error {
	splits, err := DecodeSplits(data)
	if err == nil && len(splits) != 1 {
		err = errSplits
	}
	if err != nil {
		return err
	}
	*s = splits[0]
	return nil
}
