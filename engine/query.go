package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
)

// Status implements mr.Jobs.
func (e *Engine) Status(ctx context.Context, id mr.JobID) (s mr.Status, err error) {
	live := false
	err = e.request(ctx, func(l *loop) {
		if j := l.jobs[id]; j != nil {
			s, live = l.view(j), true
		}
	})
	if live || err != nil && !errors.Is(err, errStopped) {
		return s, err
	}
	return Catalog{e.o.Store}.Status(ctx, id)
}

// Wait implements mr.Jobs. A busy job changes thousands of times a second, and nobody looks
// that often: changes other than its end are gathered for a small share of the time that it
// has run.
func (e *Engine) Wait(ctx context.Context, id mr.JobID, since uint64) (mr.Status, error) {
	var wake, over <-chan struct{} // nil: there is nothing to wait for
	pause := time.Duration(0)
	err := e.request(ctx, func(l *loop) {
		j := l.jobs[id]
		if j == nil {
			return
		}
		over, pause = j.over, min(l.e.o.Now().Sub(j.rec.Submitted)/50, e.beat)
		if j.version > since {
			return
		}
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		wake = j.changed // one for all: who gives up waiting leaves nothing behind
	})
	if err == nil && wake != nil {
		err = e.await(ctx, id, wake, longPoll)
	}
	if err == nil && over != nil {
		err = e.await(ctx, id, over, pause)
	}
	if err != nil {
		return mr.Status{}, err
	}
	return e.Status(ctx, id)
}

// await waits for what closes c, for at most d. That the engine stops ends it as well.
func (e *Engine) await(ctx context.Context, id mr.JobID, c <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	case <-e.stopped:
	case <-ctx.Done():
		return mr.Errorf(mr.Interrupted, "gave up waiting for job %s: %w", id, ctx.Err())
	}
	return nil
}

// List implements mr.Jobs.
func (e *Engine) List(ctx context.Context, all bool) ([]mr.Status, error) {
	live := map[mr.JobID]mr.Status{}
	err := e.request(ctx, func(l *loop) {
		for id, j := range l.jobs {
			live[id] = l.view(j)
		}
	})
	if err != nil {
		return nil, err
	}
	if !all && !e.o.Idle {
		// Nothing that has not ended is elsewhere: there is no need to read all jobs on record.
		return unended(live), nil
	}
	list, err := Catalog{e.o.Store}.List(ctx, all)
	for i := range list {
		if s, ok := live[list[i].Job]; ok {
			list[i] = s
		}
	}
	return list, err
}

// unended returns the jobs that have not ended in the order of their submission.
func unended(live map[mr.JobID]mr.Status) (list []mr.Status) {
	for _, id := range slices.Sorted(maps.Keys(live)) {
		if s := live[id]; !s.State.Done() {
			list = append(list, s)
		}
	}
	return list
}

// Kill implements mr.Jobs.
func (e *Engine) Kill(ctx context.Context, id mr.JobID) error {
	s, err := e.Status(ctx, id)
	if err != nil {
		return err
	}
	for !s.State.Done() {
		var failed error
		err = e.request(ctx, func(l *loop) { // more than once: a publication that was about to begin may come to wait for room
			if failed = l.unpark(id); failed == nil {
				l.kill(id)
			}
		})
		if err = cmp.Or(err, failed); err != nil {
			return err
		}
		if s, err = e.Wait(ctx, id, s.Version); err != nil {
			return err
		}
	}
	return nil
}

// Logs implements mr.Jobs.
func (e *Engine) Logs(ctx context.Context, id mr.JobID) ([]mr.LogLine, error) {
	if err := e.request(ctx, func(l *loop) { l.flushLogs() }); err != nil {
		return nil, err
	}
	return Catalog{e.o.Store}.Logs(ctx, id)
}

// Catalog answers the questions of mr.Jobs that need no engine, from a store alone.
type Catalog struct{ Store *store.Store }

var errNoEngine = mr.Errorf(mr.Unreachable, "no daemon serves this store; start mrd, or use mrctl run")

// Submit needs an engine.
func (c Catalog) Submit(context.Context, mr.SubmitID, mr.Spec) (mr.JobID, error) {
	return "", errNoEngine
}

// Kill needs an engine.
func (c Catalog) Kill(context.Context, mr.JobID) error { return errNoEngine }

// Wait returns a job that has ended; waiting for another needs an engine.
func (c Catalog) Wait(ctx context.Context, id mr.JobID, _ uint64) (mr.Status, error) {
	s, err := c.Status(ctx, id)
	if err == nil && !s.State.Done() {
		return s, errNoEngine
	}
	return s, err
}

