package engine

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
)

// A pin is a record in table Meta, under "pin/" and the job's id, as JSON. Fields are
// only added. The outputs that it holds are those of the job's tasks.
type pin struct {
	At time.Time
}

const pinPrefix = "pin/"

// CachePin implements mr.Cache.
func (e *Engine) CachePin(_ context.Context, what string, on bool) (p mr.CachePin, err error) {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	err = e.o.Store.Update(func(tx *store.Tx) error {
		r, err := pinnable(tx, what)
		if err != nil {
			return err
		}
		key := []byte(pinPrefix + string(r.ID))
		if on {
			b, err := json.Marshal(pin{At: e.o.Now()})
			if err != nil {
				return err
			}
			if err := tx.Put(store.Meta, key, b); err != nil {
				return err
			}
		} else if tx.Get(store.Meta, key) == nil {
			return mr.Errorf(mr.NotFound, "job %s is not pinned; mrctl cache stats lists the pins", r.ID)
		}
		if p, err = describePin(tx, r, e.o.Now()); err != nil || on {
			return err
		}
		return tx.Delete(store.Meta, key)
	})
	return p, err
}

// pinnable finds a job by its id or the output folder that it wrote.
func pinnable(tx *store.Tx, what string) (*record, error) {
	if filepath.IsAbs(what) {
		return latest(tx, filepath.Clean(what))
	}
	return getJob(tx, mr.JobID(what))
}

func describePin(tx *store.Tx, r *record, at time.Time) (mr.CachePin, error) {
	p := mr.CachePin{Job: r.ID, Name: r.Traits.Job, Output: r.Spec.Output, At: at}
	err := eachTask(tx, r.ID, func(_ taskID, t *lineage.Task) error {
		o, err := lineage.GetOutput(tx, t.Key)
		if err == nil && o != nil && o.Made.Run != 0 {
			p.Bytes += o.Made.Stored
		}
		return err
	})
	return p, err
}

// eachPin calls fn with the pinned jobs. That a job is pinned is in the key: with a record that can't be read
// only the time is not known.
func eachPin(tx *store.Tx, fn func(id mr.JobID, p pin) error) error {
	return tx.Scan(store.Meta, []byte(pinPrefix), func(k, v []byte) error {
		var p pin
		_ = json.Unmarshal(v, &p)
		return fn(mr.JobID(k[len(pinPrefix):]), p)
	})
}

// pinnedKeys are the outputs that pins hold.
func pinnedKeys(tx *store.Tx) (map[mr.Digest]bool, error) {
	keys := map[mr.Digest]bool{}
	err := eachPin(tx, func(id mr.JobID, _ pin) error {
		return eachTask(tx, id, func(_ taskID, t *lineage.Task) error {
			keys[t.Key] = true
			return nil
		})
	})
	return keys, err
}
