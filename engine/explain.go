package engine

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// reason says why a task had to be computed: it compares it with what was made at the
// same place before.
func (l *loop) reason(j *job, id taskID, t *taskInfo, began time.Time) (why string) {
	if j.rec.Spec.NoCache {
		return "--no-cache"
	}
	if t.Reason != "" { // lost
		return t.Reason
	}
	if id.kind == plan.Reduce && j.ranges[id.index].Empty() { // what is on record under its key was made by another of them
		return "empty key range"
	}
	err := l.e.o.Store.View(func(tx *store.Tx) (err error) {
		if id.kind == plan.Reduce {
			why, err = whyMissed(tx, &j.rec, id.kind, t, j.ranges[id.index], began, l.e.o.Now())
			return err
		}
		if j.before == nil {
			if j.before, err = newPlaced(tx, &j.rec); err != nil {
				return err
			}
		}
		why, err = whyMapped(tx, j.before, &j.rec, t, j.splits[id.index], began, l.e.o.Now())
		return err
	})
	if err != nil {
		return "unknown: " + err.Error()
	}
	return why
}

// whyMissed says why a task that began to be computed at began, or would now, is no hit. in is
// the range of a reduce task.
func whyMissed(tx *store.Tx, r *record, kind plan.Kind, t *taskInfo, in plan.Range, began, now time.Time) (string, error) {
	if kind == plan.Reduce && !r.Traits.Reduce {
		return "the parts of a map-only job are written each time", nil
	}
	slot, key, split := t.slot, t.Key, t.split
	same, err := lineage.GetOutput(tx, key)
	if err != nil {
		return "", err
	}
	if same != nil { // it was made before, wherever
		switch {
		case same.Gone != "" || same.Made.Run == 0:
			return whyGone(same, now), nil
		case !mayShare(tx, r, same):
			return whyPrivate(tx, r, same), nil
		case tooLong(r, same):
			return whyTooLong(r, same), nil
		case !tx.HasRun(store.RunID(same.Made.Run)):
			return whyGone(same, now), nil
		case r.Spec.Code.Kind == mr.Binary && same.Created.Before(began): // it is shared now, and was not when the task was leased
			return "untried: its code had not been seen to make the same again", nil
		}
		return fmt.Sprintf("computed at the same time by job %s", same.Job), nil
	}
	stage := r.stage(kind)
	prev := lineage.GetSlot(tx, slot, stage)
	if prev.IsZero() {
		if kind == plan.Reduce {
			return "new key range", nil
		}
		return newInput, nil
	}
	old, err := lineage.GetOutput(tx, prev)
	if err != nil {
		return "", err
	}
	if old == nil || old.Stage.IsZero() {
		return "the earlier output is no longer on record", nil
	}
	if stage == old.Stage {
		switch {
		case kind == plan.Reduce:
			return changedOutputs(in, old.Range), nil
		case old.Split == split:
			return changedPlace, nil
		}
		return changedInput, nil
	}
	return stageDifference(tx, stage, old.Stage)
}

// changedPlace is the reason of a task whose job sees where its records lie, if only that changed.
const changedPlace = "a file's name or the place in the file changed"

// changedOutputs is the reason of a reduce task that reads other blocks than the one whose range
// began at the same key.
func changedOutputs(now, before plan.Range) string {
	if !bytes.Equal(now.Hi, before.Hi) {
		return "the key range ends elsewhere"
	}
	return "map outputs changed"
}

// whyCut says why the splits of a job begin and end elsewhere than those of an earlier one, if
// what was asked for makes them.
func whyCut(now, before *mr.Spec) string {
	size := func(s *mr.Spec) int64 { return cmp.Or(s.SplitSize, input.DefaultSplit) }
	chunking := func(s *mr.Spec) string { return cmp.Or(s.Chunking, input.Fixed.String()) }
	switch {
	case size(now) != size(before):
		return fmt.Sprintf("--split-size: %d → %d", size(before), size(now))
	case chunking(now) != chunking(before):
		return fmt.Sprintf("--chunking: %s → %s", chunking(before), chunking(now))
	}
	return ""
}

