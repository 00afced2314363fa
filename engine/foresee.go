package engine

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// This file says what a job would do, and why, before it has done it.

// DryRun implements mr.Jobs.
func (e *Engine) DryRun(ctx context.Context, spec mr.Spec) (x mr.Explanation, err error) {
	overwrite := spec.Overwrite
	spec.Overwrite = true // nothing is written: what is in the way is told, and no more
	j, err := e.prepare(ctx, spec)
	if err != nil {
		return x, err
	}
	p, err := e.makePlan(ctx, &j.rec, j.files)
	if err != nil {
		return x, err
	}
	x.Notes = p.lies
	j.rec.Spec.Overwrite = overwrite
	if err := e.mayWrite(j); err != nil {
		x.Notes = append(x.Notes, "as it stands, the job would not run: "+err.Error())
	}
	j.rec.MapStage, j.rec.ReduceStage = p.stages[0].Digest, p.stages[1].Digest
	var rs rows
	err = e.o.Store.View(func(tx *store.Tx) error {
		like := j.rec
		like.ID = newJobID(e.o.Now())
		before, err := newPlaced(tx, &like)
		if err != nil {
			return err
		}
		for _, s := range p.splits {
			state, why, err := foresee(tx, before, &j.rec, p.stages[0].Components, p.full, s, e.o.Now())
			if err != nil {
				return err
			}
			rs.add("map", state, why, s.String())
		}
		return nil
	})
	x.Rows = rs.list()
	if err == nil {
		x.Keys, err = e.dryKeys(&j.rec, p)
	}
	return x, err
}

// foresee says whether a map task's output is on record, and if not, why it will run. Where
// the split must be read first, what is known so far is said. stage is the job's map stage.
func foresee(tx *store.Tx, before *placed, r *record, stage []plan.Component, full bool, s input.Split, now time.Time) (mr.State, string, error) {
	if r.Spec.NoCache {
		return mr.Pending, "--no-cache", nil
	}
	t := taskInfo{slot: mapSlot(r, s)}
	prev, err := lineage.GetOutput(tx, lineage.GetSlot(tx, t.slot, r.MapStage))
	if err != nil {
		return "", "", err
	}
	if prev != nil && prev.Stage.IsZero() { // its record is damaged
		prev = nil
	}
	var start int64
	if !full && s.Settled(now) {
		t.split, start = lineage.GetStamp(tx, stampKey(&r.Spec, s))
	}
	if !t.split.IsZero() {
		t.Key = (&job{rec: *r, splits: []input.Split{s}}).mapKey(0, t.split, start)
		out, err := hit(tx, r, t.Key)
		if err == nil && out != nil {
			return mr.Cached, "the output is on record", nil
		}
		if err != nil {
			return "", "", err
		}
		if known, err := lineage.GetOutput(tx, t.Key); err != nil || known != nil || prev == nil || prev.Stage == r.MapStage {
			why, err := whyMapped(tx, before, r, &t, s, now, now)
			return mr.Pending, why, err
		}
	}
	why, cut := "", ""
	var was *earlier // what made prev
	if prev != nil {
		was = before.job(tx, prev.Job)
	}
	if prev != nil && prev.Stage != r.MapStage { // which need not be on record yet
		old, err := lineage.GetStage(tx, prev.Stage)
		if err != nil {
			return "", "", err
		}
		why = firstDifference(stage, old)
	} else if prev != nil && tooLong(r, prev) {
		why = whyTooLong(r, prev)
	} else if was != nil {
		cut = whyCut(&r.Spec, &was.rec.Spec)
	}
	switch {
	case !t.split.IsZero():
	case prev == nil: // the bytes may be those of another place, as in a file that was renamed or copied
		why = also(before.whyNew(tx, r, s, t.slot), "read and digested first, then looked up")
	case full:
		why = also(why, "--verify full: read and digested first, then looked up")
	case cut != "":
		why = also(cut, "read and digested first, then looked up")
	default:
		why = also(why, whyUnknown(s, before.split(tx, was, t.slot), now)+": read and digested first, then looked up")
	}
	return mr.Pending, why, nil
}

// whyMapped is whyMissed of a map task over split s, which may be cut elsewhere than the ones before.
func whyMapped(tx *store.Tx, before *placed, r *record, t *taskInfo, s input.Split, began, now time.Time) (string, error) {
	why, err := whyMissed(tx, r, plan.Map, t, plan.Range{}, began, now)
	switch why {
	case newInput:
		why = before.whyNew(tx, r, s, t.slot)
	case changedInput:
		prev, err := lineage.GetOutput(tx, lineage.GetSlot(tx, t.slot, r.MapStage))
		if err != nil || prev == nil {
			return why, err
		}
		made := before.job(tx, prev.Job)
		if made != nil {
			if cut := whyCut(&r.Spec, &made.rec.Spec); cut != "" {
				return cut, nil
			}
		}
		if touched, same := compareFiles(s, before.split(tx, made, t.slot)); !touched && !same {
			why = changedPack
		}
	}
	return why, err
}

// placed are the earlier jobs of which something stands where a job's map outputs will.
type placed struct {
	last *earlier              // the last one of the name and input, if it has read all of that; nil: there is none
	jobs map[mr.JobID]*earlier // nil: its record has been removed
}

