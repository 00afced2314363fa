package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// CacheReport implements mr.Cache.
func (c Catalog) CacheReport(ctx context.Context) (rep mr.CacheReport, err error) {
	if rep.Stats, err = c.CacheStats(ctx); err != nil {
		return rep, err
	}
	kept, err := binaries(c.Store)
	if err != nil {
		return rep, mr.Errorf(mr.Failed, "listing job binaries: %w", err)
	}
	rep.Binaries, rep.BinaryBytes = len(kept), bytesOfBinaries(kept)
	rep.Disk = c.Store.DiskBytes() + rep.BinaryBytes
	r := cacheReporter{rep: &rep, names: map[mr.JobID]string{}, jobs: map[string]*mr.CacheJob{}, cpu: map[mr.Digest]float64{}}
	err = c.Store.View(func(tx *store.Tx) error {
		if err := r.hits(tx); err != nil {
			return err
		}
		if err := r.outputs(tx); err != nil {
			return err
		}
		if err := r.saved(tx); err != nil {
			return err
		}
		return r.pins(tx)
	})
	for _, j := range r.jobs {
		rep.Jobs = append(rep.Jobs, *j)
	}
	slices.SortFunc(rep.Jobs, func(a, b mr.CacheJob) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Name, b.Name))
	})
	return rep, err
}

// cacheReporter gathers what the catalog knows into a report.
type cacheReporter struct {
	rep   *mr.CacheReport
	ids   []mr.JobID // on record
	names map[mr.JobID]string
	jobs  map[string]*mr.CacheJob // by name
	cpu   map[mr.Digest]float64   // seconds that outputs took
}

func (c *cacheReporter) of(name string) *mr.CacheJob {
	if c.jobs[name] == nil {
		c.jobs[name] = &mr.CacheJob{Name: name}
	}
	return c.jobs[name]
}

// hits counts what the jobs on record found and made.
func (c *cacheReporter) hits(tx *store.Tx) error {
	return tx.Scan(store.Jobs, nil, func(_, v []byte) error {
		r, err := decodeJob(v)
		if err != nil {
			return err
		}
		c.ids = append(c.ids, r.ID)
		c.names[r.ID] = r.Traits.Job
		j := c.of(r.Traits.Job)
		j.Hits += int64(r.Map.Cached + r.Reduce.Cached)
		j.Misses += int64(r.Map.Run + r.Reduce.Run)
		return nil
	})
}

// outputs counts the outputs on record.
func (c *cacheReporter) outputs(tx *store.Tx) error {
	pinned, err := pinnedKeys(tx)
	if err != nil {
		return err
	}
	return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
		c.cpu[o.Key] = o.CPU.Seconds()
		reportOutput(c.rep, c.of(cmp.Or(c.names[o.Job], "(old jobs)")), o, pinned[o.Key])
		return nil
	})
}

