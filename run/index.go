package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"github.com/mrd-io/mr"
)

// Index says what a run holds and where. Its slices are read-only.
type Index struct {
	Records  int64
	RawBytes int64     // bytes of keys and values
	Bytes    int64     // stored bytes of the data blocks
	Digest   mr.Digest // of the records
	Unsorted bool
	// First and Last bound the keys: First <= k <= Last. They are exact unless
	// longer than 1 KiB. Both are nil for an empty and for an unsorted run.
	First, Last []byte
	Blocks      []BlockInfo
}

// BlockInfo describes a data block.
type BlockInfo struct {
	// FirstKey is a key to cut at: all keys of this and later blocks are >= FirstKey.
	// Overlap says what holds for earlier ones. nil in an unsorted run.
	FirstKey []byte
	Overlap  Overlap
	Records  int
	Raw      int       // bytes of keys and values
	Payload  int       // bytes of the decoded block
	Size     int       // stored bytes
	Digest   mr.Digest // of the records and their division into chunks
}

// Overlap says how the keys of the blocks before compare with a block's FirstKey.
// The numbers are part of the format.
type Overlap uint8

// The kinds of overlap.
const (
	Apart  Overlap = 0 // all are less
	Same   Overlap = 1 // none is greater, the last is equal
	Beyond Overlap = 2 // those that begin with FirstKey, which was cut at 1 KiB, may be greater
)

func (ix *Index) add(b BlockInfo) {
	ix.Blocks = append(ix.Blocks, b)
	ix.Records += int64(b.Records)
	ix.RawBytes += int64(b.Raw)
	ix.Bytes += int64(b.Size)
}

// Range returns the blocks [from, to) that may hold keys in [lo, hi); nil means no
// bound. There is no smaller such range unless lo lies within a long key.
func (ix *Index) Range(lo, hi []byte) (from, to int) {
	to = len(ix.Blocks)
	if hi != nil {
		to = sort.Search(to, func(i int) bool { return bytes.Compare(ix.Blocks[i].FirstKey, hi) >= 0 })
	}
	if lo != nil {
		after := sort.Search(len(ix.Blocks), func(i int) bool { return bytes.Compare(ix.Blocks[i].FirstKey, lo) > 0 })
		from = max(after-1, 0)
		for from > 0 && ix.Blocks[from].reachesBack(lo) {
			from--
		}
		if ix.Last != nil && bytes.Compare(lo, ix.Last) > 0 {
			from = len(ix.Blocks)
		}
	}
	return min(from, to), to
}

// reachesBack reports whether blocks before b, whose FirstKey is not greater than
// lo, may hold keys >= lo.
func (b *BlockInfo) reachesBack(lo []byte) bool {
	switch b.Overlap {
	case Apart:
		return false
	case Same:
		return bytes.Equal(b.FirstKey, lo)
	}
	return bytes.HasPrefix(lo, b.FirstKey)
}

// ReaderMemory returns how many bytes a Reader of this run needs at most.
func (ix *Index) ReaderMemory() int64 {
	var size, payload int
	for i := range ix.Blocks {
		size = max(size, ix.Blocks[i].Size)
		payload = max(payload, ix.Blocks[i].Payload)
	}
	return int64(size) + 2*int64(payload) // stored, decoded, and a key as long as that
}

// The payload of an index, with numbers as uvarints and digests of 32 bytes:
//
//	flags: 1 unsorted
//	records, raw bytes, stored bytes, digest of the run
//	length, first key; length, last key
//	number of blocks, and for each:
//	    overlap
//	    bytes that FirstKey shares with the one before, bytes that follow, these bytes
//	    records, raw bytes, payload bytes, stored bytes, digest
const (
	flagUnsorted = 1
	minBlockInfo = 7 + 32
	maxIndex     = 256 << 20
)

