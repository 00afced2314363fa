package engine

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// When a file grows, the stamps that vouched for its ranges are gone, and all of it has to
// be read to know what has changed. A keyed 128-bit hash, remembered for each range, then
// takes the place of the digest: it is several times faster to make, and equal only if
// the bytes are, but for accidents of one in 2^128. The key is random and does not leave
// the store, so that no file can be made to collide.

var fastKeyName = []byte("fast-key")

// fastKey reads the store's key of fast hashes, and makes it once.
func fastKey(s *store.Store) (key uint64, err error) {
	err = s.View(func(tx *store.Tx) error {
		if b := tx.Get(store.Meta, fastKeyName); len(b) == 8 {
			key = binary.LittleEndian.Uint64(b)
		}
		return nil
	})
	if err != nil || key != 0 {
		return key, err
	}
	var b [8]byte
	for key == 0 {
		rand.Read(b[:]) //nolint:errcheck // never fails, by its contract
		key = binary.LittleEndian.Uint64(b[:])
	}
	return key, s.Update(func(tx *store.Tx) error { return tx.Put(store.Meta, fastKeyName, b[:]) })
}

// fastPlace names a range of a large file; ok is false for other splits.
func fastPlace(s input.Split, f mr.Format) (place mr.Digest, ok bool) {
	if len(s.Pieces) != 1 || s.Pieces[0].Len < 0 || s.Pieces[0].Len < smallInput {
		return place, false
	}
	b := append([]byte(f.String()), 0)
	b = append(append(b, s.Pieces[0].Path...), 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Pieces[0].Off))
	return plan.Sum("mr/place", b), true
}

// askFast asks for the fast hash in an order to identify a split.
func (l *loop) askFast(j *job, w *plan.Work, s input.Split) {
	place, ok := fastPlace(s, w.Format)
	if !ok || !w.Expect.IsZero() || j.full {
		return
	}
	w.FastKey = l.fastKey
	err := l.e.o.Store.View(func(tx *store.Tx) (err error) {
		w.KnownFast, w.KnownDigest, err = lineage.GetFast(tx, place)
		return err
	})
	if err != nil || w.KnownDigest.IsZero() {
		w.KnownFast, w.KnownDigest = [16]byte{}, mr.Digest{}
	}
}

// remember keeps what reading a split has shown: its digest under the stamps of its
// files, if they vouch for it, and under its fast hash.
func remember(tx *store.Tx, spec *mr.Spec, fl *flight, res *plan.Result) error {
	if fl.settled && !res.Moved {
		if err := lineage.PutStamp(tx, stampKey(spec, fl.split), res.Split, res.Start); err != nil {
			return err
		}
	}
	place, ok := fastPlace(fl.split, spec.InputFormat)
	if !ok || res.Fast == ([16]byte{}) || res.Split == fl.work.KnownDigest {
		return nil
	}
	return lineage.PutFast(tx, place, res.Fast, res.Split)
}
