package engine

import (
	"errors"
	"fmt"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// recover takes up the jobs that an earlier life has left unfinished. What was
// committed stays; attempts that were in flight are fenced by their epoch and their
// tasks start again.
func (l *loop) recover() error {
	var err error
	if l.fastKey, err = fastKey(l.e.o.Store); err != nil {
		return fmt.Errorf("engine: reading the key of fast hashes: %w", err)
	}
	var open []*record
	err = l.e.o.Store.View(func(tx *store.Tx) (err error) {
		open, err = openJobs(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("engine: reading the jobs on record: %w", err)
	}
	for _, r := range open {
		if err := l.takeUp(r); err != nil {
			return err
		}
	}
	return nil
}

// takeUp takes up an unfinished job on record.
func (l *loop) takeUp(r *record) error {
	l.e.locate(&r.Spec.Code)
	r.files = &heldFiles{}
	if err := l.resume(&job{rec: *r}); err != nil {
		return fmt.Errorf("engine: resuming job %s: %w", r.ID, err)
	}
	return nil
}

func (l *loop) resume(j *job) error {
	l.adopt(j)
	j.resumed = true
	j.rec.Moved = j.rec.Moved || j.rec.Phase == "commit"
	if j.rec.Moved && !j.rec.MadeOutput { // who makes a part must not make the folder anew while the old one is away
		if err := putBack(j.rec.Spec.Output, asideDir(&j.rec)); err != nil {
			l.e.log.Error("putting the output back that was about to be replaced", "job", j.rec.ID, "output", j.rec.Spec.Output, "err", err)
		}
	}
	l.nextLogSeq(j)
	add := evAdd{job: j.rec.ID, share: !j.rec.Spec.NoCache, lone: j.rec.Spec.NoSpeculation}
	if j.rec.Plan.IsZero() {
		l.logf(j, "", "resumed before it was planned")
		l.queue = append(l.queue, add)
		return nil
	}
	ev, err := l.resumePlan(j)
	if errors.Is(err, errPlan) && !j.rec.Moved {
		l.logf(j, "", "resumed, to be planned anew: %v", err)
		l.forgetPlan(j)
		l.queue = append(l.queue, add)
		return nil
	}
	add.resumed = true
	switch {
	case errors.Is(err, errPlan): // parts of it may be in their place already
		l.queue = append(l.queue, add, evPlanFailed{j.rec.ID, err.Error() + "; run it again, which uses what it has left in the store"})
	case err != nil:
		return err
	default:
		l.queue = append(l.queue, add, ev)
	}
	return nil
}

// resumePlan finds out how far a job has come.
func (l *loop) resumePlan(j *job) (ev evPlanned, err error) {
	ev = evPlanned{job: j.rec.ID, resumed: true}
	ev.maps, err = l.resumeMaps(j)
	if published(&j.rec) { // what it was made of need not be there any more
		l.logf(j, "", "resumed: its output is in place")
		ev.maps, ev.cut = nil, true
		return ev, nil
	}
	if err == nil && j.rec.Cut && allDone(ev.maps) {
		ev.reduces, err = l.resumeReduces(j)
		ev.cut = ev.reduces != nil
	}
	if err != nil {
		return ev, err
	}
	s := stagesOf(&j.rec)
	ours := s[plan.Map].Digest == j.rec.MapStage && s[plan.Reduce].Digest == j.rec.ReduceStage
	if !ours && !(j.rec.Moved && ev.cut && allDone(ev.reduces)) {
		return ev, fmt.Errorf("it was planned by another version of mr, whose outputs this one must not mix with its own: %w", errPlan)
	}
	l.recount(j)
	l.logf(j, "", "resumed: %d of %d map tasks and %d of %d reduce tasks were done",
		count(ev.maps), len(ev.maps), count(ev.reduces), len(ev.reduces))
	return ev, nil
}

// forgetPlan has a job begin again: nothing is on record of what was done of it but the outputs, under their keys.
func (l *loop) forgetPlan(j *job) {
	r := &j.rec
	r.Plan, r.Maps, r.MapStage, r.ReduceStage, r.Cut, r.Ranges, r.Base = mr.Digest{}, 0, mr.Digest{}, mr.Digest{}, false, nil, ""
	r.Map, r.Reduce, r.Merge, r.Counters = mr.PhaseStatus{}, mr.PhaseStatus{}, mr.MergeStatus{}, nil
	r.Bytes = mr.Bytes{Input: r.Bytes.Input, Read: r.Bytes.Read}
	r.Phase, j.splits, j.maps, j.ranges, j.reduces = "planning", nil, nil, nil, nil
	rec := *r
	l.owed = append(l.owed, func(tx *store.Tx) error {
		return errors.Join(lineage.DeleteTasks(tx, rec.ID), putJob(tx, &rec))
	})
}

// errPlan says that a job cannot go on as it was planned.
var errPlan = errors.New("the job cannot go on as it was planned")

// resumeMaps rebuilds the map tasks from the plan and the tasks on record.
func (l *loop) resumeMaps(j *job) ([]planned, error) {
	var ps []planned
	err := l.e.o.Store.View(func(tx *store.Tx) error {
		b := lineage.GetPlan(tx, j.rec.Plan)
		if b == nil {
			return fmt.Errorf("its plan is not in the catalog: %w", errPlan)
		}
		var err error
		if j.splits, err = input.DecodeSplits(b); err != nil {
			return fmt.Errorf("its plan in the catalog: %w: %w", err, errPlan)
		}
		j.maps, ps = make([]taskInfo, len(j.splits)), make([]planned, len(j.splits))
		for i, s := range j.splits {
			j.maps[i].bytes, j.maps[i].slot = s.Bytes(), mapSlot(&j.rec, s)
			ps[i].tiny = j.maps[i].bytes <= smallInput
		}
		return lineage.ScanTasks(tx, j.rec.ID, plan.Map, func(i int, t *lineage.Task) error {
			if i >= len(ps) {
				return nil
			}
			j.maps[i].Task = *t
			ps[i].failures = t.Failures
			if t.State == lineage.TaskDone && tx.HasRun(store.RunID(t.Made.Run)) {
				ps[i].done, ps[i].cached = true, t.Cached
				ps[i].key, ps[i].run, ps[i].out = t.Key, t.Made.Run, t.Made.Digest
			} else if t.State == lineage.TaskDone {
				j.maps[i].State = lineage.TaskLost
			}
			return nil
		})
	})
	return ps, err
}

// resumeReduces rebuilds the reduce tasks of a job that was cut. It returns nil if the
// job must be cut again because a map output can't be read. If that fails again, it is the job that
// fails, and not the engine's start.
func (l *loop) resumeReduces(j *job) ([]planned, error) {
	s, err := l.e.shuffle(&j.rec, j.mapped())
	if err != nil {
		l.e.log.Error("reading what the map tasks of a job have made", "job", j.rec.ID, "err", err)
	}
	if err != nil || len(s.lost) > 0 {
		return nil, nil
	}
	j.ranges, j.reduces = s.ranges, s.tasks
	ps := j.toReduce()
	return ps, l.adoptReduces(j, ps)
}

// adoptReduces takes over the reduce tasks that were done: the same blocks, and the part
// that was written is still there.
func (l *loop) adoptReduces(j *job, ps []planned) error {
	m, err := ReadManifest(j.rec.Spec.Output)
	moved := err == nil && m.Job == j.rec.ID // all parts are where it is
	return l.e.o.Store.View(func(tx *store.Tx) error {
		return lineage.ScanTasks(tx, j.rec.ID, plan.Reduce, func(i int, t *lineage.Task) error {
			if i >= len(ps) {
				return nil
			}
			key := j.reduces[i].Key
			j.reduces[i].Task = *t
			j.reduces[i].Key = key
			ps[i].failures = t.Failures
			if t.State == lineage.TaskDone && t.Key == key && (moved || partExists(&j.rec, i, t.Attempt, t.Made.Raw)) {
				ps[i].done, ps[i].cached, ps[i].run, ps[i].out = true, t.Cached, t.Made.Run, t.Made.Digest
			} else if t.State == lineage.TaskDone {
				j.reduces[i].State = lineage.TaskLost
			}
			return nil
		})
	})
}

// recount derives a job's progress from its tasks.
func (l *loop) recount(j *job) {
	j.rec.Counters = nil
	j.rec.Bytes.Intermediate, j.rec.Bytes.Output = 0, 0
	for k := plan.Map; k <= plan.Reduce; k++ {
		old := j.phase(k)
		p := mr.PhaseStatus{Recomputed: old.Recomputed, Speculative: old.Speculative, Tasks: len(j.tasks(k))}
		for i := range j.tasks(k) {
			t := &j.tasks(k)[i]
			p.Attempts += t.Starts
			p.Failed += t.Failures
			p.BytesTotal += t.bytes
			if t.State != lineage.TaskDone {
				continue
			}
			p.BytesDone += t.bytes
			if t.Cached {
				p.Cached++
			} else {
				p.Run++
			}
			if k == plan.Map {
				j.rec.Bytes.Intermediate += t.Made.Stored
			} else {
				j.rec.Bytes.Output += t.Made.Raw
			}
			if out := l.output(t.Key); out != nil {
				j.rec.Counters = addCounters(j.rec.Counters, out.Counter, 1)
			}
		}
		*old = p
	}
	for _, f := range l.attempts { // of maps that others have overtaken, at the barrier
		if f.task.job == j.rec.ID {
			j.phase(f.task.kind).Running++
		}
	}
}

func allDone(ps []planned) bool { return count(ps) == len(ps) }

func count(ps []planned) (done int) {
	for _, p := range ps {
		if p.done {
			done++
		}
	}
	return done
}
