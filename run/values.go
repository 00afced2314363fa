package run

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// ValuesDigest reads a run and returns the BLAKE3 of its values, one behind the other: of
// a kept part, that is the digest of the part file.
func ValuesDigest(src BlockSource, blobs int) (d mr.Digest, err error) {
	ix, err := ReadIndex(src, blobs)
	if err != nil {
		return d, err
	}
	h, r := blake3.New(), NewReader(src, ix, nil, nil)
	for r.Next() {
		h.Write(r.Value())
	}
	h.Sum(d[:0])
	return d, r.Err()
}

// Multiset reads a run and returns a digest of its records that does not depend on their
// order: the sum of the records' BLAKE3 digests as numbers modulo 2^256 (the
// construction of Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing",
// 1997, here against accidents only).
func Multiset(src BlockSource, blobs int) (d mr.Digest, err error) {
	ix, err := ReadIndex(src, blobs)
	if err != nil {
		return d, err
	}
	var sum RecordSum
	r := NewReader(src, ix, nil, nil)
	for r.Next() {
		sum.Add(r.Key(), r.Value())
	}
	return sum.Digest(), r.Err()
}

// RecordSum adds records up to the digest of Multiset. The zero RecordSum is ready for use.
type RecordSum struct {
	words [4]uint64
	buf   []byte
}

// Add counts one record.
func (s *RecordSum) Add(key, value []byte) {
	s.buf = binary.LittleEndian.AppendUint64(s.buf[:0], uint64(len(key)))
	s.buf = append(append(s.buf, key...), value...)
	d := blake3.Sum256(s.buf)
	var carry uint64
	for i := range s.words {
		s.words[i], carry = bits.Add64(s.words[i], binary.LittleEndian.Uint64(d[8*i:]), carry)
	}
}

// Digest returns the sum so far.
func (s *RecordSum) Digest() (d mr.Digest) {
	for i, w := range s.words {
		binary.LittleEndian.PutUint64(d[8*i:], w)
	}
	return d
}
