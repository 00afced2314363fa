package engine

import (
	"fmt"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
)

// This file draws the inner nodes of merges. What a reduce task has read is not on record;
// but the shape of its tree follows from the runs, so the nodes that were there when the
// job ended are found again by their keys.

// drawnNode is an inner node in a picture, with the runs that it folds: places among those
// of its range.
type drawnNode struct {
	mr.LineageNode
	plan.Node
}

// treeOfAll is the tree over the runs of all maps; nil if a job has none, or one of the
// runs cannot be read any more.
func (d *grapher) treeOfAll() []uint8 {
	if !d.r.Traits.Tree || d.r.Spec.NoCache {
		return nil
	}
	blocks, digests := make([][]block, len(d.maps)), make([]mr.Digest, len(d.maps))
	for i := range blocks {
		t := d.maps[i]
		if t == nil {
			return nil
		}
		ix := d.index(t)
		if ix.lost {
			return nil
		}
		blocks[i], digests[i] = ix.blocks, ix.digest
	}
	return treeOf(d.r, blocks, digests)
}

// innerNodes finds the inner nodes of reduce task i's tree that are on record, the largest
// first. places are the maps whose runs it has folded.
func (d *grapher) innerNodes(i int, places []int) (drawn []drawnNode, err error) {
	if d.tree == nil {
		return nil, nil
	}
	r := d.rangeOf(i)
	runs := make([][]mr.Digest, len(places))
	for k, m := range places {
		runs[k], _ = inRange(d.index(d.maps[m]).blocks, r)
	}
	seps := plan.Restrict(d.tree, places)
	inner := plan.InnerNodes(seps)
	shape := keyShape(d.r, seps)
	stage := plan.NodeStage(d.r.Traits, d.r.Spec.Code, d.r.Env).Digest
	for _, n := range inner { // those that hold others come last
		key := plan.NodeKey(stage, r, runs[n.From:n.To], shape[n.From:n.To])
		out, err := lineage.GetOutput(d.tx, key)
		if err != nil {
			return nil, err
		}
		if out == nil || out.Kind != plan.Merge || !d.r.Ended.IsZero() && out.Created.After(d.r.Ended) {
			continue
		}
		state := mr.Cached
		if out.Job == d.r.ID {
			state = mr.Succeeded
		}
		drawn = append([]drawnNode{{Node: n, LineageNode: mr.LineageNode{
			ID: fmt.Sprintf("%s-%s", plan.TaskName(plan.Merge, i), key.Short()), Kind: "merge",
			Label:  fmt.Sprintf("%d records of %d map tasks", out.Made.Records, n.To-n.From),
			Digest: out.Made.Digest.String(), State: state, Job: out.Job, Code: codeName(d.r),
			CPU: out.CPU.Seconds(), Attempt: out.Attempt.String(), From: fromOf(drawn, places, n.From, n.To),
		}}}, drawn...)
	}
	return drawn, nil
}

// fromOf names what the places [from, to) are folded of: the largest of the nodes, which
// come first, and the map tasks that none of them holds.
func fromOf(nodes []drawnNode, places []int, from, to int) (names []string) {
	for at := from; at < to; {
		next := at + 1
		name := plan.TaskName(plan.Map, places[at])
		for i := range nodes {
			if n := &nodes[i]; n.Node.From == at && n.To <= to {
				name, next = n.ID, n.To
				break
			}
		}
		names = append(names, name)
		at = next
	}
	return names
}
