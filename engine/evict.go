package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// This file keeps the store within its bound. When it takes 80 % of it, outputs are given
// up, those first that save least for their bytes, until collecting volumes brings it
// down to 65 %: what is written meanwhile, and what collecting moves, needs room.
//
// Candidates are chosen beside the loop, which takes a while in a large catalog. The
// decision falls in the loop, where nobody can begin to use an output meanwhile: runs
// that live jobs stand on, and pinned ones, stay. It is one transaction for each batch;
// after a crash between that and the collection, the garbage is found by the next.
//
// An output's record outlives its bytes, so lineage and explanations do, too.

const (
	evictFrom, evictTo = 16, 13                 // twentieths of the bound
	evictBatch         = 512                    // outputs to a transaction: the loop waits for it
	evictTick          = 20 * time.Millisecond  // from one eviction to the look whether it was enough
	evictPause         = 500 * time.Millisecond // at least, when there was nothing to evict
	evictRest          = 10                     // so many times as long as it took to see that
	evictMost          = 30 * time.Second       // but no longer
)

// keeper is what the engine needs to keep its bound.
type keeper struct {
	kicked chan struct{} // holds a token when the store has grown
	mu     sync.Mutex    // one eviction, invalidation, change of pins at a time
	parked map[uint64]bool
	warned time.Time // guarded by mu

	binaries atomic.Int64 // bytes that job binaries take
}

// kick says that the store has grown.
func (e *Engine) kick() {
	select {
	case e.keep.kicked <- struct{}{}:
	default:
	}
}

// keepBounded evicts whenever the store has grown too large, until the engine stops.
func (e *Engine) keepBounded() {
	e.pruneIfDue()
	look := time.NewTicker(pruneLook)
	defer look.Stop()
	bounded := e.o.CacheSize > 0 && !e.o.OnRequest
	if bounded {
		e.boundBinaries()
		defer e.o.Store.Bound(0)
	}
	for e.ctx.Err() == nil {
		var kicked, grown <-chan struct{}
		var again <-chan time.Time
		if bounded {
			if rest := e.evict(); rest > 0 {
				again = time.After(rest)
			} else {
				kicked, grown = e.keep.kicked, e.o.Store.Grown() // what is being written is not committed yet
			}
		}
		select {
		case <-kicked:
		case <-grown:
		case <-again:
		case <-look.C:
			e.pruneIfDue()
		case <-e.ctx.Done():
		}
	}
}

// evict brings the store back within its bound, if it has grown too large, and says when to look
// again; 0: when it has grown.
func (e *Engine) evict() (rest time.Duration) {
	bound := e.room(e.o.CacheSize)
	if e.o.Store.DiskBytes() <= bound/20*evictFrom {
		return 0
	}
	begun := e.o.Now()
	freed, err := e.shrink(e.ctx, bound, false)
	if err != nil && e.ctx.Err() == nil {
		e.log.Warn("keeping the store within its bound", "err", err)
	}
	// Writers wait for room only while it can be made.
	stuck := freed.Disk == 0 || err != nil
	e.o.Store.Overrun(stuck)
	if stuck { // which takes a while to find out in a large catalog
		return min(max(evictPause, evictRest*e.o.Now().Sub(begun)), evictMost)
	}
	return evictTick
}

// shrink evicts and collects until the store takes at most 65 % of limit. With small, outputs in the
// catalog go as well: its file does not shrink for that, but who asks for room wants all that there is.
func (e *Engine) shrink(ctx context.Context, limit int64, small bool) (freed mr.CacheFreed, err error) {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	target := limit / 20 * evictTo
	victims, short, err := e.victims(ctx, target, small)
	if err != nil {
		return freed, err
	}
	for batch := range slices.Chunk(victims, evictBatch) {
		if err := e.forget(ctx, batch, lineage.Evicted, &freed); err != nil {
			return freed, err
		}
		// What is free now is given back at once: others go on writing.
		n, err := e.o.Store.Reclaim(ctx, target)
		freed.Disk += n
		if err != nil {
			return freed, err
		}
	}
	if len(victims) == 0 {
		if freed.Disk, err = e.o.Store.Reclaim(ctx, target); err != nil {
			return freed, err
		}
	}
	if now := e.o.Now(); short > 0 && e.o.Store.DiskBytes() > limit && now.Sub(e.keep.warned) > time.Minute {
		e.keep.warned = now
		why := "the store is larger than --cache-size: jobs under way and pins need it"
		catalog := e.o.Store.CatalogBytes()
		if catalog > limit/2 {
			why = "the store is larger than --cache-size: the records of its jobs alone take most of that; old ones go once a day, or with mrctl cache gc, and leave room for others"
		}
		e.log.Warn(why, "store", e.o.Store.Dir(), "bytes", e.o.Store.DiskBytes(), "limit", limit, "records", catalog)
	}
	return freed, nil
}

