package plan

import (
	"encoding/binary"

	"github.com/mrd-io/mr"
)

// This file is the shape of the tree in which a reduce phase with a combiner folds its
// runs. The shape depends on the runs' digests in order alone: not on what is cached, on
// workers, or on where ranges are cut. So whoever folds comes to the same value to the
// bit, also where folding is not quite associative, as with sums of floats; and the value
// of an inner node can be kept, and used again by whoever meets the same node.
//
// A tree over n runs is written as n separations: seps[i] says how far up the tree the
// nearest common node of runs i-1 and i is. 0 is a node of runs, 1 a node of such nodes,
// and so on. seps[0] is 0 and means nothing. All zeros is one node of all runs: what a
// fold from the left comes to.

// A node closes behind a child that says so, by a few bits of its last run's digest; but
// not before it has fanMin children, and at the latest when it has fanMax. So a run that
// is appended, changed or removed moves the bounds of nodes in its neighbourhood only.
const (
	fanMin  = 3
	fanMax  = 8
	fanBits = 1 // one child in 1<<fanBits says so
)

// TreeOf returns the tree over runs with these digests. A run without records should be
// left out: it has nothing to fold.
func TreeOf(digests []mr.Digest) (seps []uint8) {
	seps = make([]uint8, len(digests))
	ends := make([]int, len(digests)) // of this level's nodes, by their last run
	for i := range ends {
		ends[i] = i
	}
	for level := uint8(0); len(ends) > 1; level++ {
		var closed []int
		n := 0
		for _, end := range ends {
			if n++; n >= fanMax || n >= fanMin && closes(digests[end], level) {
				closed, n = append(closed, end), 0
			}
		}
		if last := ends[len(ends)-1]; n > 0 {
			closed = append(closed, last)
		}
		for _, end := range closed[:len(closed)-1] {
			seps[end+1] = level + 1
		}
		ends = closed
	}
	return seps
}

// closes reports whether a node of a level may end behind a child whose last run has
// digest d: each level looks at bits of its own.
func closes(d mr.Digest, level uint8) bool {
	at := uint(level) * fanBits % 64
	return binary.LittleEndian.Uint64(d[:])>>at&(1<<fanBits-1) == 0
}

// Restrict returns the tree over some of the runs, in its least form: two restrictions
// that fold in the same order are equal.
func Restrict(seps []uint8, runs []int) []uint8 {
	out := make([]uint8, len(runs))
	for k := 1; k < len(runs); k++ {
		for _, s := range seps[runs[k-1]+1 : runs[k]+1] {
			out[k] = max(out[k], s)
		}
	}
	least(out)
	return out
}

// least lowers separations as far as the order of folding allows: a node of one child is
// no node. It returns the height of the tree.
func least(seps []uint8) (height uint8) {
	var top uint8
	for _, s := range seps[min(1, len(seps)):] {
		top = max(top, s)
	}
	if len(seps) < 2 {
		return 0
	}
	var below uint8
	from := 0
	for i := 1; i <= len(seps); i++ {
		if i == len(seps) || seps[i] == top {
			if top > 0 {
				below = max(below, least(seps[from:i]))
			}
			from = i
		}
	}
	for i := 1; i < len(seps); i++ {
		if seps[i] == top {
			seps[i] = below
		}
	}
	return below + 1
}

// Node is an inner node of a tree: it folds the runs [From, To).
type Node struct{ From, To int }

// InnerNodes returns the inner nodes of a tree in its least form, but for the root: those
// of runs first, each before those that hold it.
func InnerNodes(seps []uint8) (nodes []Node) {
	var top uint8
	for _, s := range seps {
		top = max(top, s)
	}
	for level := uint8(1); level <= top; level++ {
		from := 0
		for i := 1; i <= len(seps); i++ {
			if i < len(seps) && seps[i] < level {
				continue
			}
			if highest(seps[from:i]) == int(level)-1 {
				nodes = append(nodes, Node{from, i})
			}
			from = i
		}
	}
	return nodes
}

// highest is the highest separation within a tree, -1 for a single run.
func highest(seps []uint8) int {
	top := -1
	for _, s := range seps[min(1, len(seps)):] {
		top = max(top, int(s))
	}
	return top
}

// Levels answers for two runs of a tree how far up their nearest common node is.
type Levels struct {
	ids [][]int32 // by level, and run: the node it is in
}

// LevelsOf prepares the answers; nil for a tree of one node.
func LevelsOf(seps []uint8) *Levels {
	top := highest(seps)
	if top <= 0 {
		return nil
	}
	l := &Levels{ids: make([][]int32, top)}
	for level := range l.ids {
		ids := make([]int32, len(seps))
		for i := 1; i < len(seps); i++ {
			ids[i] = ids[i-1]
			if int(seps[i]) > level {
				ids[i]++
			}
		}
		l.ids[level] = ids
	}
	return l
}

// Between returns the separation of runs i and j.
func (l *Levels) Between(i, j int) uint8 {
	for level, ids := range l.ids {
		if ids[i] == ids[j] {
			return uint8(level)
		}
	}
	return uint8(len(l.ids))
}
