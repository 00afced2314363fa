package lineage

import (
	"bytes"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// OpenedPrefix begins the keys of lists of opened files in the table Meta; the list's digest follows.
const OpenedPrefix = "opened/"

// OpenedKey is the digest of a list of files that tasks have opened; zero of an empty one.
func OpenedKey(files []plan.Opened) mr.Digest {
	if len(files) == 0 {
		return mr.Digest{}
	}
	return plan.Sum("mr/opened", encodeOpened(files))
}

func encodeOpened(files []plan.Opened) []byte {
	e := newEnc()
	e.num(int64(len(files)))
	for _, f := range files {
		e.str(f.Path)
		e.digest(f.Digest)
	}
	return e.record()
}

// PutOpened records a list under its OpenedKey: many outputs share one. An empty one needs no record.
func PutOpened(tx *store.Tx, files []plan.Opened) error {
	if len(files) == 0 {
		return nil
	}
	b := encodeOpened(files)
	d := plan.Sum("mr/opened", b)
	key := append([]byte(OpenedPrefix), d[:]...)
	if bytes.Equal(tx.Get(store.Meta, key), b) { // a damaged one is replaced
		return nil
	}
	return wrap("list of files", tx.Put(store.Meta, key, b))
}

// GetOpened returns the list of that digest; none if there is no record of it, or it is damaged.
func GetOpened(tx *store.Tx, list mr.Digest) []plan.Opened {
	b := tx.Get(store.Meta, append([]byte(OpenedPrefix), list[:]...))
	if b == nil || plan.Sum("mr/opened", b) != list {
		return nil
	}
	d := newDec("list of files", b)
	n := d.num()
	var files []plan.Opened
	for i := int64(0); i < n && d.err == nil; i++ {
		files = append(files, plan.Opened{Path: d.str(), Digest: d.digest()})
	}
	if d.err != nil {
		return nil
	}
	return files
}
