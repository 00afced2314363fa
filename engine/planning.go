package engine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/collect"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// planning is what planning a job finds out, beside the loop.
type planning struct {
	splits  []input.Split
	encoded []byte
	maps    []taskInfo
	tasks   []planned
	stages  [2]plan.Stage
	cuts    []foundCuts

	full bool     // no stamp was believed
	lies []string // what sampling has found out about stamps
	read int64    // bytes, for that
}

// foundCuts are the content-defined cuts of one file, to be remembered under its stamp.
type foundCuts struct {
	key  mr.Digest
	cuts []int64
}

// knownCuts returns the cuts that were remembered under a file's stamp.
func (e *Engine) knownCuts(key mr.Digest) (cuts []int64, ok bool) {
	err := e.o.Store.View(func(tx *store.Tx) (err error) {
		cuts, ok, err = lineage.GetCuts(tx, key)
		return err
	})
	if err != nil {
		e.log.Error("reading remembered cuts", "err", err)
	}
	return cuts, ok && err == nil
}

// plan lists, cuts and looks up a job's input in the background.
func (l *loop) plan(id mr.JobID) {
	j := l.jobs[id]
	if j == nil {
		return
	}
	rec, files := j.rec, j.files
	ctx, cancel := context.WithCancel(l.e.ctx)
	over := make(chan struct{})
	j.endPlanning = func() {
		cancel()
		<-over
	}
	l.e.spawn(func() {
		defer close(over)
		defer cancel()
		p, err := l.e.makePlan(ctx, &rec, files)
		if err == nil {
			err = l.e.whenRoom(ctx, id, "planning", func() (err error) {
				rec.Plan, err = l.e.recordPlan(&rec, p)
				return err
			})
		}
		if errors.Is(err, errDraining) {
			return // planned again in the next life
		}
		if err != nil {
			l.e.post(evPlanFailed{id, err.Error()})
			return
		}
		l.e.request(l.e.ctx, func(l *loop) { l.planned(id, rec.Plan, p) }) //nolint:errcheck // stopped: planned again in the next life
	})
}

// recordPlan makes room for the output and the plan durable. It may be done again.
func (e *Engine) recordPlan(rec *record, p *planning) (digest mr.Digest, err error) {
	if err := makeStaging(rec); err != nil {
		return digest, err
	}
	if err := failpoint.Hit("engine/before-plan-recorded"); err != nil {
		return digest, err
	}
	err = e.o.Store.Update(func(tx *store.Tx) error {
		for _, s := range p.stages {
			if err := lineage.PutStage(tx, s); err != nil {
				return err
			}
		}
		for _, c := range p.cuts {
			if err := lineage.PutCuts(tx, c.key, c.cuts); err != nil {
				return err
			}
		}
		digest, err = lineage.PutPlan(tx, p.encoded)
		return err
	})
	if err == nil {
		err = failpoint.Hit("engine/plan-recorded")
	}
	return digest, err
}

// planned takes a finished plan over.
func (l *loop) planned(id mr.JobID, digest mr.Digest, p *planning) {
	j := l.jobs[id]
	if j == nil {
		return
	}
	j.rec.Plan, j.rec.Maps = digest, len(p.splits)
	j.rec.MapStage, j.rec.ReduceStage = p.stages[0].Digest, p.stages[1].Digest
	j.splits, j.maps, j.files, j.full = p.splits, p.maps, nil, p.full
	for _, lie := range p.lies {
		l.warn(j, lie)
	}
	l.recheck(p)
	j.rec.Bytes.Read += p.read
	j.rec.Map.Tasks = len(p.maps)
	for _, t := range p.maps {
		j.rec.Map.BytesTotal += t.bytes
	}
	l.queue = append(l.queue, evPlanned{job: id, maps: p.tasks})
}

// makePlan is the work of planning: it has no effect but reading.
func (e *Engine) makePlan(ctx context.Context, rec *record, files []input.File) (*planning, error) {
	var err error
	if files == nil {
		if files, err = input.List(ctx, rec.Spec.Inputs); err != nil {
			return nil, err
		}
	}
	p, err := e.planFiles(ctx, rec, files, rec.Spec.Verify == verifyFull)
	if err != nil || rec.Spec.Verify != verifySample {
		return p, err
	}
	lies, err := e.sample(ctx, rec, p)
	if err != nil || len(lies) == 0 {
		return p, err
	}
	read := p.read
	if p, err = e.planFiles(ctx, rec, files, true); err == nil {
		p.lies, p.read = lies, read
	}
	return p, err
}

