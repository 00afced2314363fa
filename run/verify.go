package run

import (
	"bytes"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// Verify reads a whole run and checks all that the format promises: checksums,
// digests, counts, the order of keys, and that the index is true.
func Verify(src BlockSource, blobs int) error {
	ix, err := ReadIndex(src, blobs)
	if err != nil {
		return err
	}
	v := verifier{r: NewReader(src, ix, nil, nil), hash: blake3.New(), blockHash: blake3.New(), runHash: blake3.New()}
	v.runHash.WriteString(runDomain)
	for i := range ix.Blocks {
		if err := v.block(i); err != nil {
			return err
		}
	}
	if !ix.Unsorted && len(ix.Blocks) > 0 && bytes.Compare(v.prev, ix.Last) > 0 {
		return damaged(blobs-1, "last key %.80q is less than %.80q", ix.Last, v.prev)
	}
	var digest mr.Digest
	v.runHash.Sum(digest[:0])
	if digest != ix.Digest {
		return damaged(blobs-1, "records have digest %v, want %v", digest, ix.Digest)
	}
	return nil
}

type verifier struct {
	r                        *Reader
	hash, blockHash, runHash *blake3.Hasher
	prev                     []byte // the last key
	sum                      []byte
}

// block checks block i.
func (v *verifier) block(i int) error {
	ix, info := v.r.ix, &v.r.ix.Blocks[i]
	payload, err := v.r.fetch(i)
	if err != nil {
		return err
	}
	v.blockHash.Reset()
	v.blockHash.WriteString(blockDomain)
	p := &v.r.block
	p.reset(payload, info.Records)
	raw, start := 0, 0 // start of the chunk
	for first := true; p.next(); first = false {
		if !ix.Unsorted {
			if err := v.order(i, first, p.key); err != nil {
				return err
			}
		}
		v.prev = append(v.prev[:0], p.key...)
		raw += len(p.key) + len(p.value)
		at := len(payload) - len(p.rest)
		if alone(len(p.key), len(p.value)) || at-start >= chunkLen || p.left == 0 || v.nextAlone(p) {
			v.chunk(payload[start:at])
			start = at
			p.keyBuf = p.keyBuf[:0] // a chunk's first record shares nothing
		}
	}
	if p.err != nil {
		return damaged(i, "%w", p.err)
	}
	if raw != info.Raw {
		return damaged(i, "%d bytes of keys and values, want %d", raw, info.Raw)
	}
	var digest mr.Digest
	v.blockHash.Sum(digest[:0])
	if digest != info.Digest {
		return damaged(i, "records have digest %v, want %v", digest, info.Digest)
	}
	return nil
}

// order checks the place of key, in block i, among its neighbours.
func (v *verifier) order(i int, first bool, key []byte) error {
	info := &v.r.ix.Blocks[i]
	if i > 0 || !first {
		if bytes.Compare(v.prev, key) > 0 {
			return damaged(i, "key %.80q comes after %.80q", key, v.prev)
		}
	}
	if !first {
		return nil
	}
	want, overlap := key[:min(len(key), separatorMax)], Apart
	if i > 0 {
		want, overlap = separator(v.prev, key)
	}
	if !bytes.Equal(want, info.FirstKey) || overlap != info.Overlap {
		return damaged(i, "first key %.80q, but %.80q in the index", key, info.FirstKey)
	}
	return nil
}

func (v *verifier) chunk(c []byte) {
	v.sum = chunkDigest(v.hash, c, v.sum[:0])
	v.blockHash.Write(v.sum)
	v.runHash.Write(v.sum)
}

// nextAlone reports whether the record behind the current one is a chunk by
// itself.
func (v *verifier) nextAlone(p *parser) bool {
	at, err := placeOf(p.rest)
	return err == nil && alone(at.shared+at.restEnd-at.rest, at.valueEnd-at.value)
}
