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
	return wrap("cuts", tx.Put(store.Stamps, stamp[:], e.b))
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
