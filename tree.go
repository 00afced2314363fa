package mr

// A reduce phase with a combiner folds its runs in a tree whose shape follows from the
// runs alone, so that the value of an inner node is the same whoever folds it and can be
// kept. The records of a key come run by run; the reader says how far apart in the tree
// two that follow each other are, and the fold keeps one partial result a level: the
// whole tree is folded in one pass.

// TreeReader is a RecordReader of runs that are folded in a tree.
type TreeReader interface {
	RecordReader
	// Level says how far up the nearest common node is of the run of the record that Next
	// has just returned and that of the record before, if they have the same key. 0 is a
	// node of runs.
	Level() int
}

// branch is what is folded of the inner nodes above the current record.
type branch[V any] struct {
	in    TreeReader
	parts []partial[V] // by level, from the nodes above nodes of runs
}

// partial is what an open node has folded.
type partial[V any] struct {
	value V
	some  bool
}

// branchOf returns the branch of a reader that has a tree, or nil.
func branchOf[V any](in RecordReader) *branch[V] {
	if r, ok := in.(TreeReader); ok {
		return &branch[V]{in: r}
	}
	return nil
}

// climb ends the nodes below level, with cur as the value of the lowest, and leaves their
// value with the node there. folded says whether cur was folded of several.
func (b *branch[V]) climb(c *valueCodec[V], fold func(a, b V) V, cur V, folded bool, level int) {
	for len(b.parts) < level {
		b.parts = append(b.parts, partial[V]{})
	}
	for l := range level {
		if folded {
			cur = c.again(cur)
		}
		p := &b.parts[l]
		if folded = p.some; folded {
			cur = fold(p.value, cur)
		}
		if p.some = l == level-1; p.some {
			p.value = cur
		}
	}
}

// root ends all nodes, with cur as the value of the lowest, and returns the highest's, and
// whether that was folded of several.
func (b *branch[V]) root(c *valueCodec[V], fold func(a, b V) V, cur V, folded bool) (V, bool) {
	for l := range b.parts {
		p := &b.parts[l]
		if !p.some {
			continue
		}
		if folded {
			cur = c.again(cur)
		}
		cur, folded, p.some = fold(p.value, cur), true, false
	}
	return cur, folded
}

// again returns v as it comes back from its encoding, in which the values of inner nodes
// are kept. That of a type of the author's may hold less than v does.
func (c *valueCodec[V]) again(v V) V {
	if !c.l.custom {
		return v
	}
	if w, err := c.Decode(c.Append(nil, v)); err == nil {
		return w
	}
	return v // an asymmetric codec: decoding will fail later, with a message
}
