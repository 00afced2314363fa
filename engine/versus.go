package engine

import (
	"cmp"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// This file compares a job with another one, task by task: with the one of the same place,
// the same piece of input or the same range of keys.

// side is one of the two.
type side struct {
	rec    *record
	splits []input.Split
	tasks  [2]map[int]*lineage.Task
	places [2]map[string]int // to the task there
}

func sideOf(tx *store.Tx, r *record) (s *side, err error) {
	s = &side{rec: r}
	if s.splits, err = splitsOf(tx, r); err != nil {
		return nil, err
	}
	for k := range s.tasks {
		s.tasks[k], s.places[k] = map[int]*lineage.Task{}, map[string]int{}
	}
	err = eachTask(tx, r.ID, func(id taskID, t *lineage.Task) error {
		s.tasks[id.kind][id.index] = t
		return nil
	})
	for i := range s.splits {
		s.places[plan.Map][s.place(plan.Map, i)] = i
	}
	for i := range s.count(plan.Reduce) {
		s.places[plan.Reduce][s.place(plan.Reduce, i)] = i
	}
	return s, err
}

func (s *side) count(k plan.Kind) int {
	if k == plan.Map {
		return max(len(s.splits), s.rec.Map.Tasks)
	}
	return max(s.rec.Reduce.Tasks, len(s.tasks[plan.Reduce]))
}

// place names what a task works on, without its contents.
func (s *side) place(k plan.Kind, i int) string {
	if k == plan.Reduce && !s.rec.Traits.Reduce { // it writes out what map task i has made
		k = plan.Map
	}
	switch {
	case k == plan.Map && i < len(s.splits):
		d := mapSlot(&record{}, s.splits[i])
		return string(d[:])
	case k == plan.Reduce && i < len(s.rec.Ranges) && !s.within(i).Empty():
		return string(s.rec.Ranges[i].Lo)
	}
	return plan.TaskName(k, i)
}

// within is the range of reduce task i, as far as it is on record.
func (s *side) within(i int) (r plan.Range) {
	if i < len(s.rec.Ranges) {
		r = plan.Range(s.rec.Ranges[i])
	}
	return r
}

// versus gathers why the tasks of a job have other outputs than those of another one.
func versus(tx *store.Tx, now, then *side, rs *rows) error {
	for k := plan.Map; k <= plan.Reduce; k++ {
		phase := phaseOf(k)
		for i := range now.count(k) {
			example := exampleOf(now.rec, now.splits, taskID{now.rec.ID, k, i})
			other, there := then.places[k][now.place(k, i)]
			t := now.tasks[k][i]
			state := now.state(t)
			if !there {
				rs.add(phase, state, "only in "+string(now.rec.ID), example)
				continue
			}
			why, err := compareTasks(tx, now, then, k, [2]int{i, other})
			if err != nil {
				return err
			}
			rs.add(phase, state, why, example)
		}
		for i := range then.count(k) {
			if _, there := now.places[k][then.place(k, i)]; !there {
				rs.add(phase, then.state(then.tasks[k][i]), "only in "+string(then.rec.ID), exampleOf(then.rec, then.splits, taskID{then.rec.ID, k, i}))
			}
		}
	}
	return nil
}

// compareTasks says how two tasks of the same place differ.
func compareTasks(tx *store.Tx, now, then *side, k plan.Kind, at [2]int) (string, error) {
	if !now.rec.Traits.Reduce && !then.rec.Traits.Reduce {
		k = plan.Map // keys of tasks that write out a map's output are each job's own
	}
	a, b := now.tasks[k][at[0]], then.tasks[k][at[1]]
	if a == nil || b == nil || a.State != lineage.TaskDone || b.State != lineage.TaskDone {
		return "not done in both", nil
	}
	made := "the same"
	if a.Made.Digest != b.Made.Digest {
		made = "its code made something else of the same: a file that it opens had changed, or it is not deterministic"
	}
	if a.Key == b.Key {
		return made, nil
	}
	why := ""
	switch was, is := then.rec.stage(k), now.rec.stage(k); {
	case is != was:
		var err error
		if why, err = stageDifference(tx, is, was); err != nil {
			return "", err
		}
	case k == plan.Reduce:
		why = changedOutputs(now.within(at[0]), then.within(at[1]))
	default:
		x, err := lineage.GetOutput(tx, a.Key)
		if err != nil {
			return "", err
		}
		y, err := lineage.GetOutput(tx, b.Key)
		if err != nil {
			return "", err
		}
		why = cmp.Or(whyCut(&now.rec.Spec, &then.rec.Spec), changedInput)
		if x != nil && y != nil && x.Split == y.Split {
			if !now.rec.Traits.Positions && now.rec.Spec.SkipBadRecords == 0 { // one has a key that no other job has
				return made, nil
			}
			why = changedPlace
		}
	}
	if a.Made.Digest == b.Made.Digest {
		why += "; the output is the same"
	}
	return why, nil
}

func phaseOf(k plan.Kind) string {
	if k == plan.Map {
		return "map"
	}
	return "reduce"
}

// state is a task of the job as outsiders know it. Nothing waits or runs in a job that has ended.
func (s *side) state(t *lineage.Task) mr.State {
	switch state := stateOf(t); {
	case !s.rec.State.Done() || state != mr.Pending && state != mr.Running:
		return state
	case t != nil && t.Failures > 0:
		return mr.FailedJob
	}
	return mr.Killed
}

// stateOf is a task on record as outsiders know it; nil has not started.
func stateOf(t *lineage.Task) mr.State {
	switch {
	case t == nil:
		return mr.Pending
	case t.State == lineage.TaskLost:
		return mr.Lost
	case t.State != lineage.TaskDone:
		return mr.Running
	case t.Cached:
		return mr.Cached
	}
	return mr.Succeeded
}