// victim is an output that may be given up.
type victim struct {
	key    mr.Digest
	run    uint64
	volume uint32
	bytes  int64
	cpu    time.Duration
	score  float64
}

// victims chooses outputs to give up, so that collecting would bring the store down to
// target bytes; short is what is missing even so. small is as for shrink.
func (e *Engine) victims(ctx context.Context, target int64, small bool) (vs []victim, short int64, err error) {
	volumes, runs, err := e.o.Store.Layout()
	if err != nil {
		e.log.Warn("evicting with bad records in the catalog", "err", err)
	}
	need := e.o.Store.DiskBytes() - target
	for _, f := range volumes {
		need -= f.Gain()
	}
	if need <= 0 {
		return nil, 0, nil
	}
	all, err := e.candidates(ctx, runs)
	if err != nil {
		return nil, 0, err
	}
	for _, v := range all {
		f, stored := volumes[v.volume]
		if !stored && !small && v.score > 0 { // prune.go gives it up one day
			continue
		}
		if stored {
			was := f.Gain()
			f.Live = max(f.Live-v.bytes, 0)
			volumes[v.volume] = f
			need -= f.Gain() - was
		}
		vs = append(vs, v)
		if need <= 0 {
			break
		}
	}
	return vs, max(need, 0), nil
}

// candidates are the outputs that nobody needs now, the least valuable first.
func (e *Engine) candidates(ctx context.Context, runs map[store.RunID]uint32) (all []victim, err error) {
	var held map[uint64]bool
	if err := e.request(ctx, func(l *loop) { held = l.held() }); err != nil {
		return nil, err
	}
	now := e.o.Now()
	err = e.o.Store.View(func(tx *store.Tx) error {
		pinned, err := pinnedKeys(tx)
		if err != nil {
			return err
		}
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			volume, stored := runs[store.RunID(o.Made.Run)]
			if o.Made.Run != 0 && stored && !held[o.Made.Run] && !pinned[o.Key] {
				all = append(all, victim{o.Key, o.Made.Run, volume, o.Made.Stored, o.CPU, value(o, now)})
			}
			return nil
		})
	})
	slices.SortFunc(all, func(a, b victim) int { return cmp.Compare(a.score, b.score) })
	return all, err
}

// wanted is when an output was made or used last.
func wanted(o *lineage.Output) time.Time {
	if o.Used.After(o.Created) {
		return o.Used
	}
	return o.Created
}

// value is what keeping an output is worth: the work it has saved or may save, for its
// bytes, and the less the longer nobody wanted it.
func value(o *lineage.Output, now time.Time) float64 {
	if o.Gone != "" {
		return 0
	}
	if o.Kind == plan.Merge { // what it stands for is there: inner nodes go first
		return 0
	}
	idle := max(now.Sub(wanted(o)), 0) + time.Minute // the last minute's are alike
	cpu := max(o.CPU, time.Millisecond)
	return cpu.Seconds() * float64(o.Uses+1) / (float64(o.Made.Stored+1<<10) * idle.Seconds())
}

