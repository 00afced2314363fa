package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// A job often follows another one: the same reduce stage, over the same input as it was a day
// ago. What that one has left serves in two ways. Its ranges are used again while they
// balance, so that what did not change keeps its key. And where all that a reduce task does is
// to add integers up, its part follows from that one's: take off what was added for the
// runs that are gone, and add what the new ones come to. That costs what changed, and a copy.

// baseJob is what the job that another one follows has left for patches.
type baseJob struct {
	rec     *record
	maps    []mapOutput
	reduces map[int]mr.Digest // keys of the reduce tasks that are done

	patches bool  // what is known of it will do
	added   []int // map tasks of the job whose runs the base has not read
}

// mapOutput is a run that a map task of the base has made.
type mapOutput struct {
	run    uint64
	digest mr.Digest
	blocks []block
	gone   bool // the job does not read it, or not so often
}

// rangesSlots are the places where a job with this reduce stage leaves its id: that of its
// input patterns first, and then that of all jobs with the stage.
func rangesSlots(rec *record) [2]mr.Digest {
	b := append(rec.ReduceStage[:], strings.Join(rec.Spec.Inputs, "\x00")...)
	return [2]mr.Digest{plan.Sum("mr/slot/ranges of inputs", b), plan.Sum("mr/slot/ranges", rec.ReduceStage[:])}
}

// baseOf finds the job that rec follows, for good: a job that goes on after a crash has
// the base that it began with.
func baseOf(tx *store.Tx, rec *record) *record {
	ids := []mr.JobID{rec.Base}
	if rec.Base == "" {
		for _, slot := range rangesSlots(rec) {
			ids = append(ids, mr.JobID(tx.Get(store.Slots, slot[:])))
		}
	}
	for _, id := range ids {
		if id == "" || id == rec.ID {
			continue
		}
		if old, err := getJob(tx, id); err == nil && old.ReduceStage == rec.ReduceStage {
			return old
		}
	}
	return nil // there is none, or its record is gone
}

// patchTasks finds out which of the reduce tasks, of those that have no part to install, follow
// from tasks of the job base. It reads base's tasks only if there are such.
func (e *Engine) patchTasks(rec, base *record, blocks [][]block, digests []mr.Digest, s *shuffled) error {
	missed := slices.ContainsFunc(s.tasks, func(t taskInfo) bool { return t.keep == 0 && t.link == "" })
	if base == nil || !missed || !patchable(rec) {
		return nil
	}
	p := baseJob{rec: base, reduces: map[int]mr.Digest{}, patches: true}
	if err := e.o.Store.View(p.read); err != nil {
		return fmt.Errorf("reading what job %s has left: %w", base.ID, err)
	}
	p.compare(e.o.Store, blocks, digests)
	return e.o.Store.View(func(tx *store.Tx) error {
		for i, r := range s.ranges {
			if t := &s.tasks[i]; t.keep == 0 && t.link == "" {
				if err := p.patch(tx, rec, r, blocks, t); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// read reads the tasks of the base.
func (p *baseJob) read(tx *store.Tx) error {
	return eachTask(tx, p.rec.ID, func(id taskID, t *lineage.Task) error {
		switch {
		case id.kind == plan.Reduce && t.State == lineage.TaskDone:
			p.reduces[id.index] = t.Key
		case id.kind == plan.Map && t.State != lineage.TaskDone:
			p.patches = false // nobody knows what its reduce tasks have read
		case id.kind == plan.Map && t.Made.Records > 0:
			p.maps = append(p.maps, mapOutput{run: t.Made.Run, digest: t.Made.Digest})
		}
		return nil
	})
}

// patchable reports whether a part of the job can be made of an earlier one.
func patchable(rec *record) bool {
	_, lines := rec.Traits.Lines()
	return lines && rec.Format == "text" && !rec.Spec.NoCache
}

// cutsOf are the keys at which a job has cut its ranges; none without a job.
func cutsOf(rec *record) (cuts [][]byte) {
	if rec == nil {
		return nil
	}
	for _, r := range rec.Ranges {
		if len(r.Lo) > 0 {
			cuts = append(cuts, r.Lo)
		}
	}
	return cuts
}

// compare finds the runs that are gone since the base, and those that are new. Runs
// with the same records are the same, whichever splits they came from.
func (p *baseJob) compare(s *store.Store, blocks [][]block, digests []mr.Digest) {
	if !p.patches {
		return
	}
	old := map[mr.Digest][]*mapOutput{}
	for i := range p.maps {
		m := &p.maps[i]
		m.gone = true
		old[m.digest] = append(old[m.digest], m)
	}
	for i, d := range digests {
		switch ms := old[d]; {
		case len(blocks[i]) == 0:
		case len(ms) > 0:
			ms[0].blocks, ms[0].gone = blocks[i], false
			old[d] = ms[1:]
		default:
			p.added = append(p.added, i)
		}
	}
	for i := range p.maps {
		m := &p.maps[i]
		if !m.gone {
			continue
		}
		b, d, err := blocksOf(s, m.run)
		if err != nil || d != m.digest { // what it came to cannot be known any more
			p.patches = false
			return
		}
		m.blocks = b
	}
}

// mostPatched is the part of a reduce task's input that may have changed for a patch: with
// more, adding everything up is as quick.
const mostPatched = 2

// patch notes in reduce task t, of range r, how it follows from the base's, if it does.
func (p *baseJob) patch(tx *store.Tx, rec *record, r plan.Range, blocks [][]block, t *taskInfo) error {
	if !p.patches {
		return nil
	}
	index := slices.IndexFunc(p.rec.Ranges, func(o rangeRecord) bool { return bytes.Equal(r.Lo, o.Lo) && bytes.Equal(r.Hi, o.Hi) })
	key, done := p.reduces[index]
	if !done {
		return nil
	}
	out, err := lineage.GetOutput(tx, key)
	if err != nil || out == nil || out.Kind != plan.Reduce || out.Gone != "" || !mayShare(tx, rec, out) || !tx.HasRun(store.RunID(out.Made.Run)) {
		return err
	}
	if p.key(r) != key {
		return nil // it was made of other runs
	}
	w := &plan.Patch{Base: out.Made.Run, Totals: rec.Traits.Totals, Records: out.Made.Records, Input: leavesOf(out), Positive: out.Positive}
	var changed int64
	var plus []int
	for _, m := range p.maps {
		if !m.gone {
			continue
		}
		if digests, n := inRange(m.blocks, r); digests != nil {
			changed += n
			w.Minus = append(w.Minus, m.run)
		}
	}
	for _, i := range p.added {
		if digests, n := inRange(blocks[i], r); digests != nil {
			changed += n
			plus = append(plus, i)
		}
	}
	if changed*mostPatched <= t.bytes {
		t.patch, t.plus = w, plus
	}
	return nil
}

// key is the key of the base's reduce task of range r, by the runs that compare knows.
func (p *baseJob) key(r plan.Range) mr.Digest {
	var runs [][]mr.Digest
	for i := range p.maps {
		if digests, _ := inRange(p.maps[i].blocks, r); digests != nil {
			runs = append(runs, digests)
		}
	}
	return plan.ReduceKey(p.rec.ReduceStage, r, runs, make([]uint8, len(runs)))
}

// orderPatch puts t's patch into the order of an attempt.
func orderPatch(w *plan.Work, j *job, t *taskInfo) {
	if t.patch == nil {
		return
	}
	w.Patch = *t.patch
	for _, i := range t.plus {
		w.Patch.Plus = append(w.Patch.Plus, j.maps[i].Made.Run)
	}
	w.Nodes = nil
}