// saved adds up what outputs have spared the jobs that found them.
func (c *cacheReporter) saved(tx *store.Tx) error {
	for _, id := range c.ids {
		err := eachTask(tx, id, func(_ taskID, t *lineage.Task) error {
			if t.Cached {
				c.of(c.names[id]).SavedSeconds += c.cpu[t.Key]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pins lists the pinned jobs.
func (c *cacheReporter) pins(tx *store.Tx) error {
	return eachPin(tx, func(id mr.JobID, p pin) error {
		r, err := getJob(tx, id)
		if err != nil {
			return nil // pruned by an earlier version
		}
		d, err := describePin(tx, r, p.At)
		c.rep.Pins = append(c.rep.Pins, d)
		return err
	})
}

func reportOutput(rep *mr.CacheReport, j *mr.CacheJob, o *lineage.Output, pinned bool) {
	j.Outputs++
	switch {
	case o.Made.Run != 0:
		j.Runs++
		j.Bytes += o.Made.Stored
		if pinned {
			rep.Pinned += o.Made.Stored
		}
	case o.Gone == lineage.Evicted:
		rep.Evicted++
	case strings.HasPrefix(o.Gone, "lost"):
		rep.Lost++
	}
}

// CacheReport implements mr.Cache.
func (e *Engine) CacheReport(ctx context.Context) (mr.CacheReport, error) {
	rep, err := Catalog{e.o.Store}.CacheReport(ctx)
	if err != nil {
		return rep, err
	}
	rep.Limit = e.o.CacheSize
	var held map[uint64]bool
	if err := e.request(ctx, func(l *loop) { held = l.held() }); err != nil {
		return rep, err
	}
	err = e.o.Store.View(func(tx *store.Tx) error {
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			if o.Made.Run != 0 && held[o.Made.Run] {
				rep.Held += o.Made.Stored
			}
			return nil
		})
	})
	return rep, err
}

// CacheInvalidate implements mr.Cache.
func (e *Engine) CacheInvalidate(ctx context.Context, job string) (freed mr.CacheFreed, err error) {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	var vs []victim
	err = e.o.Store.View(func(tx *store.Tx) error {
		keys, jobs, err := keysOfJob(tx, job)
		if err != nil {
			return err
		}
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			// Of a part that is not stored, the file in an output folder could still be used again.
			usable := o.Made.Run != 0 || o.Kind == plan.Reduce && o.Gone != lineage.Invalidated
			if usable && (job == "" || keys[o.Key] || o.Kind == plan.Merge && jobs[o.Job]) {
				vs = append(vs, victim{key: o.Key, run: o.Made.Run, bytes: o.Made.Stored, cpu: o.CPU})
			}
			return nil
		})
	})
	for batch := range slices.Chunk(vs, evictBatch) {
		if err == nil {
			err = e.forget(ctx, batch, lineage.Invalidated, &freed)
		}
	}
	if err != nil {
		return freed, err
	}
	freed.Disk, err = e.o.Store.GC(ctx)
	return freed, err
}

// keysOfJob are the outputs of the tasks of one job, by id, or of all of a name; and these
// jobs, which may have kept inner nodes of merges besides.
func keysOfJob(tx *store.Tx, job string) (map[mr.Digest]bool, map[mr.JobID]bool, error) {
	if job == "" {
		return nil, nil, nil
	}
	keys, jobs := map[mr.Digest]bool{}, map[mr.JobID]bool{}
	found := false
	var ids []mr.JobID
	err := eachJob(tx, func(r *record) error {
		if string(r.ID) == job || r.Traits.Job == job {
			found = true
			ids = append(ids, r.ID)
			jobs[r.ID] = true
		}
		return nil
	})
	if err == nil && !found {
		err = mr.Errorf(mr.NotFound, "no job on record has the id or the name %q; mrctl list --all shows them", job)
	}
	for _, id := range ids {
		if err == nil {
			err = eachTask(tx, id, func(_ taskID, t *lineage.Task) error { keys[t.Key] = true; return nil })
		}
	}
	return keys, jobs, err
}

// CacheGC implements mr.Cache.
func (e *Engine) CacheGC(ctx context.Context, req mr.CacheGC) (freed mr.CacheFreed, err error) {
	limit := req.Limit
	if limit <= 0 {
		limit = e.o.CacheSize
	}
	if req.DryRun {
		return e.dryGC(ctx, limit)
	}
	var spared mr.CacheFreed
	if limit > 0 {
		if spared, err = e.trimBinaries(limit); err != nil {
			return spared, err
		}
		if room := e.room(limit); e.o.Store.DiskBytes() > room {
			if freed, err = e.shrink(ctx, room, true); err != nil {
				return freed, err
			}
		}
	}
	freed.Jobs = e.prune(ctx)
	n, err := e.o.Store.GC(ctx)
	freed.Disk += n + spared.Disk
	freed.Binaries = spared.Binaries
	return freed, err
}

// dryGC is CacheGC that changes nothing.
func (e *Engine) dryGC(ctx context.Context, limit int64) (freed mr.CacheFreed, err error) {
	if limit > 0 {
		gone, left, err := e.spareBinaries(limit / binaryShare)
		if err != nil {
			return freed, err
		}
		freed.Binaries = len(gone)
		if room := roomBeside(left, limit); e.o.Store.DiskBytes() > room {
			vs, _, err := e.victims(ctx, room/20*evictTo, true)
			if err != nil {
				return freed, err
			}
			for _, v := range vs {
				freed.Outputs, freed.Bytes, freed.Seconds = freed.Outputs+1, freed.Bytes+v.bytes, freed.Seconds+v.cpu.Seconds()
			}
		}
	}
	old, err := e.oldJobs(e.o.Now())
	freed.Jobs = len(old)
	return freed, err
}

var errNotWritable = mr.Errorf(mr.Unreachable, "the store is open for reading only")

// CacheInvalidate needs an engine.
func (c Catalog) CacheInvalidate(context.Context, string) (mr.CacheFreed, error) {
	return mr.CacheFreed{}, errNotWritable
}

// CachePin needs an engine.
func (c Catalog) CachePin(context.Context, string, bool) (mr.CachePin, error) {
	return mr.CachePin{}, errNotWritable
}

// CacheGC needs an engine.
func (c Catalog) CacheGC(context.Context, mr.CacheGC) (mr.CacheFreed, error) {
	return mr.CacheFreed{}, errNotWritable
}

var (
	_ mr.Cache = (*Engine)(nil)
	_ mr.Cache = Catalog{}
)
