package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/store"
)

// What reading a split has shown is remembered under its files' stamps, which are others each time that
// a file has grown: a log of a thousand splits that is read every hour leaves a thousand records an hour.
// Those of splits that no job on record has read are forgotten once a day. A job that comes upon such a
// split again reads it, and finds by its bytes what was made of it.

// stampBatch is how many go in a transaction.
const stampBatch = 4096

var errEnough = errors.New("enough for a transaction")

// dropStamps forgets the stamps, cuts and fast hashes of splits that no job on record has. What it does
// not come to is left for the next time.
func (e *Engine) dropStamps(ctx context.Context) error {
	used, err := e.usedStamps(ctx)
	if err != nil || used == nil {
		return err
	}
	var from []byte
	for more := true; more && ctx.Err() == nil; {
		var gone [][]byte
		err := e.o.Store.View(func(tx *store.Tx) error {
			return tx.ScanFrom(store.Stamps, nil, from, func(k, _ []byte) error {
				if len(gone) == stampBatch {
					return errEnough
				}
				if !used[stampName(k)] {
					gone = append(gone, bytes.Clone(k))
				}
				return nil
			})
		})
		if more = errors.Is(err, errEnough); err != nil && !more {
			return err
		}
		if len(gone) == 0 {
			return nil
		}
		from = gone[len(gone)-1]
		err = e.o.Store.Update(func(tx *store.Tx) error {
			for _, k := range gone {
				if err := tx.Delete(store.Stamps, k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stampName is a part of a key that tells it from others well enough: where it does not, a record stays.
func stampName(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// usedStamps names what is remembered of the splits of jobs on record. It is nil if that is not known, since a
// job is being planned.
func (e *Engine) usedStamps(ctx context.Context) (used map[uint64]bool, err error) {
	type use struct { // jobs share plans
		plan     mr.Digest
		format   mr.Format
		skipped  int64
		size     int64
		chunking string
	}
	seen := map[use]bool{}
	used = map[uint64]bool{}
	err = e.o.Store.View(func(tx *store.Tx) error {
		return eachJob(tx, func(r *record) error {
			if r.Plan.IsZero() && !r.State.Done() || ctx.Err() != nil {
				used = nil
				return errEnough
			}
			u := use{r.Plan, r.Spec.InputFormat, skipLimit(&r.Spec), r.Spec.SplitSize, r.Spec.Chunking}
			if seen[u] {
				return nil
			}
			seen[u] = true
			splits, err := splitsOf(tx, r)
			if err != nil {
				return nil // damage that is told where it matters: these are read again
			}
			for _, s := range splits {
				addStamps(used, s, u.format, u.skipped, u.size, u.chunking == input.Content.String())
			}
			return nil
		})
	})
	if errors.Is(err, errEnough) {
		return nil, nil
	}
	return used, err
}

// addStamps adds the names of what is remembered of a split.
func addStamps(used map[uint64]bool, s input.Split, f mr.Format, skipped, size int64, cuts bool) {
	add := func(d mr.Digest) { used[stampName(d[:])] = true }
	add(s.StampKey(f, skipped))
	if place, ok := fastPlace(s, f); ok {
		add(place)
	}
	if cuts {
		add(s.CutsKey(f, size))
	}
}
