package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
	"github.com/mrd-io/mr/store"
)

// Reuse stands on equal code making equal output of equal input. What an author's code
// can't be kept from seeing (the clock, random numbers, the order of a Go map) is found
// out instead: the first map or reduce task that makes records, of a stage that has no verdict, is executed once more,
// and until that has come out the same nothing of the stage is shared with other jobs;
// and one hit in a hundred is executed again when nothing else is to do. Built-ins are
// held to their golden outputs by this project's own tests and need no trial; nor does a
// reduce stage in which nothing of the author's runs (mr.Traits.Totals).

// verdict is what is known of a stage. Recorded values: append only.
type verdict byte

const (
	untried       verdict = 0
	deterministic verdict = 1 // the same bytes came out again
	unordered     verdict = 2 // the same records, values of equal keys in another order
	indeterminate verdict = 3 // other records: not shared
)

func (v verdict) String() string {
	return [...]string{"untried", "deterministic", "unordered", "indeterminate"}[v]
}

const verdictPrefix = "verdict/"

func verdictKey(stage mr.Digest) []byte { return append([]byte(verdictPrefix), stage[:]...) }

// A verdict is recorded with its complement: with one wrong bit it is none. Earlier versions
// wrote the first byte alone.
func putVerdict(tx *store.Tx, stage mr.Digest, v verdict) error {
	return tx.Put(store.Meta, verdictKey(stage), []byte{byte(v), ^byte(v)})
}

func verdictOf(tx *store.Tx, stage mr.Digest) verdict {
	b := tx.Get(store.Meta, verdictKey(stage))
	if len(b) == 0 || b[0] > byte(indeterminate) || len(b) > 1 && b[1] != ^b[0] {
		return untried
	}
	return verdict(b[0])
}

// mayShare reports whether a job may use an output: one of its own, or one of a stage
// that has passed its trial, or needs none, if the files that its making has read are as they were.
func mayShare(tx *store.Tx, r *record, out *lineage.Output) bool {
	if out.Job == r.ID {
		return true
	}
	if same, _ := r.files.compare(tx, out.Opened); !same {
		return false
	}
	if out.Kind == plan.Merge {
		return true
	}
	switch verdictOf(tx, out.Stage) {
	case untried:
		return r.Spec.Code.Kind != mr.Binary || out.Kind == plan.Reduce && r.Traits.Totals != "" // of the same code, if it is to serve r
	case indeterminate:
		return false
	}
	return true
}

// mostTried bounds the input of a reduce task that is executed once more. Where all have
// more, the stage stays untried, and its parts, which are large, are made anew by other jobs.
const mostTried = 256 << 20

// tryStage starts the trial of one of a job's stages, once, with a task that was just done.
func (l *loop) tryStage(j *job, k plan.Kind, f *flight) {
	switch {
	case j.tried[k] || j.rec.Spec.Code.Kind != mr.Binary || j.rec.Spec.NoCache:
		return
	case k == plan.Reduce && j.rec.Traits.Totals != "":
		return
	case k == plan.Reduce && (f.work.Copy || f.work.Unsorted || j.reduces[f.task.index].bytes > mostTried):
		return
	case someUnknown(f.result.Opened):
		return // whatever came out of another execution, it may have read something else
	}
	if c := j.core(l); f.result.Made.Records == 0 && c != nil && c.left[k] > 0 {
		return // nothing in it could come out different: another will tell
	}
	j.tried[k] = true
	stage := j.rec.stage(k)
	if known, err := l.verdict(stage); err != nil || known != untried {
		return
	}
	work := f.work
	work.Expect = f.result.Split
	made, id := f.result.Made, j.rec.ID
	files := f.result.Opened
	j.onTrial++
	l.after = append(l.after, func() { // its run is on record now
		l.e.spawn(func() {
			v, err := l.e.rehearse(l.e.ctx, &work, made, files)
			l.e.request(l.e.ctx, func(l *loop) { //nolint:errcheck // stopped: tried again in the next life
				if l.jobs[id] == nil && err == nil { // it was killed, or has failed
					l.setVerdict(stage, v)
				}
				l.wasTried(id, k, plan.TaskName(k, work.Index), v, err)
			})
		})
	})
}

// wasTried records a verdict, and lets a job go on to its commit that waited for it.
func (l *loop) wasTried(id mr.JobID, k plan.Kind, task string, v verdict, err error) {
	j := l.jobs[id]
	if j == nil {
		return
	}
	j.onTrial--
	if err != nil {
		l.logf(j, task, "its code could not be judged, so its outputs are not shared yet: %v", err)
		if errors.Is(err, errFailedAgain) {
			l.warn(j, "the job's code may not be deterministic: a "+phaseOf(k)+" task that had succeeded failed when it was executed again ('mrctl logs' says how); its outputs are not used by other jobs yet")
		}
	} else {
		l.logf(j, task, "executed once more: %s", v)
		l.judge(j, k, v)
	}
	if j.commitWaits && j.onTrial == 0 {
		j.commitWaits = false
		l.commit(id)
	}
}

// verdict is what is known of a stage.
func (l *loop) verdict(stage mr.Digest) (known verdict, err error) {
	err = l.e.o.Store.View(func(tx *store.Tx) error {
		known = verdictOf(tx, stage)
		return nil
	})
	return known, err
}

// setVerdict records a verdict on a stage, with what is recorded next. A worse one replaces a better one.
func (l *loop) setVerdict(stage mr.Digest, v verdict) {
	l.owed = append(l.owed, func(tx *store.Tx) error {
		if verdictOf(tx, stage) >= v {
			return nil
		}
		return putVerdict(tx, stage, v)
	})
}