func (ix *Index) append(dst []byte) []byte {
	var flags uint64
	if ix.Unsorted {
		flags |= flagUnsorted
	}
	num := func(n int) { dst = binary.AppendUvarint(dst, uint64(n)) }
	num(int(flags))
	num(int(ix.Records))
	num(int(ix.RawBytes))
	num(int(ix.Bytes))
	dst = append(dst, ix.Digest[:]...)
	num(len(ix.First))
	dst = append(dst, ix.First...)
	num(len(ix.Last))
	dst = append(dst, ix.Last...)
	num(len(ix.Blocks))
	var prev []byte
	for i := range ix.Blocks {
		b := &ix.Blocks[i]
		shared := commonPrefix(prev, b.FirstKey)
		prev = b.FirstKey
		num(int(b.Overlap))
		num(shared)
		num(len(b.FirstKey) - shared)
		dst = append(dst, b.FirstKey[shared:]...)
		num(b.Records)
		num(b.Raw)
		num(b.Payload)
		num(b.Size)
		dst = append(dst, b.Digest[:]...)
	}
	return dst
}

// ReadIndex reads the index of a run of that many blobs.
func ReadIndex(src BlockSource, blobs int) (*Index, error) {
	if blobs < 1 {
		return nil, damaged(0, "a run of %d blobs has no index", blobs)
	}
	last := blobs - 1
	b, err := src.ReadBlock(last, nil)
	if err != nil {
		return nil, fmt.Errorf("run: read index, blob %d: %w", last, err)
	}
	ix, err := decodeIndex(b)
	if err != nil {
		return nil, damaged(last, "index: %w", err)
	}
	if len(ix.Blocks) != last {
		return nil, damaged(last, "index of %d blocks in a run of %d blobs", len(ix.Blocks), blobs)
	}
	return ix, nil
}

// indexParser reads the fields of an index. After a failure it returns zeros.
type indexParser struct {
	b   []byte
	err error
}

var errIndex = errors.New("a field is missing or out of bounds")

func (p *indexParser) num(limit uint64) int {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > limit {
		p.err, p.b = errIndex, nil
		return 0
	}
	p.b = p.b[n:]
	return int(v)
}

func (p *indexParser) bytes(n int) []byte {
	if n > len(p.b) {
		p.err, p.b = errIndex, nil
		return nil
	}
	b := p.b[:n:n]
	p.b = p.b[n:]
	return b
}

func (p *indexParser) digest() (d mr.Digest) {
	copy(d[:], p.bytes(len(d)))
	return d
}

func decodeIndex(blob []byte) (*Index, error) {
	payload, err := openBlob(blob, magicIndex, nil, maxIndex)
	if err != nil {
		return nil, err
	}
	p := indexParser{b: bytes.Clone(payload)} // blob is the source's
	var ix, sums Index
	const count = 1 << 62
	flags := p.num(flagUnsorted)
	ix.Unsorted = flags == flagUnsorted
	ix.Records, ix.RawBytes, ix.Bytes = int64(p.num(count)), int64(p.num(count)), int64(p.num(count))
	ix.Digest = p.digest()
	ix.First = p.bytes(p.num(maxPayload))
	ix.Last = p.bytes(p.num(maxPayload))
	n := p.num(uint64(len(p.b) / minBlockInfo))
	sums.Blocks = make([]BlockInfo, 0, n)
	var prev []byte
	for range n {
		b := p.block(prev)
		if p.err != nil {
			break
		}
		if len(sums.Blocks) > 0 && bytes.Compare(prev, b.FirstKey) > 0 {
			return nil, fmt.Errorf("first keys out of order at block %d", len(sums.Blocks))
		}
		prev = b.FirstKey
		sums.add(b)
	}
	if p.err != nil {
		return nil, p.err
	}
	if len(p.b) != 0 || sums.Records != ix.Records || sums.RawBytes != ix.RawBytes || sums.Bytes != ix.Bytes {
		return nil, errors.New("the blocks don't add up to the run")
	}
	ix.Blocks = sums.Blocks
	if ix.Unsorted || n == 0 {
		ix.First, ix.Last = nil, nil
	}
	return &ix, nil
}

// block reads a block's entry; prev is the FirstKey before.
func (p *indexParser) block(prev []byte) BlockInfo {
	b := BlockInfo{Overlap: Overlap(p.num(uint64(Beyond)))}
	shared := p.num(uint64(len(prev)))
	rest := p.bytes(p.num(separatorMax))
	if shared+len(rest) > separatorMax {
		p.err = errIndex
		return b
	}
	b.FirstKey = append(prev[:shared:shared], rest...)
	b.Records = p.num(maxPayload)
	b.Raw = p.num(maxPayload * 256)
	b.Payload = p.num(maxPayload)
	b.Size = p.num(2 * maxPayload)
	b.Digest = p.digest()
	return b
}
