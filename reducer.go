package mr

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"unsafe"
)

// reduceFuncs is a reduce stage; exactly one of its fields is set.
type reduceFuncs[K, V, K2, V2 any] struct {
	each  func(t *Task, key K, values iter.Seq[V], emit Emit[K2, V2]) error
	from  func(t *Task) (Reducer[K, V, K2, V2], error)
	pairs func(t *Task, group iter.Seq2[K, V], emit Emit[K2, V2]) error
	pass  func(g *groups[K, V], sink *textSink[K2, V2]) error // no author's code: Pass
}

// run executes a reduce task.
func (f *reduceFuncs[K, V, K2, V2]) run(ctx context.Context, p *Program, env TaskEnv, in RecordReader, out RecordSink) (Counters, error) {
	t := newTask(p.traits.Job)
	g := newGroups[K, V](ctx, p, in)
	t.key = g.currentKey
	sink := newTextSink[K2, V2](p, out)
	return t.sums(t.guard("reduce", func() error {
		if err := f.groups(t, g, sink); err != nil {
			return err
		}
		g.count(t)
		t.count("reduce_output_records", sink.n)
		return nil
	}))
}

func (f *reduceFuncs[K, V, K2, V2]) groups(t *Task, g *groups[K, V], sink *textSink[K2, V2]) error {
	if f.pass != nil {
		if err := f.pass(g, sink); g.err == nil {
			return t.codecError("reduce", err)
		}
		return g.err
	}
	each := f.each
	var reducer Reducer[K, V, K2, V2]
	if f.from != nil {
		var err error
		if reducer, err = f.from(t); err == nil && reducer == nil {
			err = errors.New("the setup function returned neither a Reducer nor an error")
		}
		if err != nil {
			return t.userError("reduce", err)
		}
		each = func(_ *Task, key K, values iter.Seq[V], emit Emit[K2, V2]) error {
			return reducer.Reduce(key, values, emit)
		}
	}
	var outErr error
	over, one := false, alone{blind: sink.value.l.custom}
	defer func() { over = true }()
	emit := func(k K2, v V2) {
		if over { // there may be any number of ranges, and other ones at the next run
			panic(Errorf(Usage, "emit was called after the last Reduce of the task had returned, as by Cleanup: its record would be in the output once for each range of keys"))
		}
		one.enter()
		if outErr == nil {
			outErr = sink.write(k, v)
		}
		one.leave()
	}
	values, pairs := g.values(), g.pairs()
	for g.nextGroup() {
		var err error
		if f.pairs != nil {
			err = f.pairs(t, pairs, emit)
		} else {
			err = each(t, g.key, values, emit)
		}
		// The reader's error comes first: the author's may be a consequence of the
		// values having ended early.
		switch {
		case g.err != nil:
			return g.err
		case err != nil:
			return t.userError("reduce", err)
		case outErr != nil:
			return t.codecError("reduce", outErr)
		}
	}
	if g.err != nil {
		return g.err
	}
	over = true
	if c, ok := reducer.(interface{ Cleanup() error }); ok {
		if err := c.Cleanup(); err != nil {
			return t.userError("reduce cleanup", err)
		}
	}
	return nil
}

// groups reads sorted records group by group. Nothing but the current record is in
// memory; with a combiner, nothing but the current key and its folded value.
type groups[K, V any] struct {
	ctx    context.Context // of the task whose records these are
	in     RecordReader
	job    string
	traits *Traits
	layout *layout
	codec  *valueCodec[V]
	fold   func(a, b V) V
	branch *branch[V] // nil: the runs are folded from the left

	key   K // of the current record
	value V

	first   []byte // encoded first key of the current group; a copy
	group   []byte // the part of first that groups
	keyBuf  []byte // encoded key of the record read last; a copy
	shown   []byte // copies of first and keyBuf, which []byte keys alias: the author's function may change them
	shown2  []byte
	later   bool   // the current record is not the group's first
	nextKey []byte // the record read ahead while folding: the reader's memory
	nextVal []byte
	ahead   bool

	unread  bool // the current record was not handed out yet
	ended   bool // the current group has no more records
	done    bool
	err     error
	records int64
	n       int64 // groups
}

func newGroups[K, V any](ctx context.Context, p *Program, in RecordReader) *groups[K, V] {
	return &groups[K, V]{
		ctx: ctx, in: in, job: p.traits.Job, traits: &p.traits, layout: &p.key,
		codec: newValueCodec[V](&p.value), fold: combiner[V](p.reduceStages),
		branch: branchOf[V](in),
		ended:  true,
	}
}

