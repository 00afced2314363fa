package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
	"github.com/mrd-io/mr/store"
)

// CacheVerify implements mr.Cache. Nothing is forgotten.
func (c Catalog) CacheVerify(ctx context.Context) (mr.CacheVerdict, error) {
	v, _, err := c.verify(ctx)
	return v, err
}

// CacheVerify implements mr.Cache. A damaged run that a live job stands on is forgotten,
// too: the job's next attempt to read it fails, and its map task runs again.
func (e *Engine) CacheVerify(ctx context.Context) (mr.CacheVerdict, error) {
	v, damaged, err := Catalog{e.o.Store}.verify(ctx)
	if err != nil || len(damaged) == 0 {
		return v, err
	}
	for _, d := range damaged {
		e.o.Store.Distrust(store.RunID(d.run))
	}
	var failed error
	err = e.request(ctx, func(*loop) {
		failed = e.o.Store.Update(func(tx *store.Tx) error {
			for i, d := range damaged {
				o, err := lineage.GetOutput(tx, d.key)
				if err != nil || o == nil || o.Made.Run != d.run {
					continue // made again meanwhile, or its record can't be read: found again at the next try
				}
				if err := lineage.Forget(tx, d.key, v.Damaged[i].Why, e.o.Now()); err != nil {
					return err
				}
				v.Damaged[i].Forgotten = true
			}
			return nil
		})
	})
	if err = errors.Join(err, failed); err != nil {
		return v, fmt.Errorf("forgetting damaged outputs: %w", err)
	}
	if _, err := e.o.Store.GC(ctx); err != nil {
		e.log.Warn("collecting what was damaged", "err", err)
	}
	return v, nil
}

// verify reads all runs that outputs name. damaged are the victims of v.Damaged.
func (c Catalog) verify(ctx context.Context) (v mr.CacheVerdict, damaged []victim, err error) {
	var outs []*lineage.Output
	names := map[mr.JobID]string{}
	err = c.Store.View(func(tx *store.Tx) error {
		err := eachJob(tx, func(r *record) error { names[r.ID] = r.Traits.Job; return nil })
		if err != nil {
			return err
		}
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			if o.Made.Run != 0 {
				outs = append(outs, o)
			}
			return nil
		})
	})
	if err != nil {
		return v, nil, err
	}
	for _, o := range outs {
		if err := ctx.Err(); err != nil {
			return v, nil, mr.Errorf(mr.Interrupted, "stopped after %d of %d runs: %w", v.Runs, len(outs), err)
		}
		bytes, why, err := c.verifyRun(o)
		if err != nil {
			kind := mr.Unreachable
			if errors.Is(err, mr.ErrDamaged) { // the catalog itself
				kind = mr.Damaged
			}
			return v, nil, mr.Errorf(kind, "stopped after %d of %d runs, and nothing is forgotten: %w; mend that and verify again", v.Runs, len(outs), err)
		}
		if why == "" {
			v.Runs++
			v.Bytes += bytes
			continue
		}
		if now, err := c.current(o.Key); err != nil || now != o.Made.Run {
			continue // evicted or made again while this went on
		}
		v.Runs++
		damaged = append(damaged, victim{key: o.Key, run: o.Made.Run})
		v.Damaged = append(v.Damaged, mr.DamagedRun{Task: plan.TaskName(o.Kind, o.Index), Job: o.Job, Name: names[o.Job], Why: why})
	}
	return v, damaged, nil
}

func (c Catalog) current(key mr.Digest) (id uint64, err error) {
	err = c.Store.View(func(tx *store.Tx) error {
		o, err := lineage.GetOutput(tx, key)
		if err == nil && o != nil {
			id = o.Made.Run
		}
		return err
	})
	return id, err
}

// verifyRun says what is wrong with an output's run, or nothing. An error is of one that can't be
// read for now, as without permission: that says nothing about it.
func (c Catalog) verifyRun(o *lineage.Output) (bytes int64, why string, err error) {
	id := store.RunID(o.Made.Run)
	fail := func(err error) (int64, string, error) {
		if errors.Is(err, store.ErrNoRun) {
			return 0, "lost: its stored output is gone", nil
		}
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, run.ErrDamaged) {
			return 0, "", err
		}
		if n, verr := c.Store.VolumeOf(id); verr == nil && n > 0 {
			return 0, fmt.Sprintf("lost: volume %d damaged", n), nil
		}
		return 0, "lost: its stored output is damaged", nil
	}
	src, err := c.Store.OpenRun(id)
	if err != nil {
		return fail(err)
	}
	defer src.Close()
	if err := run.Verify(src, src.Blobs()); err != nil {
		return fail(err)
	}
	var digest mr.Digest
	if o.Kind != plan.Reduce {
		ix, err := run.ReadIndex(src, src.Blobs())
		if err != nil {
			return fail(err)
		}
		digest = ix.Digest
	} else if digest, err = run.ValuesDigest(src, src.Blobs()); err != nil {
		return fail(err)
	}
	if digest != o.Made.Digest {
		return 0, "lost: its stored output has another digest than on record", nil
	}
	return src.Bytes(), "", nil
}