// DryRun needs an engine.
func (c Catalog) DryRun(context.Context, mr.Spec) (mr.Explanation, error) {
	return mr.Explanation{}, errNoEngine
}

// Status implements mr.Jobs.
func (c Catalog) Status(_ context.Context, id mr.JobID) (s mr.Status, err error) {
	err = c.Store.View(func(tx *store.Tx) error {
		r, err := getJob(tx, id)
		if err == nil {
			s = r.status()
		}
		return err
	})
	return s, err
}

// List implements mr.Jobs.
func (c Catalog) List(_ context.Context, all bool) (list []mr.Status, err error) {
	err = c.Store.View(func(tx *store.Tx) error {
		return tx.Scan(store.Jobs, nil, func(_, v []byte) error {
			r, err := decodeJob(v)
			if err == nil && (all || !r.State.Done()) {
				list = append(list, r.status())
			}
			return err
		})
	})
	return list, err
}

// Logs implements mr.Jobs.
func (c Catalog) Logs(_ context.Context, id mr.JobID) (lines []mr.LogLine, err error) {
	err = c.Store.View(func(tx *store.Tx) error {
		r, err := getJob(tx, id)
		if err != nil {
			return err
		}
		at := r.Submitted
		return tx.Scan(store.Logs, append([]byte(id), '/'), func(_, v []byte) error {
			var line mr.LogLine
			if err := json.Unmarshal(v, &line); err != nil { // the others are what somebody looks for
				line = mr.LogLine{Time: at, Text: "a line that was here is damaged in the store: " + err.Error()}
			}
			at = line.Time
			lines = append(lines, line)
			return nil
		})
	})
	return lines, err
}

// CacheStats implements mr.Jobs.
func (c Catalog) CacheStats(context.Context) (s mr.CacheStats, err error) {
	st := c.Store.Stats()
	s.Runs, s.RunBytes = st.Runs, st.RunBytes
	s.CatalogBytes, s.VolumeBytes, s.Volumes = st.CatalogBytes, st.VolumeBytes, len(st.Volumes)
	err = c.Store.View(func(tx *store.Tx) error {
		cost := map[mr.Digest]float64{}
		err := lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			s.Outputs++
			cost[o.Key] = o.CPU.Seconds()
			return nil
		})
		if err != nil {
			return err
		}
		return tx.Scan(store.Jobs, nil, func(_, v []byte) error {
			r, err := decodeJob(v)
			if err != nil {
				return err
			}
			s.Hits += int64(r.Map.Cached + r.Reduce.Cached)
			s.Misses += int64(r.Map.Run + r.Reduce.Run)
			return eachTask(tx, r.ID, func(_ taskID, t *lineage.Task) error {
				if t.Cached {
					s.SavedSeconds += cost[t.Key]
				}
				return nil
			})
		})
	})
	return s, err
}

// Explain, Lineage, Impact and CacheStats read the catalog alone.

// Explain implements mr.Jobs.
func (e *Engine) Explain(ctx context.Context, id, vs mr.JobID) (mr.Explanation, error) {
	return Catalog{e.o.Store}.Explain(ctx, id, vs)
}

// Lineage implements mr.Jobs.
func (e *Engine) Lineage(ctx context.Context, output string, part int) (mr.Lineage, error) {
	return Catalog{e.o.Store}.Lineage(ctx, output, part)
}

// Impact implements mr.Jobs.
func (e *Engine) Impact(ctx context.Context, file string) ([]mr.Status, error) {
	return Catalog{e.o.Store}.Impact(ctx, file)
}

// CacheStats implements mr.Jobs.
func (e *Engine) CacheStats(ctx context.Context) (mr.CacheStats, error) {
	return Catalog{e.o.Store}.CacheStats(ctx)
}

var (
	_ mr.Jobs = (*Engine)(nil)
	_ mr.Jobs = Catalog{}
)

// latest returns the last job that wrote an output folder. The manifest says which. Where
// there is none, the jobs on record do: of those that ended, one that succeeded.
func latest(tx *store.Tx, output string) (*record, error) {
	if m, err := ReadManifest(output); err == nil && m.Job != "" {
		r, err := getJob(tx, m.Job)
		if mr.KindOf(err) == mr.NotFound { // the store's own jobs with this output made another
			err = mr.Errorf(mr.NotFound, "%s was made by job %s, which is not on record in this store; choose the --store that the job ran with", output, m.Job)
		}
		return r, err
	}
	var found *record
	err := lastJobs(tx, "", func(r *record) (more bool) {
		if r.Spec.Output == output && (r.State == mr.Succeeded || !r.State.Done()) {
			found = r
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = mr.Errorf(mr.NotFound, "no job on record has written %s", output)
	}
	return found, err
}
