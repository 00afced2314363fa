package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// Workers stamp the beginning and the end of an attempt on the master's clock, as well as
// they know it; the stamps are on record with the task that the attempt has made. They
// are for people: nothing is decided by them.

// Timeline implements mr.Fleet.
func (e *Engine) Timeline(ctx context.Context, id mr.JobID) ([]mr.TaskTimes, error) {
	var running []mr.TaskTimes
	err := e.request(ctx, func(l *loop) {
		for a, f := range l.attempts {
			if f.task.job != id || f.done {
				continue
			}
			t := mr.TaskTimes{
				Task: plan.TaskName(f.task.kind, f.task.index), Attempt: a.String(), State: mr.Running,
				Known: true, Began: f.started, Took: l.e.o.Now().Sub(f.started), // as the engine saw it
			}
			if m := l.members[f.worker]; m != nil {
				t.Worker = m.Name
			}
			running = append(running, t)
		}
	})
	if err != nil {
		return nil, err
	}
	done, err := Catalog{e.o.Store}.Timeline(ctx, id)
	return sortTimes(append(done, running...)), err
}

// Timeline implements mr.Fleet.
func (c Catalog) Timeline(_ context.Context, id mr.JobID) (list []mr.TaskTimes, err error) {
	err = c.Store.View(func(tx *store.Tx) error {
		if _, err := getJob(tx, id); err != nil {
			return err
		}
		return eachTask(tx, id, func(k taskID, t *lineage.Task) error {
			if t.State == lineage.TaskDone && !t.Cached && t.Attempt != 0 {
				list = append(list, mr.TaskTimes{
					Task: plan.TaskName(k.kind, k.index), Attempt: t.Attempt.String(), Worker: t.Worker, State: mr.Succeeded,
					Known: t.Began.Known && t.Ended.Known,
					Began: t.Began.Time(), Ended: t.Ended.Time(), BeganBound: t.Began.Bound, EndedBound: t.Ended.Bound,
					Took: t.Took,
				})
			}
			return nil
		})
	})
	return sortTimes(list), err
}

// sortTimes puts those whose time is not known last.
func sortTimes(list []mr.TaskTimes) []mr.TaskTimes {
	slices.SortStableFunc(list, func(a, b mr.TaskTimes) int {
		switch {
		case a.Known != b.Known && a.Known:
			return -1
		case a.Known != b.Known:
			return 1
		case !a.Began.Equal(b.Began):
			return a.Began.Compare(b.Began)
		}
		return strings.Compare(a.Task, b.Task)
	})
	return list
}
