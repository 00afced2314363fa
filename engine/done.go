package engine

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// taskDone stages the one commit of a task's output: its run becomes visible, the
// output and its lineage are recorded, the task is done.
func (b *batchWriter) taskDone(a actTaskDone) {
	l := b.l
	j, t := l.taskOf(a.task)
	if t == nil {
		return
	}
	f := l.attempts[a.attempt]
	if a.attempt != 0 && f == nil {
		return
	}
	p := j.phase(a.task.kind)
	t.State, t.Cached, t.Attempt = lineage.TaskDone, a.cached, a.attempt
	if a.cached {
		p.Cached++
	} else {
		p.Run++
	}
	p.BytesDone += t.bytes
	if f != nil {
		delete(l.attempts, a.attempt)
		p.Running--
		t.Made, t.Skipped = f.result.Made, f.result.Skipped
		t.Began, t.Ended, t.Took = f.result.Began, f.result.Ended, f.result.Took
		if m := l.members[f.worker]; m != nil {
			t.Worker = m.Name
		}
		if a.task.kind == plan.Map {
			t.split = f.result.Split
			t.Key = j.mapKey(a.task.index, t.split, f.result.Start)
		}
		b.putOutput(j, a.task, t, f)
		b.putNodes(j, a.task, t, f)
		l.tryStage(j, a.task.kind, f)
	} else {
		b.foundOutput(j, a.task, t)
	}
	if a.task.kind == plan.Map {
		j.rec.Bytes.Intermediate += t.Made.Stored
	} else {
		j.rec.Bytes.Output += t.Made.Raw
	}
	b.putTask(j, a.task, t)
	if now := l.e.o.Now(); now.Sub(j.begun) >= bookEvery {
		l.bookTime(j, now)
		b.putJob(j)
	}
}

// bookEvery bounds what a crash takes from a job's record of the time it took and the bytes it read.
const bookEvery = time.Second

// foundOutput takes the counters of an output that was on record.
func (b *batchWriter) foundOutput(j *job, id taskID, t *taskInfo) {
	key := t.Key
	if id.kind == plan.Map && j.core(b.l) != nil {
		key = j.core(b.l).maps[id.index].key
		t.Key = key
	}
	out := b.l.output(key)
	if out != nil {
		j.rec.Counters = addCounters(j.rec.Counters, out.Counter, 1) // taskLost takes them off
	}
	var found *task // what the lookup saw
	if c := j.core(b.l); c != nil {
		found = &c.tasks(id.kind)[id.index]
	}
	// It may have been forgotten since, or replaced by one that the job may not share. Its run may be gone, and then is found to be lost.
	replaced := id.kind == plan.Map && out != nil && found != nil && out.Made.Digest != found.out
	if out == nil || replaced || id.kind == plan.Map && out.Made.Run == 0 {
		if found != nil {
			t.Made = plan.Made{Run: found.run, Digest: found.out}
		}
		return
	}
	b.l.drawAudit(j, id, out)
	t.Made, t.split, t.Reason, t.Skipped = out.Made, out.Split, "", out.Skipped
	slot, stage := t.slot, j.rec.stage(id.kind)
	now := b.l.e.o.Now()
	b.add(func(tx *store.Tx) error {
		return errors.Join(lineage.PutSlot(tx, slot, stage, key), lineage.Touch(tx, key, now))
	})
}

// abandoned stages what becomes of an attempt that was held: it has executed nothing and does not count, but what
// it has read need not be read again.
func (b *batchWriter) abandoned(a actAbandon) {
	f := b.l.attempts[a.attempt]
	if f == nil || !f.held {
		return
	}
	j, t := b.l.taskOf(f.task)
	if t == nil {
		return
	}
	t.Starts--
	j.phase(f.task.kind).Attempts--
	b.add(func(tx *store.Tx) error { return remember(tx, &j.rec.Spec, f, &f.result) })
}

