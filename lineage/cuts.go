package lineage

import (
	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// PutCuts remembers the content-defined cuts of a file under its stamp: ascending
// offsets in bytes. They are in the Stamps table, whose keys are digests with domains of
// their own.
func PutCuts(tx *store.Tx, stamp mr.Digest, cuts []int64) error {
	e := newEnc()
	e.num(int64(len(cuts)))
	last := int64(0)
	for _, c := range cuts {
		e.num(c - last)
		last = c
	}
	return wrap("cuts", tx.Put(store.Stamps, stamp[:], e.record()))
}

// GetCuts returns the cuts remembered under a stamp.
func GetCuts(tx *store.Tx, stamp mr.Digest) (cuts []int64, ok bool, err error) {
	b := tx.Get(store.Stamps, stamp[:])
	if b == nil {
		return nil, false, nil
	}
	d := newDec("cuts", b)
	at := int64(0)
	for n := d.num(); n > 0 && d.err == nil; n-- {
		at += d.num()
		cuts = append(cuts, at)
		if len(cuts) > len(b) { // more cuts than bytes: damage
			d.fail()
		}
	}
	return cuts, d.err == nil, wrap("cuts", d.err)
}

// PutFast remembers under a place in a file the fast hash and the digest of what was last
// read there. It saves making digests when a file has grown: the stamps that vouched
// for its other ranges are gone, and their bytes are not.
func PutFast(tx *store.Tx, place mr.Digest, fast [16]byte, split mr.Digest) error {
	e := newEnc()
	e.b = append(e.b, fast[:]...)
	e.digest(split)
	return wrap("fast hash", tx.Put(store.Stamps, place[:], e.record()))
}

// GetFast returns what PutFast remembered; a zero digest if nothing.
func GetFast(tx *store.Tx, place mr.Digest) (fast [16]byte, split mr.Digest, err error) {
	b := tx.Get(store.Stamps, place[:])
	if b == nil {
		return fast, split, nil
	}
	d := newDec("fast hash", b)
	copy(fast[:], d.take(int64(len(fast))))
	split = d.digest()
	return fast, split, wrap("fast hash", d.err)
}
