package run

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// Options of a Writer. None but Unsorted changes a digest.
type Options struct {
	// BlockSize is about how many bytes a block's payload has before compression. 0:
	// 128 KiB: with many key ranges, readers decode a part of a block in vain at both ends.
	BlockSize int
	// Unsorted keeps the records as they come, for map-only jobs. Such a run can't
	// be cut into key ranges.
	Unsorted bool
	// Halved blocks are compressed, and others are not: for runs that are read from
	// beginning to end by somebody who waits. Others are if it saves a quarter.
	Halved bool
}

// Summary is what a finished run is made of.
type Summary struct {
	Blobs    int       // data blocks, and the index, which is the last
	Records  int64     //
	RawBytes int64     // bytes of keys and values
	Bytes    int64     // stored bytes of all blobs
	Digest   mr.Digest // of the records; see the package's comment
}

// Writer writes one run. It implements mr.RecordSink.
type Writer struct {
	sink BlockSink
	o    Options
	ix   Index
	err  error // sticky

	*writerMemory
	chunk int // where the last chunk begins in framed
	plain int // blocks in a row that did not shrink
	block BlockInfo
}

// writerMemory is what a Writer works in, and leaves to the next one.
type writerMemory struct {
	framed  []byte // room for a header, and the payload of the block being made
	scratch []byte // of sealBlob
	prev    []byte // the key before
	first   []byte // what separator looks at of the block's first key, until the block is written
	last    []byte // and of the last key of the block before

	hash      *blake3.Hasher // of a chunk
	blockHash *blake3.Hasher // of the block's chunk digests
	runHash   *blake3.Hasher // of all chunk digests
	sum       []byte
}

// MaxRecord is how many bytes of key and value a record may have.
const MaxRecord = maxPayload - 64

// keepMax is the size beyond which a buffer that a huge record has grown is given
// back.
const keepMax = 4 << 20

var errClosed = errors.New("run: the writer is closed")

// NewWriter returns a Writer of an empty run.
func NewWriter(sink BlockSink, o Options) *Writer {
	if o.BlockSize <= 0 {
		o.BlockSize = 128 << 10
	}
	w := &Writer{sink: sink, o: o, writerMemory: memory.writer(o.BlockSize), chunk: headerLen}
	w.ix.Unsorted = o.Unsorted
	w.runHash.Reset()
	w.runHash.WriteString(runDomain)
	w.blockHash.Reset()
	w.blockHash.WriteString(blockDomain)
	return w
}

// Err returns the error of the first call that failed.
func (w *Writer) Err() error { return w.err }

// Record appends a record. Unless the run is unsorted, key must not be less than
// the one before.
func (w *Writer) Record(key, value []byte) error {
	if w.err != nil {
		return w.err
	}
	if len(key)+len(value) > MaxRecord {
		return w.fail(mr.Errorf(mr.Failed, "the record with key %.40q… has %d bytes of key and value; at most %d can be kept, so emit smaller ones",
			key, len(key)+len(value), MaxRecord))
	}
	shared := commonPrefix(w.prev, key)
	if !w.o.Unsorted && shared < len(w.prev) && (shared == len(key) || key[shared] < w.prev[shared]) {
		return w.fail(fmt.Errorf("run: key %.80q comes after %.80q", key, w.prev))
	}
	big := alone(len(key), len(value))
	if big {
		w.endChunk()
		if len(w.framed)+len(key)+len(value) > w.o.BlockSize+headerLen {
			w.endBlock()
		}
	}
	if w.block.Records == 0 {
		w.first = append(w.first[:0], key[:min(len(key), separated)]...)
	}
	if len(w.framed) == w.chunk {
		shared = 0
	}
	if n := len(key) + len(value); n >= keepMax { // the one must not be copied once more where the other has no room
		w.framed = append(make([]byte, 0, len(w.framed)+n+recordMost), w.framed...)
	}
	w.framed = appendRecord(w.framed, shared, key[shared:], value)
	if len(key) >= keepMax && len(w.framed) >= w.o.BlockSize+headerLen { // its block ends here, and leaves it its memory
		at := keyAt(len(w.framed), len(key), len(value))
		w.prev = w.framed[at : at+len(key) : at+len(key)]
	} else {
		w.prev = append(w.prev[:shared], key[shared:]...)
	}
	w.block.Records++
	w.block.Raw += len(key) + len(value)
	if big || len(w.framed)-w.chunk >= chunkLen {
		w.endChunk()
		if len(w.framed) >= w.o.BlockSize+headerLen {
			w.endBlock()
		}
	}
	return w.err
}

