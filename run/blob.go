package run

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// A blob, which is a data block or the index, as stored:
//
//	0   3  magic: "MRD" data block, "MRI" index
//	3   1  version, 1
//	4   1  codec: 0 none, 1 s2 block
//	5   3  zero
//	8   4  length of the decoded payload, little-endian
//	12  4  crc32c of bytes 0 to 11 and of the stored payload, little-endian
//	16     stored payload
//
// Codecs are append-only. No identity depends on them.
const (
	headerLen  = 16
	version    = 1
	codecNone  = 0
	codecS2    = 1
	maxPayload = 1 << 30

	magicData  = "MRD"
	magicIndex = "MRI"
)

// BlockSink stores blobs. b is valid until WriteBlock returns.
type BlockSink interface {
	WriteBlock(b []byte) error
}

// BlockSource reads the stored bytes of blob i, using dst's memory where it is
// large enough.
type BlockSource interface {
	ReadBlock(i int, dst []byte) ([]byte, error)
}

// effort is how much of a payload is compressed to see whether that is worth it.
type effort uint8

const (
	tryAll effort = iota
	trySample
	tryNothing
)

const (
	sampleLen = 16 << 10
	rarely    = 8 // blocks from one sample to the next where many did not shrink
)

// effortAfter is for a block behind so many that did not shrink: what did not shrink is likely
// to be followed by more of it.
func effortAfter(plain int) effort {
	switch {
	case plain == 0:
		return tryAll
	case plain < rarely || plain%rarely == 0:
		return trySample
	}
	return tryNothing
}

// sealBlob makes a blob of a payload that has headerLen bytes of room before it. It is framed
// itself, or, if compression leaves at most most of it, in dst's memory.
func sealBlob(framed []byte, magic string, dst []byte, most share, try effort) (blob, scratch []byte) {
	payload := framed[headerLen:]
	blob, codec := framed, byte(codecNone)
	n := len(payload)
	if try == trySample && (n <= sampleLen || shrinks(payload[:sampleLen], most, &dst)) {
		try = tryAll
	}
	if try == tryAll {
		room(&dst, headerLen+s2.MaxEncodedLen(n))
		stored := s2.Encode(dst[headerLen:cap(dst)], payload)
		if most.holds(len(stored), n) {
			blob, codec = dst[:headerLen+len(stored)], codecS2
		}
	}
	copy(blob, magic)
	blob[3], blob[4], blob[5], blob[6], blob[7] = version, codec, 0, 0, 0
	binary.LittleEndian.PutUint32(blob[8:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(blob[12:], checksum(blob[:12], blob[headerLen:]))
	return blob, dst
}

// share is a part of a payload, in quarters: compression that leaves more than that is not worth it.
type share int

const (
	// s2 encodes half a gigabyte a second where there is little to find, and a store
	// writes, reads and checks more than that: a saving of less than a quarter costs more than
	// it brings.
	threeQuarters share = 3
	half          share = 2
)

func (s share) holds(stored, n int) bool { return stored <= n-n/4*int(4-s) }

// shrinks reports whether b is worth compressing.
func shrinks(b []byte, most share, scratch *[]byte) bool {
	room(scratch, s2.MaxEncodedLen(len(b)))
	return most.holds(len(s2.Encode((*scratch)[:cap(*scratch)], b)), len(b))
}

// room makes n bytes of memory of b, whose content doesn't matter.
func room(b *[]byte, n int) {
	if cap(*b) < n {
		*b = make([]byte, 0, n)
	}
}

// openBlob checks a blob and returns its payload, which is part of b or of dst.
// The payload has at most limit bytes.
func openBlob(b []byte, magic string, dst []byte, limit int) ([]byte, error) {
	if len(b) < headerLen {
		return nil, fmt.Errorf("%d bytes are no blob", len(b))
	}
	if string(b[:3]) != magic {
		return nil, fmt.Errorf("magic %q, want %q", b[:3], magic)
	}
	stored := b[headerLen:]
	if sum := checksum(b[:12], stored); sum != binary.LittleEndian.Uint32(b[12:]) {
		return nil, fmt.Errorf("checksum %08x, want %08x", sum, b[12:16])
	}
	if b[3] != version || b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return nil, fmt.Errorf("version %d is not known", b[3])
	}
	n := binary.LittleEndian.Uint32(b[8:])
	if uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("payload of %d bytes, at most %d expected", n, limit)
	}
	switch b[4] {
	case codecNone:
		if len(stored) != int(n) {
			return nil, fmt.Errorf("payload of %d bytes, want %d", len(stored), n)
		}
		return stored, nil
	case codecS2:
		if m, err := s2.DecodedLen(stored); err != nil || m != int(n) {
			return nil, fmt.Errorf("payload decodes to %d bytes, want %d: %w", m, n, err)
		}
		payload, err := s2.Decode(dst[:cap(dst)], stored)
		if err != nil {
			return nil, fmt.Errorf("payload: %w", err)
		}
		return payload, nil
	}
	return nil, fmt.Errorf("codec %d is not known", b[4])
}

func checksum(head, stored []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	return crc32.Update(crc32.Checksum(head, table), table, stored)
}
