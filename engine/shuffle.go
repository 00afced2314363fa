package engine

import (
	"time"

	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
	"github.com/mrd-io/mr/store"
)

// This file is what happens at the barrier: all maps are done, and their runs' indexes
// say where the bytes lie. Key ranges are cut by weight, each range's reduce task gets
// its key from the blocks it will read, and a part that an earlier job made from the
// very same blocks is found before any work is ordered.

// shuffled is what cutting finds out, beside the loop.
type shuffled struct {
	ranges []plan.Range
	tasks  []taskInfo
	lost   []uint64
	base   mr.JobID // see baseOf
}

func (l *loop) cut(id mr.JobID) {
	j := l.jobs[id]
	if j == nil {
		return
	}
	if _, err := j.skipped(); err != nil {
		l.queue = append(l.queue, evCut{job: id, err: err.Error()})
		return
	}
	rec := j.rec
	made := j.mapped()
	l.e.spawn(func() {
		s, err := l.e.shuffle(&rec, made)
		for n := 1; err != nil && n < maxFailures && l.e.ctx.Err() == nil; n++ { // as often as a task would be tried
			l.e.log.Warn("the map outputs of a job cannot be read; trying again", "job", rec.ID, "err", err)
			l.e.sleep(spaceRetry)
			s, err = l.e.shuffle(&rec, made)
		}
		if err == nil {
			err = failpoint.Hit("engine/cut")
		}
		if err != nil {
			l.e.post(evCut{job: id, err: err.Error()})
			return
		}
		l.e.request(l.e.ctx, func(l *loop) { l.shuffled(id, s) }) //nolint:errcheck // stopped: cut again in the next life
	})
}

// sleep waits, unless the engine is stopped.
func (e *Engine) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-e.ctx.Done():
	}
}

// mostCopies is how many parts a job may have for its copies to be small tasks: such an attempt
// waits for the disk more than it computes, and holds next to nothing while it waits.
const mostCopies = 64

// shuffled takes the ranges over.
func (l *loop) shuffled(id mr.JobID, s *shuffled) {
	j := l.jobs[id]
	if j == nil {
		return
	}
	if len(s.lost) > 0 {
		l.logf(j, "", "%d map outputs could not be read at the shuffle", len(s.lost))
		l.queue = append(l.queue, evCut{job: id, lost: s.lost, where: l.whereLost(s.lost)})
		return
	}
	old := j.reduces
	j.before = nil // the maps have been explained
	j.ranges, j.reduces, j.rec.Base = s.ranges, s.tasks, s.base
	for i := range j.reduces { // a second cut keeps the count of earlier attempts
		if i < len(old) {
			j.reduces[i].Starts, j.reduces[i].Failures = old[i].Starts, old[i].Failures
		}
	}
	j.rec.Reduce.Tasks, j.rec.Reduce.BytesTotal = len(s.tasks), 0
	j.rec.Ranges = nil
	for i := range s.tasks {
		j.rec.Reduce.BytesTotal += s.tasks[i].bytes
		j.rec.Ranges = append(j.rec.Ranges, rangeRecord(s.ranges[i]))
	}
	ps := j.toReduce()
	if len(old) == 0 && j.resumed {
		if err := l.adoptReduces(j, ps); err != nil {
			l.e.log.Error("reading the reduce tasks on record", "job", id, "err", err)
		}
		l.recount(j)
	}
	l.queue = append(l.queue, evCut{job: id, reduces: ps})
}

// toReduce are the reduce tasks of a job that was cut.
func (j *job) toReduce() []planned {
	ps := make([]planned, len(j.reduces))
	for i := range ps {
		t := &j.reduces[i]
		ps[i] = planned{key: t.Key, failures: t.Failures, tiny: (t.keep != 0 || t.link != "") && len(ps) <= mostCopies}
	}
	return ps
}

// block is a data block of one run as the shuffle sees it.
type block struct {
	first, last []byte // keys; last may be the next block's first
	raw         int64
	digest      mr.Digest
}

// inRange returns the digests of the blocks that may hold keys of r, and about how many
// bytes of records they have there. Many runs have little more than the ends of two blocks in
// a range, so a block counts where it begins, as it does when the ranges are cut.
func inRange(blocks []block, r plan.Range) (digests []mr.Digest, raw int64) {
	from := sort.Search(len(blocks), func(i int) bool { return r.Lo == nil || bytes.Compare(blocks[i].last, r.Lo) >= 0 })
	for _, b := range blocks[from:] {
		if !r.Overlaps(b.first, b.last) {
			break // nor do those behind it
		}
		digests = append(digests, b.digest)
		if r.Contains(b.first) {
			raw += b.raw
		}
	}
	return digests, raw
}