// planFiles cuts and looks up files. With full no stamp is believed. Where one has changed since they were
// listed, as when a log is rotated, they are listed again.
func (e *Engine) planFiles(ctx context.Context, rec *record, files []input.File, full bool) (*planning, error) {
	p, err := e.planListed(ctx, rec, files, full)
	for n := 1; n < maxFailures && errors.Is(err, input.ErrChanged); n++ {
		if files, err = input.List(ctx, rec.Spec.Inputs); err == nil {
			p, err = e.planListed(ctx, rec, files, full)
		}
	}
	return p, err
}

func (e *Engine) planListed(ctx context.Context, rec *record, files []input.File, full bool) (*planning, error) {
	p := &planning{full: full}
	chunking, err := input.ParseChunking(rec.Spec.Chunking)
	if err != nil {
		return nil, err
	}
	cut := input.CutOptions{
		SplitSize: rec.Spec.SplitSize, Format: rec.Spec.InputFormat, Chunking: chunking,
		Found: func(key mr.Digest, cuts []int64) { p.cuts = append(p.cuts, foundCuts{key, cuts}) },
	}
	if !full {
		cut.Known = e.knownCuts
	}
	if p.splits, err = input.Cut(ctx, files, cut); err != nil {
		return nil, err
	}
	p.encoded = input.AppendSplits(nil, p.splits)
	p.stages = stagesOf(rec)
	p.maps, p.tasks = make([]taskInfo, len(p.splits)), make([]planned, len(p.splits))
	j := &job{rec: *rec, splits: p.splits}
	j.rec.MapStage = p.stages[0].Digest
	now := e.o.Now()
	err = e.o.Store.View(func(tx *store.Tx) error {
		for i, s := range p.splits {
			t := &p.maps[i]
			t.bytes = s.Bytes()
			p.tasks[i].tiny, p.tasks[i].first = t.bytes <= smallInput, grows(p.splits, i)
			t.slot = mapSlot(rec, s)
			if err := e.lookUpSplit(tx, j, i, !full && s.Settled(now), t, &p.tasks[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return p, err
}

// grows reports whether split i is one of the last two ranges of a large file. Where a file has
// grown, these are to be mapped while the others, whose bytes have not changed, are only hashed:
// the long ones go first.
func grows(splits []input.Split, i int) bool {
	p := splits[i].Pieces
	if len(p) != 1 || p[0].Off == 0 {
		return false
	}
	return i+2 >= len(splits) || splits[i+2].Pieces[0].Path != p[0].Path
}

// lookUpSplit asks the catalog what it knows about a split: its digest, without
// reading it, if its files have been quiet since it was read (believe); and then its output.
func (e *Engine) lookUpSplit(tx *store.Tx, j *job, i int, believe bool, t *taskInfo, p *planned) error {
	if !believe {
		return nil
	}
	split, start := lineage.GetStamp(tx, stampKey(&j.rec.Spec, j.splits[i]))
	if split.IsZero() {
		return nil
	}
	t.split = split
	p.key = j.mapKey(i, split, start)
	if j.rec.Spec.NoCache {
		return nil
	}
	out, err := hit(tx, &j.rec, p.key)
	if err != nil || out == nil {
		return err
	}
	p.done, p.cached, p.run, p.out = true, true, out.Made.Run, out.Made.Digest
	t.Made = out.Made // in use from here on, for eviction
	return nil
}

// hit returns the output recorded under key if its bytes are there to be used, else nil.
func hit(tx *store.Tx, r *record, key mr.Digest) (*lineage.Output, error) {
	out, err := lineage.GetOutput(tx, key)
	if err != nil || out == nil || out.Made.Run == 0 || out.Gone != "" || !tx.HasRun(store.RunID(out.Made.Run)) || !mayShare(tx, r, out) || tooLong(r, out) {
		return nil, err
	}
	return out, nil
}

// lookup answers the core's question about a key.
func (l *loop) lookup(a actLookup) {
	ev := evLookup{task: a.task, attempt: a.attempt}
	j := l.jobs[a.task.job]
	if j == nil {
		l.queue = append(l.queue, ev)
		return
	}
	if l.lookAside(j, a) {
		return
	}
	err := l.e.o.Store.View(func(tx *store.Tx) error {
		out, err := hit(tx, &j.rec, a.key)
		if out != nil {
			ev.hit, ev.run, ev.out = true, out.Made.Run, out.Made.Digest
		}
		return err
	})
	if err != nil {
		l.e.log.Error("looking up an output", "key", a.key.Short(), "err", err)
	}
	l.queue = append(l.queue, ev)
}

func stagesOf(rec *record) [2]plan.Stage {
	return [2]plan.Stage{
		plan.MapStage(plan.MapParts{
			Traits: rec.Traits, Code: rec.Spec.Code, Format: rec.Spec.InputFormat,
			DecoderVersion: input.DecoderVersion, SpillProfile: collect.Profile, Env: rec.Env,
			SkipLimit: skipLimit(&rec.Spec),
		}),
		plan.ReduceStage(rec.Traits, rec.Spec.Code, rec.Env, rec.Format),
	}
}

// skipLimit is the longest record that is good, for a job that skips the others; else 0.
func skipLimit(s *mr.Spec) int64 {
	if s.SkipBadRecords == 0 {
		return 0
	}
	return recordLimit(s)
}

// stampKey is the key under which a job remembers the digest of a split.
func stampKey(spec *mr.Spec, s input.Split) mr.Digest {
	return s.StampKey(spec.InputFormat, skipLimit(spec))
}

// recordLimit is the longest record that a job takes.
func recordLimit(s *mr.Spec) int64 { return cmp.Or(s.RecordLimit, input.DefaultRecordLimit) }

// tooLong reports whether a map output may be of records that are too long for the job: no hit, or
// whether the job fails would depend on what is on record.
func tooLong(r *record, out *lineage.Output) bool {
	return out.Kind == plan.Map && cmp.Or(out.Longest, input.DefaultRecordLimit) > recordLimit(&r.Spec)
}

// mapSlot is the place of a split for one job's name: what was made there before
// explains why it is made again.
func mapSlot(rec *record, s input.Split) mr.Digest {
	b := append([]byte(rec.Traits.Job), 0)
	if len(s.Pieces) > 0 {
		b = append(b, s.Pieces[0].Path...)
		b = binary.LittleEndian.AppendUint64(b, uint64(s.Pieces[0].Off))
	}
	return plan.Sum("mr/slot/map", b)
}

// reduceSlot is the place of a range for one job's name. Empty ranges begin where the first one
// does, and are no places of anything.
func reduceSlot(rec *record, r plan.Range) mr.Digest {
	if r.Empty() {
		return plan.Sum("mr/slot/reduce/empty", []byte(rec.Traits.Job))
	}
	b := append([]byte(rec.Traits.Job), 0)
	b = append(b, r.Lo...)
	return plan.Sum("mr/slot/reduce", b)
}

// restamp lists a split's files again after one of them changed, and reports whether
// the split still makes sense: its files exist and are not shorter than its ranges.
func (l *loop) restamp(j *job, index int) bool {
	if index >= len(j.splits) {
		return false
	}
	was := j.splits[index]
	s, err := was.Restamp()
	if err != nil {
		l.logf(j, plan.TaskName(plan.Map, index), "%v", err)
		return false
	}
	p, now := was.Pieces[0], s.Pieces[0].Stamp
	if p.Len >= 0 && (p.Stamp.Mtime != now.Mtime || p.Stamp.Ino != now.Ino || p.Stamp.Dev != now.Dev) {
		// Other ranges may have been read before that, and nobody reads what is behind the last one.
		l.warn(j, p.Path+": the file was replaced or written over while the job read it, so the output may have lines of before beside those of now; run again when nothing writes to it")
	}
	j.splits[index] = s
	j.maps[index].split = mr.Digest{}
	return true
}