// forget gives outputs up, in the loop, unless they have come to be used.
func (e *Engine) forget(ctx context.Context, vs []victim, why string, freed *mr.CacheFreed) error {
	var failed error
	err := e.request(ctx, func(l *loop) {
		held := l.held()
		var got mr.CacheFreed
		failed = e.o.Store.Update(func(tx *store.Tx) error {
			got = mr.CacheFreed{}
			for _, v := range vs {
				now := e.o.Now()
				o, err := lineage.GetOutput(tx, v.key)
				if err != nil {
					return err
				}
				if o == nil || o.Made.Run != v.run {
					continue // made again, or gone, meanwhile
				}
				if v.run == 0 {
					if err := lineage.Disown(tx, v.key, why, now); err != nil {
						return err
					}
					continue
				}
				switch {
				case held[v.run] && why == lineage.Invalidated:
					got.InUse++
					err = lineage.Disown(tx, v.key, why, now)
				case held[v.run]:
					continue
				case o.Gone != "":
					err = lineage.Forget(tx, v.key, o.Gone, o.GoneAt)
				default:
					err = lineage.Forget(tx, v.key, why, now)
				}
				if err != nil {
					return err
				}
				if err := failpoint.Hit("engine/evict-forgetting"); err != nil {
					return err
				}
				got.Outputs, got.Bytes, got.Seconds = got.Outputs+1, got.Bytes+v.bytes, got.Seconds+v.cpu.Seconds()
			}
			return nil
		})
		if failed == nil {
			freed.Outputs += got.Outputs
			freed.Bytes += got.Bytes
			freed.Seconds += got.Seconds
			freed.InUse += got.InUse
		}
	})
	if err == nil && failed != nil {
		err = fmt.Errorf("forgetting outputs: %w", failed)
	}
	if err == nil {
		err = failpoint.Hit("engine/evict-forgot")
	}
	return err
}

// held are the runs that live jobs stand on: the outputs of their maps, until their parts are
// published (whoever goes on after a crash looks at them again), and the kept parts that they are about to install.
func (l *loop) held() map[uint64]bool {
	runs := make(map[uint64]bool, len(l.e.keep.parked))
	for id := range l.e.keep.parked {
		runs[id] = true
	}
	for id, j := range l.jobs {
		if c := l.core.jobs[id]; c != nil && c.phase > phaseCommit {
			continue
		}
		for i := range j.maps {
			runs[j.maps[i].Made.Run] = true
		}
		for i := range j.reduces {
			runs[j.reduces[i].keep] = true
			for _, n := range j.reduces[i].nodes {
				runs[n.run] = true
			}
		}
	}
	return runs
}

// recheck makes sure that what planning has found is still there, now that eviction
// can see that it is used.
func (l *loop) recheck(p *planning) {
	err := l.e.o.Store.View(func(tx *store.Tx) error {
		for i := range p.tasks {
			if t := &p.tasks[i]; t.done && !tx.HasRun(store.RunID(t.run)) {
				*t = planned{key: t.key, failures: t.failures}
				p.maps[i].Made = plan.Made{}
			}
		}
		return nil
	})
	if err != nil {
		l.e.log.Error("looking up what planning has found", "err", err)
	}
}

// resumeOrPark takes unfinished jobs up, or, when it is to leave them alone, remembers
// the runs that they stand on.
func (e *Engine) resumeOrPark() error {
	if !e.o.Idle {
		return e.loop.recover()
	}
	e.keep.parked = map[uint64]bool{}
	return e.o.Store.View(func(tx *store.Tx) error {
		open, err := openJobs(tx)
		for _, r := range open {
			if err == nil {
				err = eachTask(tx, r.ID, func(_ taskID, t *lineage.Task) error {
					e.keep.parked[t.Made.Run] = true
					return nil
				})
			}
		}
		return err
	})
}

// unpark takes up one of the jobs that were left alone, so that it can be ended. Nothing of it is started.
func (l *loop) unpark(id mr.JobID) error {
	if !l.e.o.Idle || l.jobs[id] != nil {
		return nil
	}
	var r *record
	err := l.e.o.Store.View(func(tx *store.Tx) (err error) {
		r, err = openJob(tx.Get(store.Jobs, []byte(id)))
		return err
	})
	if err != nil || r == nil {
		return err
	}
	return l.takeUp(r)
}

// whereLost is whyLost of the first of some runs.
func (l *loop) whereLost(runs []uint64) string {
	if len(runs) == 0 {
		return ""
	}
	return l.e.whyLost(runs[0])
}

// whyLost says where the bytes were that can't be read.
func (e *Engine) whyLost(id uint64) string {
	switch n, err := e.o.Store.VolumeOf(store.RunID(id)); {
	case err != nil:
		return "lost: its stored output is gone"
	case n == 0:
		return "lost: its stored output is damaged"
	default:
		return fmt.Sprintf("lost: volume %d damaged", n)
	}
}