// whyTooLong says why a map output that may be of records that are too long is no hit.
func whyTooLong(r *record, out *lineage.Output) string {
	return fmt.Sprintf("records up to %d bytes were let pass when it was made, and --record-limit is %d", cmp.Or(out.Longest, input.DefaultRecordLimit), recordLimit(&r.Spec))
}

// whyPrivate says why an output that is there is not used.
func whyPrivate(tx *store.Tx, r *record, o *lineage.Output) string {
	if same, first := r.files.compare(tx, o.Opened); !same {
		return first.String()
	}
	if verdictOf(tx, o.Stage) == indeterminate {
		return "indeterminate: its code made other records when it was executed again"
	}
	return "untried: its code has not been seen to make the same again"
}

// whyGone says why an output on record is not used.
func whyGone(o *lineage.Output, now time.Time) string {
	switch {
	case o.Gone == "" && o.Made.Run == 0 && o.Kind == plan.Reduce:
		return "the part was not kept: reducing again costs less than its bytes"
	case o.Gone == "" || strings.HasPrefix(o.Gone, "lost: "):
		return cmp.Or(o.Gone, "its stored output was not there")
	case o.GoneAt.IsZero():
		return o.Gone
	}
	return o.Gone + " " + since(now.Sub(o.GoneAt))
}

// since is a time ago in words, coarse enough for tasks to share it.
func since(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		name string
		d    time.Duration
	}{{"day", day}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if n := int(d / u.d); n == 1 {
			return "1 " + u.name + " ago"
		} else if n > 1 {
			return fmt.Sprintf("%d %ss ago", n, u.name)
		}
	}
	return "less than a minute ago"
}

// stageDifference names the first component in which two stages on record differ.
func stageDifference(tx *store.Tx, now, before mr.Digest) (string, error) {
	a, err := lineage.GetStage(tx, now)
	if err != nil {
		return "", err
	}
	b, err := lineage.GetStage(tx, before)
	if err != nil {
		return "", err
	}
	return firstDifference(a, b), nil
}

// firstDifference puts the first component that differs into words.
func firstDifference(now, before []plan.Component) string {
	if len(before) == 0 {
		return "the earlier stage is not on record"
	}
	for _, k := range compare(now, before) {
		switch {
		case !k.Differs:
		case strings.HasSuffix(k.Name, " code"):
			return fmt.Sprintf("%s changed (%s → %s)", k.Name, brief(k.Earlier), brief(k.Value))
		default:
			return fmt.Sprintf("%s: %s → %s", k.Name, brief(k.Earlier), brief(k.Value))
		}
	}
	for i, c := range now {
		if c.Name != before[i].Name {
			return fmt.Sprintf("the order changed: %s stands where %s stood", c.Name, before[i].Name)
		}
	}
	return "the stage changed"
}

// brief shortens the digests in a component's value.
func brief(v string) string {
	words := strings.Fields(v)
	for i, w := range words {
		if len(w) == 64 {
			words[i] = w[:12]
		}
	}
	if len(words) == 0 {
		return `""`
	}
	return strings.Join(words, " ")
}

func eachTask(tx *store.Tx, id mr.JobID, fn func(taskID, *lineage.Task) error) error {
	for k := plan.Map; k <= plan.Reduce; k++ {
		err := lineage.ScanTasks(tx, id, k, func(i int, t *lineage.Task) error { return fn(taskID{id, k, i}, t) })
		if err != nil {
			return err
		}
	}
	return nil
}

func splitsOf(tx *store.Tx, r *record) ([]input.Split, error) {
	b := lineage.GetPlan(tx, r.Plan)
	if b == nil {
		return nil, nil
	}
	splits, err := input.DecodeSplits(b)
	if err != nil {
		return nil, mr.Errorf(mr.Damaged, "the plan of job %s: %w", r.ID, err)
	}
	return splits, nil
}