type earlier struct {
	rec    *record
	splits map[mr.Digest]input.Split // by mapSlot; nil before at is called
	stamps map[string]input.Stamp    // of their files, by path; nil before stamp is called
}

// mostLooked is how many jobs are looked at for the last one: each takes some 40 µs.
const mostLooked = 500

func newPlaced(tx *store.Tx, r *record) (*placed, error) {
	p := &placed{jobs: map[mr.JobID]*earlier{}}
	last, err := predecessor(tx, r, mostLooked)
	if err == nil && last != nil && last.State == mr.Succeeded {
		p.last = &earlier{rec: last}
		p.jobs[last.ID] = p.last
	}
	return p, err
}

// job returns what is on record of a job, nil if its record has been removed.
func (p *placed) job(tx *store.Tx, id mr.JobID) *earlier {
	e, known := p.jobs[id]
	if known {
		return e
	}
	if r, err := getJob(tx, id); err == nil {
		e = &earlier{rec: r}
	}
	p.jobs[id] = e
	return e
}

// split is the split at a slot as it was when it was last read: by the last job, or else by the one
// that made the output there. It has no pieces if that is not on record.
func (p *placed) split(tx *store.Tx, made *earlier, slot mr.Digest) (s input.Split) {
	for _, e := range []*earlier{p.last, made} {
		if e != nil && len(s.Pieces) == 0 {
			s = e.at(tx, slot)
		}
	}
	return s
}

// at is the job's split at a slot. It has no pieces if there was none.
func (e *earlier) at(tx *store.Tx, slot mr.Digest) input.Split {
	if e.splits == nil {
		e.splits = map[mr.Digest]input.Split{}
		splits, err := splitsOf(tx, e.rec)
		if err != nil {
			splits = nil // damage that will be told where it matters: this is only about words
		}
		for _, s := range splits {
			e.splits[mapSlot(e.rec, s)] = s
		}
	}
	return e.splits[slot]
}

// whyNew says why nothing stands where a split begins: its files are new, or have grown, or the last job
// began its splits elsewhere.
func (p *placed) whyNew(tx *store.Tx, r *record, s input.Split, slot mr.Digest) string {
	if p.last == nil || len(s.Pieces) == 0 || len(p.last.at(tx, slot).Pieces) > 0 { // nothing was kept of that one
		return newInput
	}
	first := s.Pieces[0]
	then, known := p.last.stamp(first.Path)
	if !known || first.Off >= then.Size && first.Off > 0 {
		return newInput
	}
	if cut := whyCut(&r.Spec, &p.last.rec.Spec); cut != "" {
		return cut
	}
	switch {
	case then != first.Stamp:
		return changedInput
	case first.Off == 0:
		return changedPack
	}
	return "the split begins elsewhere"
}

// stamp returns what a file's times and size were when the job read it. It is called after at.
func (e *earlier) stamp(path string) (input.Stamp, bool) {
	if e.stamps == nil {
		e.stamps = map[string]input.Stamp{}
		for _, s := range e.splits {
			for _, p := range s.Pieces {
				e.stamps[p.Path] = p.Stamp
			}
		}
	}
	st, known := e.stamps[path]
	return st, known
}

// compareFiles reports whether a file that two splits share was touched, and whether they are of the same files.
func compareFiles(s, was input.Split) (touched, same bool) {
	stamps := map[string]input.Stamp{}
	for _, p := range was.Pieces {
		stamps[p.Path] = p.Stamp
	}
	same = len(s.Pieces) == len(was.Pieces)
	for _, p := range s.Pieces {
		then, both := stamps[p.Path]
		touched = touched || both && then != p.Stamp
		same = same && both
	}
	return touched, same
}

// whyUnknown says why the times of a split's files don't tell what is in it. was is the one that began
// at the same place when it was last read.
func whyUnknown(s, was input.Split, now time.Time) string {
	if len(was.Pieces) == 0 {
		return "files are not known by their times"
	}
	switch touched, same := compareFiles(s, was); {
	case touched:
		return "files were touched"
	case !same:
		return "other files are packed together"
	case !slices.EqualFunc(s.Pieces, was.Pieces, func(a, b input.Piece) bool { return a.Off == b.Off && a.Len == b.Len }):
		return "the split ends elsewhere"
	case !s.Settled(now):
		return "files have changed within two seconds, or have times to come"
	}
	return "files had just changed when they were last read" // so their times did not vouch for them
}

// also puts two reasons together.
func also(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// dryKeys are the components of a job that is not on record, beside those of the last one
// like it.
func (e *Engine) dryKeys(r *record, p *planning) (keys []mr.KeyComponent, err error) {
	like := *r
	like.ID = newJobID(e.o.Now())
	err = e.o.Store.View(func(tx *store.Tx) error {
		other, err := predecessor(tx, &like, math.MaxInt)
		if err == nil {
			keys, err = keysBeside(tx, [2][]plan.Component{p.stages[plan.Map].Components, p.stages[plan.Reduce].Components}, other)
		}
		return err
	})
	return keys, err
}
