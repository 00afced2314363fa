package engine

import (
	"context"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// An unchanged split of a file that has grown is read to be known. That its task is done and that
// the next one begins are acts of one step, and so one transaction: an append waits for one sync a
// split, not for two.
func TestHeldAttemptsMakeRoomAtOnce(t *testing.T) {
	l := &loop{core: newCore(1), attempts: map[plan.Attempt]*flight{}}
	step := func(ev event) []action { return l.step(ev, time.Now()) }
	step(evWorker{worker: 1, slots: 1})
	step(evAdd{job: "job", share: true})
	var first plan.Attempt
	for _, a := range step(evPlanned{job: "job", maps: make([]planned, 2)}) {
		if s, ok := a.(actStart); ok {
			first = s.attempt
		}
	}
	task := taskID{"job", plan.Map, 0}
	l.attempts[first] = &flight{task: task, worker: 1, held: true}
	step(evIdentified{first, mr.Digest{1}})
	var got []string
	for _, a := range step(evLookup{task: task, attempt: first, hit: true, run: 7, out: mr.Digest{2}}) {
		switch a := a.(type) {
		case actTaskDone:
			got = append(got, "done "+plan.TaskName(a.task.kind, a.task.index))
		case actTaskStart:
			got = append(got, "start "+plan.TaskName(a.task.kind, a.task.index))
		}
	}
	if len(got) != 2 || got[0] != "done m-00000" || got[1] != "start m-00001" {
		t.Errorf("the step says %q", got)
	}
	if l.core.attempts[first] != nil {
		t.Error("the attempt is still on the books")
	}
}

// An attempt whose worker has gone before its order could be sent is not counted as running for ever.
func TestOrdersForWorkersThatHaveGone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	j := &job{rec: record{ID: newJobID(time.Now())}, maps: make([]taskInfo, 1), splits: make([]input.Split, 1)}
	err := e.request(ctx, func(l *loop) {
		l.adopt(j)
		b := &batchWriter{l: l, touched: map[mr.JobID]bool{}}
		id := taskID{j.rec.ID, plan.Map, 0}
		b.stage(actTaskStart{task: id, attempt: 1})
		l.carryOut([]action{actStart{task: id, attempt: 1, worker: 7}})
		delete(l.jobs, j.rec.ID)
	})
	if err != nil || j.rec.Map.Running != 0 || j.rec.Map.Attempts != 1 {
		t.Errorf("%+v, %v", j.rec.Map, err)
	}
}