// rows gathers tasks by reason.
type rows struct {
	order []string
	by    map[string]*mr.ExplainRow
}

const maxExamples = 5

// changedInput is the reason of a task whose place in the input holds other bytes. Which
// is told where reasons are listed: tasks share reasons.
const (
	changedInput = "input changed"
	// changedPack is the reason of a task over files of which none has changed, but others were read with them.
	changedPack = changedInput + ": other files are packed together"
	newInput    = "new input"
)

func (rs *rows) add(phase string, state mr.State, reason, example string) {
	key := phase + "\x00" + string(state) + "\x00" + reason
	if rs.by == nil {
		rs.by = map[string]*mr.ExplainRow{}
	}
	r := rs.by[key]
	if r == nil {
		r = &mr.ExplainRow{Phase: phase, State: state, Reason: reason}
		rs.by[key] = r
		rs.order = append(rs.order, key)
	}
	r.Tasks++
	if len(r.Examples) < maxExamples && example != "" {
		r.Examples = append(r.Examples, example)
	}
}

func (rs *rows) list() (out []mr.ExplainRow) {
	for _, k := range rs.order {
		r := *rs.by[k]
		if r.Reason == changedInput && len(r.Examples) > 0 { // nothing tells more than which
			r.Reason += ": " + r.Examples[0]
			if r.Tasks > 1 {
				r.Reason += fmt.Sprintf(" and %d more", r.Tasks-1)
			}
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b mr.ExplainRow) int {
		if d := strings.Compare(a.Phase, b.Phase); d != 0 {
			return d // "map" before "reduce"
		}
		return b.Tasks - a.Tasks
	})
	return out
}

// Explain implements mr.Jobs.
func (c Catalog) Explain(_ context.Context, id, vs mr.JobID) (x mr.Explanation, err error) {
	x = mr.Explanation{Job: id, Vs: vs}
	err = c.Store.View(func(tx *store.Tx) error {
		r, err := getJob(tx, id)
		if err != nil {
			return err
		}
		var rs rows
		if err := explainTasks(tx, r, vs, &rs, time.Now()); err != nil {
			return err
		}
		x.Rows = rs.list()
		x.Keys, err = keysOf(tx, r, vs)
		return err
	})
	return x, err
}

// explainTasks gathers the reasons of a job's tasks, or, with another job, how they differ
// from that one's. The job may be under way.
func explainTasks(tx *store.Tx, r *record, vs mr.JobID, rs *rows, at time.Time) error {
	now, err := sideOf(tx, r)
	if err != nil {
		return err
	}
	if vs != "" {
		other, err := getJob(tx, vs)
		if err != nil {
			return err
		}
		then, err := sideOf(tx, other)
		if err != nil {
			return err
		}
		return versus(tx, now, then, rs)
	}
	switch {
	case !r.Plan.IsZero():
	case r.State.Done():
		rs.add("map", mr.Killed, "the job ended before it was planned", "")
	default:
		rs.add("map", mr.Pending, "not planned yet", "")
	}
	stage, err := lineage.GetStage(tx, r.MapStage)
	if err != nil {
		return err
	}
	var before *placed // of a job that has ended nothing is foreseen
	if !r.State.Done() {
		if before, err = newPlaced(tx, r); err != nil {
			return err
		}
	}
	for k := plan.Map; k <= plan.Reduce; k++ {
		for i := range now.count(k) {
			t, id := now.tasks[k][i], taskID{r.ID, k, i}
			example := exampleOf(r, now.splits, id)
			if t != nil && t.State == lineage.TaskDone {
				phase, state, reason := explainTask(id, t)
				rs.add(phase, state, reason, example)
				continue
			}
			reason := "not done"
			if t == nil {
				reason = "not started yet"
			}
			if r.State.Done() {
				reason = "the job ended before it was done"
				switch {
				case t != nil && t.State == lineage.TaskLost:
					reason = t.Reason
				case t != nil && t.Failures > 0:
					reason = "failed; mrctl logs tells how"
				}
			} else if k == plan.Map && i < len(now.splits) {
				if _, reason, err = foresee(tx, before, r, stage, r.Spec.Verify == verifyFull, now.splits[i], at); err != nil {
					return err
				}
			}
			rs.add(phaseOf(k), now.state(t), reason, example)
		}
	}
	return nil
}

