package engine

import (
	"errors"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// This file is the engine's part in the tree in which a reduce phase with a combiner
// folds its runs: which inner nodes are on record, which are to be kept, and what becomes
// of those that are lost. A node saves time and is needed for nothing: whoever misses one
// reads its runs.

// treeNode is an inner node of a reduce task's tree. Its places are those among the
// task's runs.
type treeNode struct {
	plan.Node
	key    mr.Digest
	run    uint64    // 0: it is not on record
	leaves int64     // records of the runs that it stands for
	opened mr.Digest // the list of files that its making has read, see lineage.PutOpened
}

// treeOf is the tree in which the runs of all maps are folded: all zeros, which is from
// the left, without a combiner.
func treeOf(rec *record, blocks [][]block, digests []mr.Digest) []uint8 {
	seps := make([]uint8, len(blocks))
	if !rec.Traits.Tree {
		return seps
	}
	var places []int // of runs that hold records
	var some []mr.Digest
	for i := range blocks {
		if len(blocks[i]) > 0 {
			places, some = append(places, i), append(some, digests[i])
		}
	}
	for k, sep := range plan.TreeOf(some) {
		seps[places[k]] = sep
	}
	return seps
}

// keyShape is what keys must know of a tree: nothing where any tree gives the same value.
func keyShape(rec *record, seps []uint8) []uint8 {
	if rec.Traits.Sums {
		return make([]uint8, len(seps))
	}
	return seps
}

// foldVerdict is what is known of the code that folds rec's nodes: the verdict on the reduce
// stage, whose trial folds as well. Adding integers up needs none.
func foldVerdict(tx *store.Tx, rec *record) verdict {
	if rec.Spec.Code.Kind != mr.Binary || rec.Traits.Sums {
		return deterministic
	}
	return verdictOf(tx, rec.ReduceStage)
}

// nodesOf looks the inner nodes of a range's tree up. runs are the digests of their
// blocks that may hold keys of the range. Like other outputs, a node is not used by other jobs
// before its code has passed its trial; of code that has failed it, none is kept either.
func nodesOf(tx *store.Tx, rec *record, r plan.Range, runs [][]mr.Digest, seps []uint8) ([]treeNode, error) {
	inner := plan.InnerNodes(seps)
	if len(inner) == 0 {
		return nil, nil
	}
	known := foldVerdict(tx, rec)
	if known == indeterminate {
		return nil, nil
	}
	stage := plan.NodeStage(rec.Traits, rec.Spec.Code, rec.Env).Digest
	nodes, shape := make([]treeNode, len(inner)), keyShape(rec, seps)
	for i, n := range inner {
		nodes[i] = treeNode{Node: n, key: plan.NodeKey(stage, r, runs[n.From:n.To], shape[n.From:n.To])}
		out, err := lineage.GetOutput(tx, nodes[i].key)
		if err != nil {
			return nil, err
		}
		shared := out != nil && (known != untried || out.Job == rec.ID) && mayShare(tx, rec, out)
		if shared && out.Kind == plan.Merge && out.Gone == "" && tx.HasRun(store.RunID(out.Made.Run)) {
			nodes[i].run, nodes[i].leaves, nodes[i].opened = out.Made.Run, leavesOf(out), out.Opened
		}
	}
	return nodes, nil
}

// The counters of a node say what a reduce task would have counted without it.
const leafCounter = "reduce_input_records"

func leavesOf(o *lineage.Output) int64 {
	for _, c := range o.Counter {
		if c.Group == "mr" && c.Name == leafCounter {
			return c.Value
		}
	}
	return 0
}

// orderTree puts the runs that a reduce attempt reads into its order: the largest nodes on
// record in place of their runs. The largest of the others are to be kept where that may
// pay: where all maps below were hits, so that the job is a rerun and they have stayed the
// same since. Whoever changes a run below them later misses them, and keeps what is left.
// It returns the lists of files that the nodes depend on.
func (l *loop) orderTree(w *plan.Work, j *job, t *taskInfo) (opened []mr.Digest) {
	w.Seps = t.seps
	runs := w.Runs
	known := make([]*treeNode, len(runs))    // that is read in the place of a run
	kept := make([]bool, len(runs))          // below a node that is to be kept
	for i := len(t.nodes) - 1; i >= 0; i-- { // from the root down
		n := &t.nodes[i]
		switch {
		case known[n.From] != nil:
		case n.run != 0:
			for at := n.From; at < n.To; at++ {
				known[at] = n
			}
		case !kept[n.From] && l.worthKeeping(j, t, n):
			w.Nodes = append(w.Nodes, plan.NodeOrder{Key: n.key, From: n.From, To: n.To})
			for at := n.From; at < n.To; at++ {
				kept[at] = true
			}
		}
	}
	w.Runs = nil
	for at, n := range known {
		switch {
		case n == nil:
			w.Runs, w.At, w.Leaves = append(w.Runs, runs[at]), append(w.At, at), append(w.Leaves, 0)
		case n.From == at:
			w.Runs, w.At, w.Leaves = append(w.Runs, n.run), append(w.At, at), append(w.Leaves, n.leaves)
			if !n.opened.IsZero() {
				opened = append(opened, n.opened)
			}
		}
	}
	return opened
}

func (l *loop) worthKeeping(j *job, t *taskInfo, n *treeNode) bool {
	if j.rec.Spec.Incremental {
		return true
	}
	for _, m := range t.places[n.From:n.To] {
		if !j.maps[m].Cached {
			return false
		}
	}
	return true
}

// dropNodes gives up nodes that an attempt could not read, and reports whether there
// were any: then the task has what it needs to do without.
func (l *loop) dropNodes(f *flight) (some bool) {
	j, t := l.taskOf(f.task)
	if t == nil {
		return false
	}
	for _, id := range f.result.Failure.LostRuns {
		for i := range t.nodes {
			n := &t.nodes[i]
			if n.run != id {
				continue
			}
			some, n.run = true, 0
			l.logf(j, plan.TaskName(f.task.kind, f.task.index), "a kept inner node of the merge could not be read; folding its runs")
			l.e.o.Store.Distrust(store.RunID(id))
			l.forgetLost(n.key, id)
		}
	}
	return some
}

// putNodes stages the records of the nodes that a reduce attempt has made, and of the use
// of those that it has read.
func (b *batchWriter) putNodes(j *job, id taskID, t *taskInfo, f *flight) {
	now := b.l.e.o.Now()
	made := map[mr.Digest]bool{}
	var stage mr.Digest
	var opened []plan.Opened
	if len(f.result.Nodes) > 0 {
		opened = b.l.openedBy(f)
		stage = plan.NodeStage(j.rec.Traits, j.rec.Spec.Code, j.rec.Env).Digest
	}
	for i := range f.result.Nodes {
		n := &f.result.Nodes[i]
		made[n.Key] = true
		j.rec.Merge.Run++
		o := &lineage.Output{
			Key: n.Key, Kind: plan.Merge, Stage: stage,
			Range: j.ranges[id.index], Made: n.Made, Input: n.Input, CPU: n.CPU, Created: now,
			Job: j.rec.ID, Index: id.index, Attempt: f.work.Attempt,
			Counter: mr.Counters{{Group: "mr", Name: leafCounter, Value: n.Leaves}}, Opened: lineage.OpenedKey(opened),
		}
		b.add(func(tx *store.Tx) error {
			if err := lineage.Forget(tx, o.Key, lineage.Replaced, now); err != nil {
				return err
			}
			if err := tx.CommitRun(store.RunID(o.Made.Run)); err != nil {
				return err
			}
			return errors.Join(lineage.PutOpened(tx, opened), lineage.PutOutput(tx, o))
		})
		b.after(b.l.e.kick)
	}
	if f.result.Patched {
		j.rec.Merge.Cached++
		return
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.run == 0 || !reads(&f.work, n.run) {
			continue
		}
		j.rec.Merge.Cached++
		b.add(func(tx *store.Tx) error { return lineage.Touch(tx, n.key, now) })
	}
}

func reads(w *plan.Work, run uint64) bool {
	for i, id := range w.Runs {
		if id == run && i < len(w.Leaves) && w.Leaves[i] > 0 {
			return true
		}
	}
	return false
}