// endChunk hashes the chunk being made, if there is one.
func (w *Writer) endChunk() {
	c := w.framed[w.chunk:]
	if len(c) == 0 {
		return
	}
	w.sum = chunkDigest(w.hash, c, w.sum[:0])
	w.blockHash.Write(w.sum)
	w.runHash.Write(w.sum)
	w.chunk = len(w.framed)
}

func chunkDigest(h *blake3.Hasher, chunk, dst []byte) []byte {
	h.Reset()
	h.Write(chunk)
	return h.Sum(dst)
}

// endBlock writes the block being made, if there is one. Its chunks have ended.
func (w *Writer) endBlock() {
	if w.block.Records == 0 || w.err != nil {
		return
	}
	var blob []byte
	blob, w.scratch = sealBlob(w.framed, magicData, w.scratch, w.most(), effortAfter(w.plain))
	if w.plain++; blob[4] != codecNone {
		w.plain = 0
	}
	b := &w.block
	b.Payload, b.Size = len(w.framed)-headerLen, len(blob)
	if cap(w.framed) > keepMax { // nothing but the blob, and prev, is kept while the sink takes its copy
		w.framed, w.scratch = make([]byte, headerLen), nil
	}
	if err := w.sink.WriteBlock(blob); err != nil {
		w.err = err
		return
	}
	w.blockHash.Sum(b.Digest[:0])
	w.blockHash.Reset()
	w.blockHash.WriteString(blockDomain)
	if !w.o.Unsorted {
		b.FirstKey, b.Overlap = w.cut()
	}
	w.ix.add(*b)
	*b = BlockInfo{}
	w.framed, w.chunk = w.framed[:headerLen], headerLen
	w.last = append(w.last[:0], w.prev[:min(len(w.prev), separated)]...)
}

func (w *Writer) most() share {
	if w.o.Halved {
		return half
	}
	return threeQuarters
}

// cut returns the block's key in the index.
func (w *Writer) cut() ([]byte, Overlap) {
	if len(w.ix.Blocks) == 0 {
		w.ix.First = bytes.Clone(w.first[:min(len(w.first), separatorMax)])
		return w.ix.First, Apart
	}
	key, overlap := separator(w.last, w.first)
	return bytes.Clone(key), overlap
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

// Close writes the last block and the index.
func (w *Writer) Close() (Summary, error) {
	defer w.release()
	if w.err == nil {
		w.endChunk()
		w.endBlock()
	}
	if w.err != nil {
		return Summary{}, w.err
	}
	if !w.o.Unsorted && w.ix.Records > 0 {
		w.ix.Last = upperBound(w.prev)
	}
	w.runHash.Sum(w.ix.Digest[:0])
	blob, _ := sealBlob(w.ix.append(make([]byte, headerLen)), magicIndex, w.scratch, threeQuarters, tryAll)
	if err := w.sink.WriteBlock(blob); err != nil {
		return Summary{}, w.fail(err)
	}
	w.err = errClosed
	return Summary{
		Blobs: len(w.ix.Blocks) + 1, Records: w.ix.Records, RawBytes: w.ix.RawBytes,
		Bytes: w.ix.Bytes + int64(len(blob)), Digest: w.ix.Digest,
	}, nil
}

// release leaves w's memory to other Writers. Nothing touches it after an error.
func (w *Writer) release() {
	if w.writerMemory != nil {
		memory.keepWriter(w.writerMemory)
		w.writerMemory = nil
	}
}
