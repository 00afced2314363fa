package engine

import (
	"cmp"
	"context"
	"fmt"
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
func (l *loop) reason(j *job, id taskID, t *taskInfo) (why string) {
	if j.rec.Spec.NoCache {
		return "--no-cache"
	}
	if t.Reason != "" { // lost
		return t.Reason
	}
	err := l.e.o.Store.View(func(tx *store.Tx) (err error) {
		why, err = whyMissed(tx, &j.rec, id.kind, t, l.e.o.Now())
		return err
	})
	if err != nil {
		return "unknown: " + err.Error()
	}
	return why
}

func whyMissed(tx *store.Tx, r *record, kind plan.Kind, t *taskInfo, now time.Time) (string, error) {
	slot, key, split := t.slot, t.Key, t.split
	same, err := lineage.GetOutput(tx, key)
	if err != nil {
		return "", err
	}
	if same != nil { // it was made before, wherever
		return whyGone(same, now), nil
	}
	prev := lineage.GetSlot(tx, slot)
	if prev.IsZero() {
		if kind == plan.Reduce {
			return "new key range", nil
		}
		return "new input", nil
	}
	old, err := lineage.GetOutput(tx, prev)
	if err != nil {
		return "", err
	}
	if old == nil {
		return "the earlier output is no longer on record", nil
	}
	stage, before := r.MapStage, old.Stage
	if kind == plan.Reduce {
		stage = r.ReduceStage
	}
	if stage == before {
		switch {
		case kind == plan.Reduce:
			return "map outputs changed", nil
		case old.Split == split:
			return "its place in the file changed", nil
		}
		return "input changed", nil
	}
	return stageDifference(tx, stage, before)
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
		out = append(out, *rs.by[k])
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
		if err := explainTasks(tx, r, vs, &rs); err != nil {
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
func explainTasks(tx *store.Tx, r *record, vs mr.JobID, rs *rows) error {
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
	if r.Plan.IsZero() {
		rs.add("map", mr.Pending, "not planned yet", "")
	}
	for k := plan.Map; k <= plan.Reduce; k++ {
		for i := range now.count(k) {
			t, id := now.tasks[k][i], taskID{r.ID, k, i}
			if t == nil {
				rs.add(phaseOf(k), mr.Pending, "not started yet", exampleOf(r, now.splits, id))
				continue
			}
			phase, state, reason := explainTask(id, t)
			rs.add(phase, state, reason, exampleOf(r, now.splits, id))
		}
	}
	return nil
}

func explainTask(t taskID, rec *lineage.Task) (phase string, state mr.State, reason string) {
	phase = phaseOf(t.kind)
	switch {
	case rec.State != lineage.TaskDone:
		return phase, mr.Running, "not done"
	case rec.Cached:
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
// failing that the last one before it of the same name that wrote the same output or read the same input.
func keysOf(tx *store.Tx, r *record, vs mr.JobID) ([]mr.KeyComponent, error) {
	var other *record
	var err error
	if vs != "" {
		if other, err = getJob(tx, vs); err != nil {
			return nil, err
		}
	} else if other, err = predecessor(tx, r); err != nil {
		return nil, err
	}
	var keys []mr.KeyComponent
	for _, stage := range [...]func(*record) mr.Digest{
		func(r *record) mr.Digest { return r.MapStage },
		func(r *record) mr.Digest { return r.ReduceStage },
	} {
		cs, err := lineage.GetStage(tx, stage(r))
		if err != nil {
			return nil, err
		}
		var old []plan.Component
		if other != nil {
			if old, err = lineage.GetStage(tx, stage(other)); err != nil {
				return nil, err
			}
		}
		keys = append(keys, compare(cs, old)...)
	}
	return keys, nil
}

func compare(now, before []plan.Component) (keys []mr.KeyComponent) {
	old := map[string]string{}
	for _, c := range before {
		old[c.Name] = c.Value
	}
	for _, c := range now {
		k := mr.KeyComponent{Name: c.Name, Value: c.Value, Earlier: old[c.Name]}
		if was, known := old[c.Name]; len(before) > 0 && (!known || was != c.Value) {
			k.Differs = true
		}
		keys = append(keys, k)
		delete(old, c.Name)
	}
	for _, c := range before {
		if v, left := old[c.Name]; left {
			keys = append(keys, mr.KeyComponent{Name: c.Name, Earlier: v, Differs: true})
		}
	}
	return keys
}

// predecessor is the last job of the same name submitted before r that shares an input
// pattern with it, or nil.
func predecessor(tx *store.Tx, r *record) (best *record, err error) {
	err = tx.Scan(store.Jobs, nil, func(_, v []byte) error {
		o, err := decodeJob(v)
		if err != nil {
			return err
		}
		shares := slices.ContainsFunc(o.Spec.Inputs, func(p string) bool { return slices.Contains(r.Spec.Inputs, p) })
		if o.ID < r.ID && o.Traits.Job == r.Traits.Job && !o.MapStage.IsZero() && shares {
			best = o
		}
		return nil
	})
	return best, err
}

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
		for i := range p.tasks {
			t := &p.tasks[i]
			example := p.splits[i].String()
			switch {
			case t.done:
				rs.add("map", mr.Cached, "the output is on record", example)
				continue
			case p.full:
				rs.add("map", mr.Pending, "--verify full: read and digested first, then looked up", example)
				continue
			case t.key.IsZero() && lineage.GetSlot(tx, p.maps[i].slot).IsZero():
				rs.add("map", mr.Pending, "new input", example)
				continue
			case t.key.IsZero():
				rs.add("map", mr.Pending, "files were touched: read and digested first, then looked up", example)
				continue
			}
			why, err := dryReason(tx, j, p, i, e.o.Now())
			if err != nil {
				return err
			}
			rs.add("map", mr.Pending, why, example)
		}
		return nil
	})
	x.Rows = rs.list()
	if err == nil {
		x.Keys, err = e.dryKeys(&j.rec, p)
	}
	return x, err
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

// dryReason is whyMissed for a stage that may not be on record.
func dryReason(tx *store.Tx, j *job, p *planning, i int, now time.Time) (string, error) {
	if j.rec.Spec.NoCache {
		return "--no-cache", nil
	}
	slot := p.maps[i].slot
	prev, err := lineage.GetOutput(tx, lineage.GetSlot(tx, slot))
	if err != nil {
		return "", err
	}
	if prev != nil && prev.Stage != j.rec.MapStage {
		old, err := lineage.GetStage(tx, prev.Stage)
		if err != nil {
			return "", err
		}
		return firstDifference(p.stages[0].Components, old), nil
	}
	t := p.maps[i]
	t.Key = p.tasks[i].key
	return whyMissed(tx, &j.rec, plan.Map, &t, now)
}

// Lineage implements mr.Jobs.
func (c Catalog) Lineage(_ context.Context, output string, part int) (g mr.Lineage, err error) {
	output = filepath.Clean(output)
	err = c.Store.View(func(tx *store.Tx) error {
		r, err := latest(tx, output)
		if err != nil {
			return err
		}
		g, err = lineageOf(c.Store, tx, r, part)
		return err
	})
	return g, err
}