// judge records a verdict on a stage of a job.
func (l *loop) judge(j *job, k plan.Kind, v verdict) {
	l.setVerdict(j.rec.stage(k), v)
	if v == indeterminate {
		l.warn(j, "the job's code is not deterministic: a "+phaseOf(k)+" task that was executed again made other records; its outputs are not used by other jobs")
	}
}

// cameOutDifferent judges a stage by a task that has made something else than the last time. Of that no
// more is on record than how much it was: where the stage is known to change the order of values, and there are as many of
// them, nothing else is taken to have changed.
func (l *loop) cameOutDifferent(j *job, id taskID, before, now plan.Made) {
	l.logf(j, plan.TaskName(id.kind, id.index), "came out different when it was computed again")
	if known, err := l.verdict(j.rec.stage(id.kind)); err == nil && known == unordered && before.Records == now.Records && before.Raw == now.Raw {
		return
	}
	l.judge(j, id.kind, indeterminate)
}

// rehearse executes a task again and compares what it makes with what was made, when files held what they
// hold in files.
func (e *Engine) rehearse(ctx context.Context, w *plan.Work, made plan.Made, files []plan.Opened) (verdict, error) {
	r, err := e.again(ctx, w, files)
	switch {
	case err != nil:
		return untried, err
	case r.Digest == made.Digest:
		return deterministic, nil
	case w.Kind == plan.Reduce:
		return e.rehearsePart(ctx, w, made, r, files)
	}
	src, err := e.o.Store.OpenRun(store.RunID(made.Run))
	if err != nil {
		return untried, err
	}
	defer src.Close()
	all, err := run.Multiset(src, src.Blobs())
	switch {
	case err != nil:
		return untried, err
	case all == r.Multiset:
		return unordered, nil
	}
	return indeterminate, nil
}

// errFailedAgain is in the error about a task that succeeded the first time.
var errFailedAgain = errors.New("it failed when it was executed again")

// again executes a task again. It is an error if its code opens a file that is not in files or holds something else now.
func (e *Engine) again(ctx context.Context, w *plan.Work, files []plan.Opened) (plan.Rehearsal, error) {
	var r plan.Rehearsal // the call may go on writing to it when it is given up
	if err := e.ask(ctx, "Worker.Rehearse", w, &r); err != nil {
		return plan.Rehearsal{}, err
	}
	strange := unknownFiles(r.Opened, files)
	switch {
	case len(strange) > 0:
		return r, errFileChanged(strange[0])
	case r.Failure.Kind == plan.UserError:
		return r, fmt.Errorf("%w: %s", errFailedAgain, r.Failure.Message)
	case r.Failure.Kind != plan.NoFailure:
		return r, fmt.Errorf("%s", r.Failure.Message)
	case r.Split != w.Expect:
		return r, fmt.Errorf("the input has changed meanwhile")
	}
	return r, nil
}

// errTwiceAlike leaves a stage untried: the part that was made may have had other records, or the same in
// another order.
var errTwiceAlike = errors.New("two more executions came out alike, and unlike the first, which has its bytes alone on record")

// rehearsePart judges a part that came out different. Of the part itself only its bytes
// are left, not its records; so a third execution tells whether their order alone differs.
func (e *Engine) rehearsePart(ctx context.Context, w *plan.Work, made plan.Made, second plan.Rehearsal, files []plan.Opened) (verdict, error) {
	if second.Records != made.Records || second.Raw != made.Raw {
		return indeterminate, nil
	}
	third, err := e.again(ctx, w, files)
	switch {
	case err != nil:
		return untried, err
	case third.Digest == second.Digest:
		return untried, errTwiceAlike
	case third.Multiset == second.Multiset:
		return unordered, nil
	}
	return indeterminate, nil
}

// auditShare is one in how many hits are executed again when nothing else is to do.
const auditShare = 100

// auditQueue bounds how many wait for that.
const auditQueue = 64

// drawnHit is a hit to be executed again.
type drawnHit struct {
	stage mr.Digest
	work  plan.Work
	made  plan.Made
	files []plan.Opened
	name  string
}

// drawAudit draws a hit for an audit, with the chance of one in auditShare.
func (l *loop) drawAudit(j *job, id taskID, out *lineage.Output) {
	if id.kind != plan.Map || len(l.audits) >= auditQueue || rand.IntN(auditShare) != 0 {
		return
	}
	w, err := l.e.mapAgain(&j.rec, j.splits[id.index], id.index, out)
	files, err2 := l.e.openedList(out.Opened)
	if err != nil || err2 != nil {
		return
	}
	name := plan.TaskName(plan.Map, id.index) + " of " + string(j.rec.ID)
	l.audits = append(l.audits, drawnHit{stage: out.Stage, work: w, made: out.Made, files: files, name: name})
}

// auditInIdleTime executes one drawn hit again while no job is live.
func (l *loop) auditInIdleTime() {
	if l.auditing || len(l.audits) == 0 || len(l.jobs) > 0 {
		return
	}
	a := l.audits[0]
	l.audits = l.audits[1:]
	l.auditing = true
	l.e.spawn(func() {
		v, err := l.e.rehearse(l.e.ctx, &a.work, a.made, a.files)
		l.e.request(l.e.ctx, func(l *loop) { l.audited(a, v, err) }) //nolint:errcheck // stopped: nothing to record
	})
}

func (l *loop) audited(a drawnHit, v verdict, err error) {
	l.auditing = false
	if err != nil {
		l.e.log.Info("a hit could not be audited", "task", a.name, "err", err)
		return
	}
	l.e.log.Info("a hit was audited", "task", a.name, "verdict", v.String())
	if v == deterministic {
		return
	}
	if v == indeterminate {
		l.e.log.Error("a stored output is not what its code makes now: its stage is not shared any more", "task", a.name, "stage", a.stage.Short())
	}
	l.setVerdict(a.stage, v)
}