// nextGroup skips what is left of the current group and moves to the first record of
// the next one.
func (g *groups[K, V]) nextGroup() bool {
	for !g.ended {
		g.unread = false
		g.advance()
	}
	if g.n == 0 && !g.done && g.err == nil {
		g.read()
	}
	if g.done || g.err != nil {
		return false
	}
	g.n++
	g.first, g.keyBuf = g.keyBuf, g.first
	g.group = g.traits.Group(g.first)
	g.ended, g.unread, g.later = false, true, false
	return g.decodeKey(&g.shown, g.first)
}

// decodeKey decodes the key b. A []byte of it aliases a copy, in buf.
func (g *groups[K, V]) decodeKey(buf *[]byte, b []byte) bool {
	if g.layout.alias {
		*buf = append((*buf)[:0], b...)
		b = *buf
	}
	if err := decodeKey(unsafe.Pointer(&g.key), b, g.layout); err != nil {
		g.err = err
		return false
	}
	return true
}

// decodeLater decodes the key of the current record, where it is not the one of the group.
func (g *groups[K, V]) decodeLater() bool { return !g.later || g.decodeKey(&g.shown2, g.keyBuf) }

// advance moves to the next record, or ends the group.
func (g *groups[K, V]) advance() {
	if g.ended {
		return
	}
	g.read()
	if g.done || g.err != nil || !bytes.Equal(g.traits.Group(g.keyBuf), g.group) {
		g.ended = true
		return
	}
	g.later, g.unread = true, true
}

// read reads one record, or with a combiner all records of one key, folded.
func (g *groups[K, V]) read() {
	var key, val []byte
	if g.ahead {
		key, val, g.ahead = g.nextKey, g.nextVal, false
	} else if key, val = g.next(); g.done || g.err != nil {
		return
	}
	g.keyBuf = append(g.keyBuf[:0], key...)
	if g.value, g.err = g.decode(val); g.err != nil || g.fold == nil {
		return
	}
	g.value = g.codec.Own(g.value)
	folded := false
	for {
		key, val := g.next()
		if g.err != nil {
			return
		}
		if g.done {
			g.done, g.ahead = false, false
			g.in = ended{}
			break
		}
		if !bytes.Equal(key, g.keyBuf) {
			g.nextKey, g.nextVal, g.ahead = key, val, true
			break
		}
		v, err := g.decode(val)
		if err != nil {
			g.err = err
			return
		}
		if v = g.codec.Own(v); g.branch != nil && g.branch.in.Level() > 0 {
			g.branch.climb(g.codec, g.fold, g.value, folded, g.branch.in.Level())
			g.value, folded = v, false
			continue
		}
		g.value, folded = g.fold(g.value, v), true
	}
	if g.branch != nil {
		g.value, folded = g.branch.root(g.codec, g.fold, g.value, folded)
	}
	if folded { // what ends here may be a node in the tree of another range
		g.value = g.codec.again(g.value)
	}
}

// decode decodes a value of the key that was read last.
func (g *groups[K, V]) decode(val []byte) (V, error) {
	v, err := g.codec.Decode(val)
	if err != nil {
		t := Task{job: g.job, key: func() []byte { return append([]byte{}, g.keyBuf...) }}
		err = t.codecError("reduce", err)
	}
	return v, err
}

// ended is a reader at its end.
type ended struct{}

func (ended) Next() ([]byte, []byte, error) { return nil, nil, io.EOF }

func (g *groups[K, V]) next() (key, val []byte) {
	key, val, err := g.in.Next()
	if err != nil {
		if g.done = errors.Is(err, io.EOF); !g.done {
			g.err = err
		}
		return nil, nil
	}
	if g.records++; g.records&0xfff == 0 {
		g.err = g.ctx.Err()
	}
	return key, val
}

// values returns the values of whatever group is current when it is ranged over.
func (g *groups[K, V]) values() iter.Seq[V] {
	return func(yield func(V) bool) {
		group := g.n
		for g.more() {
			if !yield(g.value) || g.n != group {
				return
			}
		}
	}
}

// pairs is values with their whole keys.
func (g *groups[K, V]) pairs() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		group := g.n
		for g.more() {
			if !g.decodeLater() || !yield(g.key, g.value) || g.n != group {
				return
			}
		}
	}
}

// more moves to the next record to hand out.
func (g *groups[K, V]) more() bool {
	if !g.unread {
		g.advance()
	}
	ok := g.unread && !g.ended
	g.unread = false
	return ok
}

// currentKey is nil before the first group.
func (g *groups[K, V]) currentKey() []byte {
	if g.n == 0 {
		return nil
	}
	return append([]byte{}, g.first...)
}

func (g *groups[K, V]) count(t *Task) {
	t.count("reduce_input_groups", g.n)
	t.count("reduce_input_records", g.records)
}
