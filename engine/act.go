package engine

import (
	"fmt"
	"net/rpc"
	"path/filepath"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// persist writes what actions ask to be durable, in one transaction. If storage refuses
// it (a full disk), the engine pauses: it tries again until there is room, since the
// core has already moved and nothing may be acknowledged that is not on record.
func (l *loop) persist(acts []action) error {
	b := &batchWriter{l: l}
	for _, a := range acts {
		b.stage(a)
	}
	writes := append(l.owed, b.writes...)
	l.owed = nil
	if len(writes) == 0 {
		return nil
	}
	for wait := firstPause; ; wait = min(2*wait, mostPause) {
		err := l.write(writes)
		if err == nil {
			l.unpause()
			return nil
		}
		if !noRoom(err) {
			return fmt.Errorf("engine: recording progress: %w", err)
		}
		if err := l.pause(wait, err); err != nil {
			return err
		}
	}
}

// write makes writes durable in one transaction.
func (l *loop) write(writes []func(tx *store.Tx) error) error {
	return l.e.o.Store.Update(func(tx *store.Tx) error {
		for _, w := range writes {
			if err := w(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// batchWriter turns actions into writes. What it changes in memory it changes once, in
// stage; the writes may be run more than once.
type batchWriter struct {
	l      *loop
	writes []func(tx *store.Tx) error
}

func (b *batchWriter) add(fn func(tx *store.Tx) error) { b.writes = append(b.writes, fn) }

func (b *batchWriter) stage(a action) {
	switch a := a.(type) {
	case actTaskStart:
		b.taskStart(a)
	case actTaskDone:
		b.taskDone(a)
	case actTaskLost:
		b.taskLost(a)
	case actTaskFail:
		if j, t := b.l.taskOf(a.task); t != nil {
			t.Failures++
			j.phase(a.task.kind).Failed++
			b.putTask(j, a.task, t)
		}
	case actJobPhase:
		b.jobPhase(a.job)
	case actJobEnd:
		b.jobEnd(a)
	case actAbandon:
		b.abandoned(a)
	}
}

func (b *batchWriter) putTask(j *job, id taskID, t *taskInfo) {
	rec := t.Task
	b.add(func(tx *store.Tx) error { return lineage.PutTask(tx, id.job, id.kind, id.index, &rec) })
	b.l.bump(j)
}

func (b *batchWriter) putJob(j *job) {
	rec := j.rec
	rec.Counters = append(mr.Counters{}, j.rec.Counters...)
	b.add(func(tx *store.Tx) error { return putJob(tx, &rec) })
	b.l.bump(j)
}

func (b *batchWriter) taskStart(a actTaskStart) {
	j, t := b.l.taskOf(a.task)
	if t == nil {
		return
	}
	t.Starts++
	if t.State != lineage.TaskLost {
		t.State = lineage.TaskStarted
	}
	p := j.phase(a.task.kind)
	p.Attempts++
	p.Running++
	if a.twin {
		p.Speculative++
		b.l.logf(j, plan.TaskName(a.task.kind, a.task.index), "well behind its peers: a second attempt starts beside it")
	}
	b.putTask(j, a.task, t)
}

func (b *batchWriter) taskLost(a actTaskLost) {
	j, t := b.l.taskOf(a.task)
	if t == nil {
		return
	}
	p := j.phase(a.task.kind)
	if t.Cached {
		p.Cached--
	} else {
		p.Run--
	}
	p.Recomputed++
	p.BytesDone -= t.bytes
	if a.task.kind == plan.Map {
		j.rec.Bytes.Intermediate -= t.Made.Stored
	} else {
		j.rec.Bytes.Output -= t.Made.Raw
	}
	why, now := b.l.e.whyLost(t.Made.Run), b.l.e.o.Now()
	if a.run != 0 {
		b.l.e.o.Store.Distrust(store.RunID(a.run))
	}
	t.State, t.Cached, t.Reason = lineage.TaskLost, false, why
	key := t.Key
	b.l.logf(j, plan.TaskName(a.task.kind, a.task.index), "its output was lost and is computed again")
	old := b.l.output(key)
	if old != nil {
		j.rec.Counters = addCounters(j.rec.Counters, old.Counter, -1)
	}
	if a.run != 0 && old != nil && old.Made.Run == a.run { // and not a newer one, made by another job
		b.add(func(tx *store.Tx) error { return lineage.Forget(tx, key, why, now) })
	}
	b.putTask(j, a.task, t)
}

// after runs fn once the transaction is durable.
func (b *batchWriter) after(fn func()) { b.l.after = append(b.l.after, fn) }

func (b *batchWriter) jobPhase(id mr.JobID) {
	j, c := b.l.jobs[id], b.l.core.jobs[id]
	if j == nil || c == nil {
		return
	}
	now := b.l.e.o.Now()
	b.l.bookTime(j, now)
	if j.rec.Started.IsZero() {
		j.rec.Started = now
	}
	j.rec.State, j.rec.Cut = mr.Running, c.cut
	j.rec.Phase = [...]string{"planning", "map", "shuffle", "reduce", "commit", "ending", ""}[c.phase]
	b.putJob(j)
	if c.phase == phaseReduce && j.rec.Traits.Reduce {
		for _, slot := range rangesSlots(&j.rec) {
			b.add(func(tx *store.Tx) error { return tx.Put(store.Slots, slot[:], []byte(id)) })
		}
	}
}

// bookTime books the time since it was booked last, to the phase that the job is in.
func (l *loop) bookTime(j *job, now time.Time) {
	s := now.Sub(j.phaseBegun).Seconds()
	add(&j.rec.Seconds, j.rec.Phase, s)
	j.rec.Seconds.Elapsed += now.Sub(j.begun).Seconds()
	j.begun, j.phaseBegun = now, now
}

func (b *batchWriter) jobEnd(a actJobEnd) {
	j := b.l.jobs[a.job]
	if j == nil {
		return
	}
	now := b.l.e.o.Now()
	b.l.bookTime(j, now)
	j.rec.State, j.rec.Error, j.rec.Phase, j.rec.Ended = a.state, a.err, "", now
	j.rec.Map.Running, j.rec.Reduce.Running = 0, 0
	b.l.logf(j, "", "%s%s", a.state, map[bool]string{true: ": " + a.err}[a.err != ""])
	b.l.stageLogs(j, b.add)
	b.putJob(j)
	b.after(func() {
		delete(b.l.jobs, a.job)
		if b.l.outputs[j.place] == a.job {
			delete(b.l.outputs, j.place)
		}
		b.l.wake(j)
		close(j.over)
	})
}

// carryOut does what actions ask for beyond persistence.
func (l *loop) carryOut(acts []action) {
	for _, a := range acts {
		switch a := a.(type) {
		case actPlan:
			l.plan(a.job)
		case actLookup:
			l.lookup(a)
		case actStart:
			l.start(a)
		case actProceed:
			if f := l.attempts[a.attempt]; f != nil && l.core.attempts[a.attempt] != nil && l.workers[f.worker] != nil {
				f.held = false
				l.workers[f.worker].Go("Worker.Proceed", a.attempt, &plan.Result{}, l.e.replies)
			}
		case actAbandon:
			l.abandon(a.attempt)
		case actFence:
			l.fence(a.attempt)
		case actDiscard:
			if f := l.attempts[a.attempt]; f != nil {
				l.dropSealed(&f.result)
				l.drop(f)
			}
		case actCut:
			l.cut(a.job)
		case actCommit:
			l.commit(a.job)
		case actFinish:
			l.finish(a)
		}
	}
}

func (l *loop) abandon(id plan.Attempt) {
	f := l.attempts[id]
	if f == nil {
		return
	}
	l.orderEnd(f)
	if c, t := l.core.task(f.task); c != nil && t.state == taskDone && !f.held {
		l.logf(l.jobs[f.task.job], l.attemptName(f), "fenced: another attempt was first, and nothing of this one is used")
	}
	if f.held && l.core.attempts[id] == nil { // nothing will answer: see step
		l.drop(f)
	}
}

// orderEnd has a worker give an attempt up. Only the attempt's own call says that it has: nobody hears the
// answer to this one.
func (l *loop) orderEnd(f *flight) {
	if c := l.workers[f.worker]; c != nil {
		c.Go("Worker.Abandon", f.work.Attempt, &struct{}{}, make(chan *rpc.Call, 1))
	}
}

// start sends an attempt's order to its worker.
func (l *loop) start(a actStart) {
	j, t := l.taskOf(a.task)
	c := l.workers[a.worker]
	if t == nil {
		return
	}
	if c == nil { // the worker's loss is an event of its own
		j.phase(a.task.kind).Running--
		l.bump(j)
		return
	}
	f := &flight{task: a.task, worker: a.worker, started: l.e.o.Now(), n: max(t.Starts-1, 0)}
	f.work = j.rec.work(a.task.kind, a.task.index, l.members[a.worker].TaskMemory)
	f.work.Attempt = a.attempt
	if a.task.kind == plan.Map {
		split := j.splits[a.task.index]
		f.split, f.settled = split, split.Settled(f.started)
		f.work.Split, _ = split.MarshalBinary() // fails for no split that was cut or decoded
		f.work.Expect = t.split
		l.askFast(j, &f.work, split)
	} else {
		f.work.SetRange(j.ranges[a.task.index])
		f.work.Runs = l.runsOf(j, a.task.index)
		f.work.Part = partPath(&j.rec, a.task.index, a.attempt)
		f.work.OutputFormat = j.rec.Format
		f.work.KeepMost = l.keepMost(j, t)
		if t.keep != 0 || t.link != "" {
			f.work.Copy, f.work.CopyDigest, f.work.LinkFrom, f.work.Runs = true, t.keepAs, t.link, nil
		} else {
			f.opened = l.orderTree(&f.work, j, t)
			orderPatch(&f.work, j, t)
		}
		if t.keep != 0 {
			f.work.Runs = []uint64{t.keep}
		}
	}
	l.attempts[a.attempt] = f
	c.Go("Worker.RunTask", &f.work, &plan.Result{}, l.e.replies)
}

// A reduce part is kept in the store for later jobs if that is cheap: if the job's
// shuffle is small, or if reducing has halved the bytes. Sorted gigabytes are in the runs
// already.
const (
	keepShuffle = 256 << 20 // a job that shuffles at most this keeps all its parts
	keepGrown   = 4         // but for one so many times as large as all that is shuffled
	keepAlways  = 1 << 20   // a part of at most this is always kept
)

// keepMost is the size up to which a reduce attempt keeps its part.
func (l *loop) keepMost(j *job, t *taskInfo) int64 {
	switch {
	case j.rec.Spec.NoCache || !j.rec.Traits.Reduce:
		return 0
	case j.rec.Reduce.BytesTotal <= keepShuffle:
		return keepGrown*j.rec.Reduce.BytesTotal + keepAlways
	}
	return t.bytes/2 + keepAlways
}

// partPath is where an attempt writes its part.
func partPath(r *record, index int, a plan.Attempt) string {
	return filepath.Join(stagingDir(r), fmt.Sprintf("%s.%d", partName(r, index), uint64(a)))
}

func partName(r *record, index int) string {
	if r.Traits.Reduce {
		return plan.PartName(plan.Reduce, index)
	}
	return plan.PartName(plan.Map, index)
}

// fail turns a failed answer into an event, at once or after a pause.
func (l *loop) fail(j *job, f *flight) {
	fl := f.result.Failure
	ev := evFailed{attempt: f.work.Attempt, kind: fl.Kind, err: l.describeFailure(f), lost: fl.LostRuns, where: l.whereLost(fl.LostRuns), copy: f.work.Copy}
	l.drop(f)
	switch fl.Kind {
	case plan.Cancelled:
	case plan.LostRun:
		l.logf(j, l.attemptName(f), "%s", fl.Message)
		if f.work.Copy {
			l.dropKept(f.task)
		} else if l.dropNodes(f) {
			ev.copy = true
		}
	case plan.NoSpace:
		l.warnFull(j, phaseOf(f.task.kind)+" tasks", fl.Message)
		time.AfterFunc(spaceRetry, func() { l.e.post(ev) })
		return
	case plan.Changed:
		l.logf(j, l.attemptName(f), "%s", fl.Message)
		ev.kind, ev.changed = plan.UserError, true
		if !l.restamp(j, f.task.index) {
			ev.kind = plan.BadInput
		}
	default:
		l.logf(j, l.attemptName(f), "failed: %s", fl.Message)
	}
	l.queue = append(l.queue, ev)
}

// spaceRetry is how long an attempt that found the disk full waits before another.
const spaceRetry = time.Second

// drop takes an attempt off the loop's books that has made nothing.
func (l *loop) drop(f *flight) {
	delete(l.attempts, f.work.Attempt)
	if j := l.jobs[f.task.job]; j != nil {
		j.phase(f.task.kind).Running--
		l.bump(j)
	}
}

func (l *loop) describeFailure(f *flight) string {
	return fmt.Sprintf("%s: %s", plan.TaskName(f.task.kind, f.task.index), asTyped(f.result.Failure.Message, f.work.Program.Code))
}

func (l *loop) attemptName(f *flight) string {
	return fmt.Sprintf("%s.%d", plan.TaskName(f.task.kind, f.task.index), f.n)
}

func (l *loop) taskOf(id taskID) (*job, *taskInfo) {
	j := l.jobs[id.job]
	if j == nil || id.index >= len(j.tasks(id.kind)) {
		return nil, nil
	}
	return j, &j.tasks(id.kind)[id.index]
}

// dropSealed forgets a sealed run that nobody will commit.
func (l *loop) dropSealed(res *plan.Result) {
	if res.Made.Run != 0 {
		l.e.o.Store.DropRun(store.RunID(res.Made.Run))
	}
	for i := range res.Nodes {
		l.e.o.Store.DropRun(store.RunID(res.Nodes[i].Made.Run))
	}
}