// putOutput stages the record of a computed (or copied) output.
func (b *batchWriter) putOutput(j *job, id taskID, t *taskInfo, f *flight) {
	l := b.l
	res := &f.result
	o := &lineage.Output{
		Key: t.Key, Kind: id.kind, Stage: j.rec.stage(id.kind), Split: res.Split, Made: res.Made,
		Input: t.bytes, CPU: res.CPU, Created: l.e.o.Now(),
		Job: j.rec.ID, Index: id.index, Attempt: f.work.Attempt, Counter: res.Counters,
		Skipped: res.Skipped, Positive: res.Positive,
	}
	if id.kind == plan.Reduce {
		o.Range = j.ranges[id.index]
	} else {
		o.Longest = j.rec.Spec.RecordLimit
	}
	spec := &j.rec.Spec
	slot, share := t.slot, !j.rec.Spec.NoCache
	t.Reason = l.reason(j, id, t, f.started)
	old := l.output(o.Key)
	if id.kind == plan.Map && old != nil && l.servesAnother(j, old) {
		// The other job's may not be shared (its stage is on trial, or has failed that; or longer records
		// were let pass), and it goes on with it: each keeps its own, as a job that shares nothing does.
		o.Key = privateMapKey(j.rec.ID, id.index)
		t.Key, share = o.Key, false
	}
	if f.work.Copy && old != nil {
		// The output on record stays as it is; what it cost and counted is the job's too.
		j.rec.Counters = addCounters(j.rec.Counters, old.Counter, 1)
		t.Reason, t.Made.Records = "", old.Made.Records
		b.add(func(tx *store.Tx) error {
			return errors.Join(lineage.PutSlot(tx, slot, o.Stage, o.Key), lineage.Touch(tx, o.Key, o.Created))
		})
		return
	}
	files := l.openedBy(f)
	l.sayOpened(j, id, res.Opened)
	o.Opened = lineage.OpenedKey(files)
	j.rec.Counters = addCounters(j.rec.Counters, res.Counters, 1)
	if old != nil {
		o.Uses, o.Used = old.Uses, old.Used
	}
	if o.Made.Run != 0 {
		b.after(l.e.kick)
	}
	// Under a key of its own a job may have made an output of other bytes; a damaged record has no stage.
	if old != nil && old.Stage == o.Stage && old.Split == o.Split && old.Opened == o.Opened && !someUnknown(files) && old.Made.Digest != o.Made.Digest {
		l.cameOutDifferent(j, id, old.Made, o.Made)
	}
	b.add(func(tx *store.Tx) error {
		if err := lineage.Forget(tx, o.Key, lineage.Replaced, o.Created); err != nil {
			return err
		}
		if o.Made.Run != 0 {
			if err := tx.CommitRun(store.RunID(o.Made.Run)); err != nil {
				return err
			}
		}
		if err := errors.Join(lineage.PutOpened(tx, files), lineage.PutOutput(tx, o)); err != nil {
			return err
		}
		if o.Kind == plan.Map {
			if err := remember(tx, spec, f, res); err != nil {
				return err
			}
		}
		if !share {
			return nil
		}
		return lineage.PutSlot(tx, slot, o.Stage, o.Key)
	})
}

// output reads an output's record. The loop is the only writer of outputs, so what it
// reads between transactions is what is there.
func (l *loop) output(key mr.Digest) (out *lineage.Output) {
	err := l.e.o.Store.View(func(tx *store.Tx) (err error) {
		out, err = lineage.GetOutput(tx, key)
		return err
	})
	if err != nil {
		l.e.log.Error("reading an output's record", "key", key.Short(), "err", err)
		return nil
	}
	return out
}

func (j *job) core(l *loop) *coreJob { return l.core.jobs[j.rec.ID] }

// mapKey is the key of a map task whose split has the given digest and first record. A
// job that does not share has keys of its own.
func (j *job) mapKey(index int, split mr.Digest, start int64) mr.Digest {
	if j.rec.Spec.NoCache {
		return privateMapKey(j.rec.ID, index)
	}
	var positions mr.Digest
	if j.rec.Traits.Positions || j.rec.Spec.SkipBadRecords > 0 { // which are told by their places
		positions = j.splits[index].Positions(start)
	}
	return plan.MapKey(j.rec.MapStage, split, positions)
}

// privateMapKey is the key of a map output that no other job can have.
func privateMapKey(id mr.JobID, index int) mr.Digest {
	return plan.Sum("mr/private", []byte(string(id)+"/"+plan.TaskName(plan.Map, index)))
}

// servesAnother reports whether a live job beside j stands on the run of a map output: mostly
// the one that has made it.
func (l *loop) servesAnother(j *job, out *lineage.Output) bool {
	run := out.Made.Run
	if run == 0 || out.Job == j.rec.ID {
		return false
	}
	stands := func(t taskInfo) bool { return t.Made.Run == run }
	if o := l.jobs[out.Job]; o != nil && out.Index < len(o.maps) && stands(o.maps[out.Index]) {
		return true
	}
	for _, o := range l.jobs {
		if o != j && slices.ContainsFunc(o.maps, stands) {
			return true
		}
	}
	return false
}

// addCounters adds sign × b to a. Both are sorted, and so is the result.
func addCounters(a, b mr.Counters, sign int64) mr.Counters {
	order := func(x, y mr.Counter) int {
		return cmp.Or(strings.Compare(x.Group, y.Group), strings.Compare(x.Name, y.Name))
	}
	known := len(a)
	for _, c := range b {
		c.Value *= sign
		if i, found := slices.BinarySearchFunc(a[:known], c, order); found {
			a[i].Value += c.Value
		} else {
			a = append(a, c)
		}
	}
	if len(a) > known {
		slices.SortFunc(a, order)
	}
	return a
}
