package run

import (
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
