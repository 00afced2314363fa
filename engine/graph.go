package engine

import (
	"fmt"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// grapher draws the lineage of one job's output: parts, from reduce tasks, from inner nodes
// of their merges, from map tasks, from ranges of input files.
type grapher struct {
	tx      *store.Tx
	r       *record
	splits  []input.Split
	maps    map[int]*lineage.Task
	reduces map[int]*lineage.Task
	drawn   map[string]bool
	runs    map[uint64]indexed // that were read
	tree    []uint8            // of all runs; nil if it is not known any more
	g       mr.Lineage
}

// indexed is what the index of a run tells.
type indexed struct {
	blocks []block
	digest mr.Digest
	lost   bool
}

// newGrapher reads what is on record of a job. Before anything is drawn, the indexes of its runs are to be read.
func newGrapher(tx *store.Tx, r *record) (*grapher, error) {
	splits, err := splitsOf(tx, r)
	if err != nil {
		return nil, err
	}
	d := &grapher{r: r, splits: splits, maps: map[int]*lineage.Task{}, reduces: map[int]*lineage.Task{}, drawn: map[string]bool{}, runs: map[uint64]indexed{}}
	d.g.Job, d.g.Output = r.ID, r.Spec.Output
	return d, eachTask(tx, r.ID, func(id taskID, t *lineage.Task) error {
		if id.kind == plan.Map {
			d.maps[id.index] = t
		} else {
			d.reduces[id.index] = t
		}
		return nil
	})
}

// readIndexes reads the indexes of the runs of all maps. It must not be called in a transaction: to
// open a run takes one of its own, and where the catalog is about to grow, that one waits for all others to end.
func (d *grapher) readIndexes(s *store.Store) {
	if !d.r.Traits.Reduce {
		return
	}
	for _, t := range d.maps {
		if _, known := d.runs[t.Made.Run]; known {
			continue
		}
		var ix indexed
		var err error
		ix.blocks, ix.digest, err = blocksOf(s, t.Made.Run)
		ix.lost = err != nil
		d.runs[t.Made.Run] = ix
	}
}

// draw draws one part, or all with part < 0.
func (d *grapher) draw(tx *store.Tx, part int) error {
	d.tx = tx
	if part >= len(d.reduces) {
		return mr.Errorf(mr.NotFound, "output %s has no part %d; it has %d", d.r.Spec.Output, part, len(d.reduces))
	}
	d.tree = d.treeOfAll()
	for i := range d.r.Reduce.Tasks {
		if t := d.reduces[i]; t != nil && (part < 0 || part == i) {
			if err := d.part(i, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *grapher) node(n mr.LineageNode) {
	if !d.drawn[n.ID] {
		d.drawn[n.ID] = true
		d.g.Nodes = append(d.g.Nodes, n)
	}
}

func (d *grapher) part(i int, t *lineage.Task) error {
	name, task := partName(d.r, i), plan.TaskName(plan.Reduce, i)
	d.node(mr.LineageNode{
		ID: name, Kind: "part", Label: fmt.Sprintf("%d records, %d bytes", t.Made.Records, t.Made.Raw),
		Digest: t.Made.Digest.String(), State: mr.Succeeded, Job: d.r.ID, From: []string{task},
	})
	places, rng, err := d.placesOf(i)
	if err != nil {
		return err
	}
	n := d.task(task, "reduce", t)
	n.Label = rng
	inner, err := d.innerNodes(i, places)
	if err != nil {
		return err
	}
	n.From = fromOf(inner, places, 0, len(places))
	d.node(n)
	for k := range inner {
		d.node(inner[k].LineageNode)
	}
	for _, m := range places {
		if err := d.mapTask(m); err != nil {
			return err
		}
	}
	return nil
}

func (d *grapher) task(name, kind string, t *lineage.Task) mr.LineageNode {
	n := mr.LineageNode{ID: name, Kind: kind, Digest: t.Made.Digest.String(), State: mr.Succeeded, Job: d.r.ID, Code: codeName(d.r)}
	if t.Cached {
		n.State = mr.Cached
	}
	if t.State == lineage.TaskLost {
		n.State = mr.Lost
	}
	if out, err := lineage.GetOutput(d.tx, t.Key); err == nil && out != nil {
		var a plan.Attempt
		if n.Job, a = maker(d.r, t, out); a != 0 {
			n.Attempt = a.String()
		}
		if a == out.Attempt {
			n.CPU = out.CPU.Seconds()
		}
		if v := verdictOf(d.tx, out.Stage); v == unordered || v == indeterminate {
			n.Code += ", " + v.String()
		}
	}
	return n
}

// maker says which job and attempt computed what task t of job r used; out is the record of
// it. That record is replaced when the output is computed again, after an eviction for
// example, and tells then what a later job has done: of r's own attempts t tells, and who
// made what r found is not known any more.
func maker(r *record, t *lineage.Task, out *lineage.Output) (mr.JobID, plan.Attempt) {
	switch {
	case !t.Cached && t.Attempt != 0:
		return r.ID, t.Attempt
	case !r.Ended.IsZero() && out.Created.After(r.Ended):
		return "", 0
	}
	return out.Job, out.Attempt
}

func codeName(r *record) string {
	if r.Spec.Code.Kind == mr.Binary {
		return r.Traits.Job + " in binary " + r.Spec.Code.Digest.Short()
	}
	return "built-in " + r.Traits.Job + " " + r.Traits.Version
}

func (d *grapher) mapTask(i int) error {
	t := d.maps[i]
	name := plan.TaskName(plan.Map, i)
	if t == nil || d.drawn[name] {
		return nil
	}
	n := d.task(name, "map", t)
	if i < len(d.splits) {
		n.Label = d.splits[i].String()
		for _, p := range d.splits[i].Pieces {
			n.From = append(n.From, p.String())
		}
	}
	d.node(n)
	for _, f := range n.From {
		d.node(mr.LineageNode{ID: f, Kind: "input", Label: f})
	}
	return nil
}

// placesOf finds the map tasks whose runs had blocks in a part's range, from the runs
// that are still there; a map whose run is gone is counted in.
func (d *grapher) placesOf(i int) (places []int, rng string, err error) {
	if !d.r.Traits.Reduce {
		return []int{i}, "", nil
	}
	r := d.rangeOf(i)
	for m := range len(d.maps) {
		t := d.maps[m]
		if t != nil && d.overlaps(t, r) {
			places = append(places, m)
		}
	}
	return places, fmt.Sprintf("keys [%q, %s)", r.Lo, upper(r)), nil
}

func upper(r plan.Range) string {
	if r.Hi == nil {
		return "end"
	}
	return fmt.Sprintf("%q", r.Hi)
}

func (d *grapher) rangeOf(i int) (r plan.Range) {
	if i < len(d.r.Ranges) {
		r = plan.Range(d.r.Ranges[i])
	}
	return r
}

func (d *grapher) overlaps(t *lineage.Task, r plan.Range) bool {
	ix := d.index(t)
	for _, b := range ix.blocks {
		if r.Overlaps(b.first, b.last) {
			return true
		}
	}
	return ix.lost
}

// index is what readIndexes has read of a map task's run.
func (d *grapher) index(t *lineage.Task) indexed { return d.runs[t.Made.Run] }