// mapped is what the map tasks have made.
func (j *job) mapped() []plan.Made {
	made := make([]plan.Made, len(j.maps))
	for i := range j.maps {
		made[i] = j.maps[i].Made
	}
	return made
}

func (e *Engine) shuffle(rec *record, made []plan.Made) (*shuffled, error) {
	s := &shuffled{}
	blocks, digests, lost, err := e.indexes(made)
	if err != nil {
		return nil, err
	}
	for i, err := range lost {
		if err == nil && digests[i] != made[i].Digest { // what says where runs are may be damaged, too
			err = fmt.Errorf("%w: its records have digest %v, and the task made %v", run.ErrDamaged, digests[i].Short(), made[i].Digest.Short())
		}
		if err != nil {
			e.log.Warn("a map output cannot be read", "job", rec.ID, "run", made[i].Run, "err", err)
			s.lost = append(s.lost, made[i].Run)
		}
	}
	if len(s.lost) > 0 {
		return s, nil
	}
	if !rec.Traits.Reduce {
		mapOnly(rec, s, blocks)
		return s, nil
	}
	var base *record
	err = e.o.Store.View(func(tx *store.Tx) error { base = baseOf(tx, rec); return nil })
	if err != nil {
		return nil, fmt.Errorf("looking for the job before: %w", err)
	}
	if base != nil {
		s.base = base.ID
	}
	s.ranges = chooseRanges(rec, blocks, cutsOf(base))
	s.tasks = make([]taskInfo, len(s.ranges))
	old, tree := oldParts(rec), treeOf(rec, blocks, digests)
	err = e.o.Store.View(func(tx *store.Tx) error {
		for i, r := range s.ranges {
			if err := reduceTask(tx, rec, r, blocks, tree, old, &s.tasks[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking up reduce outputs: %w", err)
	}
	return s, e.patchTasks(rec, base, blocks, digests, s)
}

// mapOnly makes one task of each map output, which writes it out as a part.
func mapOnly(rec *record, s *shuffled, blocks [][]block) {
	for i := range blocks {
		t := taskInfo{places: []int{i}}
		var digests []mr.Digest
		for _, b := range blocks[i] {
			t.bytes += b.raw
			digests = append(digests, b.digest)
		}
		t.Key = privateKey(rec, plan.TaskName(plan.Reduce, i), digests)
		s.ranges = append(s.ranges, plan.Range{})
		s.tasks = append(s.tasks, t)
	}
}

// chooseRanges cuts the key space, unless that was done before: a job keeps its ranges.
func chooseRanges(rec *record, blocks [][]block, sticky [][]byte) []plan.Range {
	if len(rec.Ranges) > 0 {
		rs := make([]plan.Range, len(rec.Ranges))
		for i, r := range rec.Ranges {
			rs[i] = plan.Range(r)
		}
		return rs
	}
	var ws []plan.Weight
	for _, bs := range blocks {
		for _, b := range bs {
			ws = append(ws, plan.Weight{Key: b.first, Last: b.last, Bytes: b.raw})
		}
	}
	return plan.Cut(ws, rec.Spec.Reducers, rec.Traits.Group, sticky)
}

// oldParts are the parts of the output that a job replaces, by digest. They are about to
// go, so a part that comes out the same may be linked instead of written. The digests
// are hopes: whoever links reads the bytes.
func oldParts(rec *record) map[mr.Digest]string {
	if rec.MadeOutput {
		return nil
	}
	m, err := ReadManifest(rec.Spec.Output)
	if err != nil {
		return nil
	}
	old := map[mr.Digest]string{}
	for _, p := range m.Parts {
		old[p.Digest] = filepath.Join(rec.Spec.Output, filepath.Base(p.Name))
	}
	return old
}

// reduceTask finds the maps and the key of one range, and its part if an earlier job
// made one that can be had without reducing.
func reduceTask(tx *store.Tx, rec *record, r plan.Range, blocks [][]block, tree []uint8, old map[mr.Digest]string, t *taskInfo) error {
	var runs [][]mr.Digest
	for i, bs := range blocks {
		digests, raw := inRange(bs, r)
		t.bytes += raw
		if digests != nil {
			t.places = append(t.places, i)
			runs = append(runs, digests)
		}
	}
	t.seps = plan.Restrict(tree, t.places)
	t.slot = reduceSlot(rec, r)
	if rec.Spec.NoCache {
		t.Key = privateKey(rec, "reduce from "+string(r.Lo)+"\x00"+string(t.seps), slices.Concat(runs...))
		return nil
	}
	t.Key = plan.ReduceKey(rec.ReduceStage, r, runs, keyShape(rec, t.seps))
	var err error
	if !patchable(rec) || rec.Spec.Incremental {
		if t.nodes, err = nodesOf(tx, rec, r, runs, t.seps); err != nil {
			return err
		}
	}
	out, err := lineage.GetOutput(tx, t.Key)
	if err != nil || out == nil || out.Gone == lineage.Invalidated || !mayShare(tx, rec, out) {
		return err
	}
	t.keepAs, t.link = out.Made.Digest, old[out.Made.Digest]
	if tx.HasRun(store.RunID(out.Made.Run)) {
		t.keep = out.Made.Run
	}
	return nil
}

// privateKey is the key of a reduce output that no other job can have. It stands on
// the blocks that were read all the same: a part made of other blocks is another.
func privateKey(rec *record, task string, blocks []mr.Digest) mr.Digest {
	b := append(append([]byte(rec.ID), 0), task...)
	for _, d := range blocks {
		b = append(append(b, 0), d[:]...)
	}
	return plan.Sum("mr/private", b)
}

// indexes reads the indexes of runs: their blocks and digests, and why those that can't be read
// are lost. Nothing else of the job goes on at the barrier, so all processors may help.
func (e *Engine) indexes(made []plan.Made) (blocks [][]block, digests []mr.Digest, lost []error, err error) {
	blocks, digests, lost = make([][]block, len(made)), make([]mr.Digest, len(made)), make([]error, len(made))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range made {
		group.Go(func() (err error) {
			blocks[i], digests[i], err = blocksOf(e.o.Store, m.Run)
			if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNoRun) || errors.Is(err, run.ErrDamaged) {
				lost[i], err = err, nil
			}
			if err != nil {
				return fmt.Errorf("reading the index of run %d: %w", m.Run, err)
			}
			return nil
		})
	}
	return blocks, digests, lost, group.Wait()
}

// blocksOf reads a run's index: its blocks and the digest of its records.
func blocksOf(s *store.Store, id uint64) ([]block, mr.Digest, error) {
	src, err := s.OpenRun(store.RunID(id))
	if err != nil {
		return nil, mr.Digest{}, err
	}
	defer src.Close()
	ix, err := run.ReadIndex(src, src.Blobs())
	if err != nil {
		return nil, mr.Digest{}, err
	}
	bs := make([]block, len(ix.Blocks))
	for i, b := range ix.Blocks {
		bs[i] = block{first: b.FirstKey, last: ix.Last, raw: int64(b.Raw), digest: b.Digest}
		if i+1 < len(ix.Blocks) {
			bs[i].last = ix.Blocks[i+1].FirstKey
		}
		if b.Raw == 0 { // parts of stores from when such runs were passed over are not to be found
			bs[i].digest = plan.Sum("mr/block of empty records", b.Digest[:])
		}
	}
	return bs, ix.Digest, nil
}

// runsOf are the runs that a reduce task reads now: those of the maps, by the order of
// their splits, that had blocks in its range when it was cut. A map that was computed
// again has another run under the same position.
func (l *loop) runsOf(j *job, index int) []uint64 {
	t := &j.reduces[index]
	runs := make([]uint64, len(t.places))
	for i, m := range t.places {
		runs[i] = j.maps[m].Made.Run
	}
	return runs
}

// dropKept gives up a kept part that could not be installed: the task reduces.
func (l *loop) dropKept(id taskID) {
	j, t := l.taskOf(id)
	if t == nil {
		return
	}
	l.logf(j, plan.TaskName(id.kind, id.index), "the kept part could not be used; reducing again")
	if t.keep != 0 {
		l.forgetLost(t.Key, t.keep)
	}
	t.keep, t.link = 0, ""
}

// forgetLost forgets an output whose run could not be read, beside the loop, unless it was made
// again meanwhile.
func (l *loop) forgetLost(key mr.Digest, id uint64) {
	why, now := l.e.whyLost(id), l.e.o.Now()
	l.e.spawn(func() {
		err := l.e.o.Store.Update(func(tx *store.Tx) error {
			out, err := lineage.GetOutput(tx, key)
			if err != nil || out == nil || out.Made.Run != id {
				return err
			}
			return lineage.Forget(tx, key, why, now)
		})
		if err != nil {
			l.e.log.Error("forgetting a lost output", "key", key.Short(), "err", err)
		}
	})
}
