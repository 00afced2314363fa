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
// go, with their tasks, logs and plans, and the oldest of more than pruneJobs, or of more than have
// pruneTasks tasks. A submit id is known for pruneAfter longer than its job, so that a late retry does
// not run it again. Outputs whose bytes went long ago go, too, and small ones, which are in the catalog
// itself, that nobody has wanted for pruneAfter. With them goes what only they had need of: the
// components of stages, verdicts on these, what was last made where (see unused.go), and what is known of splits
// by their files' stamps (see stamps.go). Pinned jobs stay.
const (
	pruneAfter = 30 * 24 * time.Hour
	pruneJobs  = 10_000
	pruneTasks = 1_000_000
	pruneLeast = 16 // jobs that stay, however many tasks they have
	pruneBatch = 64 // jobs to a transaction
	pruneEvery = 24 * time.Hour
	pruneLook  = time.Hour // how often a daemon looks whether it is due
)

// A task's record, with its output's, takes about taskBytes of the catalog, which is to have no more than
// a quarter of what the store may take.
const (
	taskBytes    = 1 << 10
	catalogShare = 4
)

// mostTasks is how many tasks of jobs that have ended may be on record.
func (e *Engine) mostTasks() int {
	if e.o.CacheSize <= 0 || e.o.OnRequest {
		return pruneTasks
	}
	return int(min(e.o.CacheSize/catalogShare/taskBytes, pruneTasks))
}

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

func (e *Engine) pruneIfDue() {
	if e.pruneIsDue() {
		e.prune(e.ctx)
	}
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
		if err == nil {
			jobs += len(batch)
		}
	}
	if err == nil {
		err = e.forgetSmall(ctx, now)
	}
	if err == nil {
		err = e.dropStamps(ctx)
	}
	if err == nil {
		err = e.o.Store.Update(func(tx *store.Tx) error {
			b, err := now.MarshalBinary()
			if err != nil {
				return err
			}
			return errors.Join(dropPlans(tx), dropSubmits(tx, now), dropOutputs(tx, now), dropUnused(tx), tx.Put(store.Meta, []byte(prunedKey), b))
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
		var tasks []int      // of each of them
		total := 0
		err = tx.Scan(store.Jobs, nil, func(k, v []byte) error {
			total++
			if pinned[mr.JobID(k)] {
				return nil
			}
			r, err := decodeJob(v)
			switch {
			case err != nil: // it has ended, or the engine would not run
				if made, ok := idTime(mr.JobID(k)); !ok || now.Sub(made) > pruneAfter {
					old = append(old, mr.JobID(k))
				}
			case !r.State.Done():
			case now.Sub(r.Ended) > pruneAfter:
				old = append(old, r.ID)
			default:
				ended, tasks = append(ended, r.ID), append(tasks, r.Map.Tasks+r.Reduce.Tasks)
			}
			return nil
		})
		from := min(max(total-len(old)-pruneJobs, 0), len(ended))
		left := e.mostTasks()
		for i := len(ended) - 1; i >= from; i-- {
			if left -= tasks[i]; left < 0 && i < len(ended)-pruneLeast {
				from = i + 1
			}
		}
		old = append(old, ended[:from]...)
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
	err := eachJob(tx, func(r *record) error {
		used[r.Plan] = true
		planning = planning || r.Plan.IsZero() && !r.State.Done()
		return nil
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
		return now.Sub(wanted(o)) > 2*pruneAfter && (o.GoneAt.IsZero() || now.Sub(o.GoneAt) > 2*pruneAfter), nil
	})
}

// forgetSmall gives up the outputs in the catalog that nobody has wanted for long, and those of volumes that are
// gone: what volumes may take never reaches them.
func (e *Engine) forgetSmall(ctx context.Context, now time.Time) error {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	volumes, runs, err := e.o.Store.Layout()
	if err != nil {
		e.log.Warn("removing small outputs with bad records in the catalog", "err", err)
	}
	var old []victim
	err = e.o.Store.View(func(tx *store.Tx) error {
		pinned, err := pinnedKeys(tx)
		if err != nil {
			return err
		}
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			volume := runs[store.RunID(o.Made.Run)] // 0: in the catalog, or its record is damaged
			_, there := volumes[volume]
			delete(runs, store.RunID(o.Made.Run))
			if o.Made.Run != 0 && !there && !pinned[o.Key] && now.Sub(wanted(o)) > pruneAfter {
				old = append(old, victim{key: o.Key, run: o.Made.Run, bytes: o.Made.Stored, cpu: o.CPU})
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	var freed mr.CacheFreed
	for batch := range slices.Chunk(old, evictBatch) {
		if err := e.forget(ctx, batch, lineage.Evicted, &freed); err != nil {
			return err
		}
	}
	return e.dropRuns(ctx, runs)
}

// dropRuns removes the runs that no output names: its record was damaged, and nobody will find them.
func (e *Engine) dropRuns(ctx context.Context, runs map[store.RunID]uint32) error {
	if len(runs) == 0 {
		return nil
	}
	var failed error
	err := e.request(ctx, func(l *loop) {
		held := l.held()
		failed = e.o.Store.Update(func(tx *store.Tx) error {
			for id := range runs {
				if held[uint64(id)] || !tx.HasRun(id) {
					continue
				}
				if err := tx.DeleteRun(id); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return errors.Join(err, failed)
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