func explainTask(t taskID, rec *lineage.Task) (phase string, state mr.State, reason string) {
	phase = phaseOf(t.kind)
	if rec.Cached {
		return phase, mr.Cached, "the output was on record"
	}
	return phase, mr.Succeeded, rec.Reason
}

func exampleOf(r *record, splits []input.Split, t taskID) string {
	if t.kind == plan.Map && t.index < len(splits) {
		return splits[t.index].String()
	}
	return partName(r, t.index)
}

// keysOf lists the components of a job's stages beside those of another job: vs, or
// failing that the last one like it, its predecessor.
func keysOf(tx *store.Tx, r *record, vs mr.JobID) ([]mr.KeyComponent, error) {
	var other *record
	var err error
	if vs != "" {
		if other, err = getJob(tx, vs); err != nil {
			return nil, err
		}
	} else if other, err = predecessor(tx, r, math.MaxInt); err != nil {
		return nil, err
	}
	var stages [2][]plan.Component
	for k := range stages {
		if stages[k], err = lineage.GetStage(tx, r.stage(plan.Kind(k))); err != nil {
			return nil, err
		}
	}
	return keysBeside(tx, stages, other)
}

// keysBeside puts the components of a job's stages beside those of another job, nil if there is none.
func keysBeside(tx *store.Tx, stages [2][]plan.Component, other *record) (keys []mr.KeyComponent, err error) {
	for k, cs := range stages {
		var old []plan.Component
		if other != nil {
			if old, err = lineage.GetStage(tx, other.stage(plan.Kind(k))); err != nil {
				return nil, err
			}
		}
		keys = append(keys, compare(cs, old)...)
	}
	return keys, nil
}

// compare puts the components of two stages side by side. A parameter may be there several
// times: the first is compared with the first.
func compare(now, before []plan.Component) (keys []mr.KeyComponent) {
	old := map[string][]string{}
	for _, c := range before {
		old[c.Name] = append(old[c.Name], c.Value)
	}
	for _, c := range now {
		k := mr.KeyComponent{Name: c.Name, Value: c.Value, Differs: len(before) > 0}
		if was := old[c.Name]; len(was) > 0 {
			k.Earlier, k.Differs = was[0], was[0] != c.Value
			old[c.Name] = was[1:]
		}
		keys = append(keys, k)
	}
	for _, c := range before {
		if left := old[c.Name]; len(left) > 0 {
			keys = append(keys, mr.KeyComponent{Name: c.Name, Earlier: left[0], Differs: true})
			old[c.Name] = left[1:]
		}
	}
	return keys
}

// predecessor is the last job of the same name submitted before r that shares an input
// pattern with it, or nil. It looks at so many jobs at most.
func predecessor(tx *store.Tx, r *record, most int) (best *record, err error) {
	err = lastJobs(tx, r.ID, func(o *record) (more bool) {
		most--
		shares := slices.ContainsFunc(o.Spec.Inputs, func(p string) bool { return slices.Contains(r.Spec.Inputs, p) })
		if o.Traits.Job == r.Traits.Job && !o.MapStage.IsZero() && shares {
			best = o
		}
		return best == nil && most > 0
	})
	return best, err
}

// Lineage implements mr.Jobs.
func (c Catalog) Lineage(_ context.Context, output string, part int) (g mr.Lineage, err error) {
	output = filepath.Clean(output)
	var d *grapher
	err = c.Store.View(func(tx *store.Tx) error {
		r, err := latest(tx, output)
		if err == nil {
			d, err = newGrapher(tx, r)
		}
		return err
	})
	if err != nil {
		return g, err
	}
	d.readIndexes(c.Store)
	err = c.Store.View(func(tx *store.Tx) error { return d.draw(tx, part) })
	return d.g, err
}
