package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// RunID names a run for ever. The high 32 bits are the epoch it was begun in.
type RunID uint64

func (id RunID) String() string { return fmt.Sprintf("%d.%d", uint64(id)>>32, uint32(id)) }

func (id RunID) key() []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func parseRunKey(k []byte) (RunID, error) {
	if len(k) != 8 {
		return 0, fmt.Errorf("%w: key of %d bytes", errBadRecord, len(k))
	}
	return RunID(binary.BigEndian.Uint64(k)), nil
}

// blobKey is the key of one blob in a volume: run 8 | blob 4, big-endian.
func blobKey(dst []byte, place RunID, blob uint32) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(place))
	return binary.BigEndian.AppendUint32(dst, blob)
}

// record is what the catalog says about a run, under its id in table Runs.
//
//	version 1   1
//	kind    1   0 in a volume, 1 inline
//	blobs   4
//	bytes   8   of all blobs
//	kind 0:     volume 4 | place 8        the blobs' keys in the volume start with place;
//	                                      it is the run's id until GC has moved the run
//	kind 1:     blobs × size 4 | the blobs' bytes
//	crc     4   CRC-32C of all the above
//
// Integers are big-endian.
type record struct {
	blobs  uint32
	bytes  uint64
	volume uint32 // 0: inline
	place  RunID
	sizes  []uint32 // inline: of each blob
	data   []byte   // inline: the blobs, back to back
}

const (
	recordVersion = 1
	recordHead    = 14
	inVolume      = 0
	isInline      = 1
)

var (
	errBadRecord     = errors.New("bad run record")
	errRecordVersion = errors.New("version") // and a number, of another program: it is not damaged
)

func (r *record) inline() bool { return r.volume == 0 }

func (r *record) append(b []byte) []byte {
	start := len(b)
	kind := byte(inVolume)
	if r.inline() {
		kind = isInline
	}
	b = append(b, recordVersion, kind)
	b = binary.BigEndian.AppendUint32(b, r.blobs)
	b = binary.BigEndian.AppendUint64(b, r.bytes)
	if kind == inVolume {
		b = binary.BigEndian.AppendUint32(b, r.volume)
		b = binary.BigEndian.AppendUint64(b, uint64(r.place))
	} else {
		for _, n := range r.sizes {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		b = append(b, r.data...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli()))
}

// parseRecord reads a record; its data is a part of b.
func parseRecord(b []byte) (record, error) {
	if len(b) < recordHead+4 {
		return record{}, fmt.Errorf("%w: %d bytes", errBadRecord, len(b))
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli()) != sum {
		return record{}, fmt.Errorf("%w: checksum", errBadRecord)
	}
	if body[0] != recordVersion {
		return record{}, fmt.Errorf("%w: %w %d", errBadRecord, errRecordVersion, body[0])
	}
	r := record{blobs: binary.BigEndian.Uint32(body[2:]), bytes: binary.BigEndian.Uint64(body[6:])}
	rest := body[recordHead:]
	switch {
	case body[1] == inVolume && len(rest) == 12:
		r.volume = binary.BigEndian.Uint32(rest)
		r.place = RunID(binary.BigEndian.Uint64(rest[4:]))
		if r.volume == 0 {
			return record{}, fmt.Errorf("%w: volume 0", errBadRecord)
		}
		return r, nil
	case body[1] == isInline && uint64(len(rest)) >= 4*uint64(r.blobs):
		r.sizes = make([]uint32, r.blobs)
		total := uint64(0)
		for i := range r.sizes {
			r.sizes[i] = binary.BigEndian.Uint32(rest[4*i:])
			total += uint64(r.sizes[i])
		}
		r.data = rest[4*len(r.sizes):]
		if total != r.bytes || total != uint64(len(r.data)) {
			return record{}, fmt.Errorf("%w: %d bytes inline, not %d", errBadRecord, len(r.data), r.bytes)
		}
		return r, nil
	}
	return record{}, fmt.Errorf("%w: kind %d with %d bytes", errBadRecord, body[1], len(b))
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
