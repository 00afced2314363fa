package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
)

// What the catalog knows is not kept for ever: jobs that ended more than pruneAfter ago
// go, with their tasks, logs and plans, and the oldest of more than pruneJobs. A submit id is
// known for pruneAfter longer than its job, so that a late retry does not run it again.
// Outputs whose bytes went long ago go, too. Pinned jobs stay.
const (
	pruneAfter = 30 * 24 * time.Hour
	pruneJobs  = 10_000
	pruneBatch = 64 // jobs to a transaction
	pruneEvery = 24 * time.Hour
)

// Table Meta, "pruned": when, as time.Time marshals itself.
const prunedKey = "pruned"

// pruneIsDue reports whether nobody has pruned lately: it reads all of the catalog, and
// short-lived engines start often.
func (e *Engine) pruneIsDue() bool {
	var last time.Time
	err := e.o.Store.View(func(tx *store.Tx) error {
		if b := tx.Get(store.Meta, []byte(prunedKey)); b != nil {
			return last.UnmarshalBinary(b)
		}
		return nil
	})
	return err != nil || e.o.Now().Sub(last).Abs() > pruneEvery
}

// prune removes what is too old. It runs beside everything else: nobody uses a job that
// has ended but to look at it.
func (e *Engine) prune(ctx context.Context) (jobs int) {
	now := e.o.Now()
	old, err := e.oldJobs(now)
	for batch := range slices.Chunk(old, pruneBatch) {
		if err != nil || ctx.Err() != nil {
			break
		}
		err = e.o.Store.Update(func(tx *store.Tx) error {
			for _, id := range batch {
				if err := dropJob(tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		jobs += len(batch)
	}
	if err == nil {
		err = e.o.Store.Update(func(tx *store.Tx) error {
			b, err := now.MarshalBinary()
			if err != nil {
				return err
			}
			return errors.Join(dropPlans(tx), dropSubmits(tx, now), dropOutputs(tx, now), tx.Put(store.Meta, []byte(prunedKey), b))
		})
	}
	if err != nil {
		e.log.Warn("removing the records of old jobs", "err", err)
	}
	return jobs
}

func (e *Engine) oldJobs(now time.Time) (old []mr.JobID, err error) {
	err = e.o.Store.View(func(tx *store.Tx) error {
		pinned := map[mr.JobID]bool{}
		err := eachPin(tx, func(id mr.JobID, _ pin) error { pinned[id] = true; return nil })
		if err != nil {
			return err
		}
		var ended []mr.JobID // by id, so by age
		total := 0
		err = tx.Scan(store.Jobs, nil, func(_, v []byte) error {
			total++
			r, err := decodeJob(v)
			switch {
			case err != nil || !r.State.Done() || pinned[r.ID]:
			case now.Sub(r.Ended) > pruneAfter:
				old = append(old, r.ID)
			default:
				ended = append(ended, r.ID)
			}
			return err
		})
		if more := total - len(old) - pruneJobs; more > 0 {
			old = append(old, ended[:min(more, len(ended))]...)
		}
		return err
	})
	return old, err
}

func dropJob(tx *store.Tx, id mr.JobID) error {
	if err := tx.Delete(store.Jobs, []byte(id)); err != nil {
		return err
	}
	if err := lineage.DeleteTasks(tx, id); err != nil {
		return err
	}
	return dropAll(tx, store.Logs, append([]byte(id), '/'), func(_, _ []byte) (bool, error) { return true, nil })
}

// dropAll removes the records that start with prefix and that drop says yes to.
func dropAll(tx *store.Tx, t store.Table, prefix []byte, drop func(k, v []byte) (bool, error)) error {
	var keys [][]byte
	err := tx.Scan(t, prefix, func(k, v []byte) error {
		yes, err := drop(k, v)
		if yes {
			keys = append(keys, append([]byte{}, k...))
		}
		return err
	})
	for _, k := range keys {
		if err == nil {
			err = tx.Delete(t, k)
		}
	}
	return err
}

// dropPlans removes the plans that no job has. A plan is recorded just before its job's
// record names it, so those of jobs that are being planned must stay: with any, none goes.
func dropPlans(tx *store.Tx) error {
	used, planning := map[mr.Digest]bool{}, false
	err := tx.Scan(store.Jobs, nil, func(_, v []byte) error {
		r, err := decodeJob(v)
		if err == nil {
			used[r.Plan] = true
			planning = planning || r.Plan.IsZero() && !r.State.Done()
		}
		return err
	})
	if err != nil || planning {
		return err
	}
	return dropAll(tx, store.Plans, nil, func(k, _ []byte) (bool, error) {
		return len(k) != len(mr.Digest{}) || !used[mr.Digest(k)], nil
	})
}

func dropSubmits(tx *store.Tx, now time.Time) error {
	return dropAll(tx, store.Submits, nil, func(_, v []byte) (bool, error) {
		n := len(v) - len(mr.Digest{})
		if n < 0 {
			return true, nil
		}
		made, ok := idTime(mr.JobID(v[:n]))
		return ok && now.Sub(made) > 2*pruneAfter && tx.Get(store.Jobs, v[:n]) == nil, nil
	})
}

func dropOutputs(tx *store.Tx, now time.Time) error {
	return dropAll(tx, store.Outputs, nil, func(k, _ []byte) (bool, error) {
		if len(k) != len(mr.Digest{}) {
			return false, nil
		}
		o, err := lineage.GetOutput(tx, mr.Digest(k))
		if err != nil || o == nil || o.Made.Run != 0 {
			return false, err
		}
		return now.Sub(o.Created) > 2*pruneAfter && (o.GoneAt.IsZero() || now.Sub(o.GoneAt) > 2*pruneAfter), nil
	})
}

// idTime is when a job's id was made; see newJobID.
func idTime(id mr.JobID) (time.Time, bool) {
	text, ok := strings.CutPrefix(string(id), "job_")

	b, err := idAlphabet.DecodeString(text)
	if !ok || err != nil || len(b) < 8 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 16)), true
}
