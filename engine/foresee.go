package engine

import (
	"context"
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
	spec.Overwrite = true // nothing is written
	j, err := e.prepare(ctx, spec)
	if err != nil {
		return x, err
	}
	p, err := e.makePlan(ctx, &j.rec, j.files)
	if err != nil {
		return x, err
	}
	for _, lie := range p.lies {
		e.log.Warn(lie)
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
		t.split, start = lineage.GetStamp(tx, s.StampKey(r.Spec.InputFormat))
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
			why, err := whyMissed(tx, r, plan.Map, &t, plan.Range{}, now, now)
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
		cut = whyCut(&r.Spec, &was.spec)
	}
	switch {
	case !t.split.IsZero():
	case prev == nil: // the bytes may be those of another place, as in a file that was renamed or copied
		why = also("new input", "read and digested first, then looked up")
	case full:
		why = also(why, "--verify full: read and digested first, then looked up")
	case cut != "":
		why = also(cut, "read and digested first, then looked up")
	default:
		why = also(why, whyUnknown(s, before.split(was, t.slot), now)+": read and digested first, then looked up")
	}
	return mr.Pending, why, nil
}

// placed are the earlier jobs of which something stands where a job's map outputs will.
type placed struct {
	last *earlier              // the last one of the name and input, if it has read all of that; nil: there is none
	jobs map[mr.JobID]*earlier // nil: its record has been removed
}

type earlier struct {
	spec   mr.Spec
	splits map[mr.Digest]input.Split // by mapSlot
}

func newPlaced(tx *store.Tx, r *record) (*placed, error) {
	p := &placed{jobs: map[mr.JobID]*earlier{}}
	last, err := predecessor(tx, r)
	if err == nil && last != nil && last.State == mr.Succeeded {
		p.last = p.job(tx, last.ID)
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
		e = &earlier{spec: r.Spec, splits: map[mr.Digest]input.Split{}}
		splits, err := splitsOf(tx, r)
		if err != nil {
			splits = nil // damage that will be told where it matters: this is only about words
		}
		for _, s := range splits {
			e.splits[mapSlot(r, s)] = s
		}
	}
	p.jobs[id] = e
	return e
}

// split is the split at a slot as it was when it was last read: by the last job, or else by the one
// that made the output there. It has no pieces if that is not on record.
func (p *placed) split(made *earlier, slot mr.Digest) input.Split {
	for _, e := range []*earlier{p.last, made} {
		if e != nil && len(e.splits[slot].Pieces) > 0 {
			return e.splits[slot]
		}
	}
	return input.Split{}
}

// whyUnknown says why the times of a split's files don't tell what is in it. was is the one that began
// at the same place when it was last read.
func whyUnknown(s, was input.Split, now time.Time) string {
	if len(was.Pieces) == 0 {
		return "files are not known by their times"
	}
	stamps := map[string]input.Stamp{}
	for _, p := range was.Pieces {
		stamps[p.Path] = p.Stamp
	}
	touched, same := false, len(s.Pieces) == len(was.Pieces)
	for _, p := range s.Pieces {
		then, both := stamps[p.Path]
		touched = touched || both && then != p.Stamp
		same = same && both
	}
	switch {
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
		other, err := predecessor(tx, &like)
		if err != nil {
			return err
		}
		for i, s := range p.stages {
			var old []plan.Component
			if other != nil {
				if old, err = lineage.GetStage(tx, [2]mr.Digest{other.MapStage, other.ReduceStage}[i]); err != nil {
					return err
				}
			}
			keys = append(keys, compare(s.Components, old)...)
		}
		return nil
	})
	return keys, err
}
