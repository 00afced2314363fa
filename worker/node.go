package worker

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// A reduce attempt keeps inner nodes of its tree for later jobs, where that is asked for
// and folding shrinks what is folded. A node is folded into a run of the store, and then
// read in place of its runs. It becomes visible with the task's output, or never.

// A node is kept if it has at most this part of the records that were folded. That is
// looked at when nodeTrial records were read, and at the end.
const (
	nodeTrial      = 1 << 13
	nodeWorth      = 7 // tenths
	nodeWorthAtEnd = 8
)

// combiner is a Runner that folds records: see mr.Program.Combine.
type combiner interface {
	Combine(ctx context.Context, t mr.TaskEnv, in mr.RecordReader, out mr.RecordSink) (mr.Counters, error)
}

// keptNodes are the nodes that an attempt has made.
type keptNodes struct {
	sinks []RunSink
	made  []plan.NodeMade
}

// discard gives them up.
func (k *keptNodes) discard() {
	for _, s := range k.sinks {
		s.Discard()
	}
}

// report adds to the answer what was kept, and to its counters what reading nodes
// and adding beforehand have hidden, so that they don't depend on what was kept before.
func (k *keptNodes) report(res *plan.Result, m *openedRuns, in *cursorReader) {
	res.Nodes = k.made
	hidden := in.added()
	for _, o := range m.runs {
		if o.leaves > 0 {
			hidden += o.leaves - o.ix.Records
		}
	}
	for i := range res.Counters {
		if c := &res.Counters[i]; c.Group == "mr" && c.Name == "reduce_input_records" {
			c.Value += hidden
		}
	}
}

// keepNodes makes the nodes of the attempt's order, and puts them in the place of their
// runs. A node that can't be written is not missed; a run that can't be read is.
func (s *Service) keepNodes(a *attempt, m *openedRuns, runner mr.Runner) (*keptNodes, error) {
	kept := &keptNodes{}
	c, ok := runner.(combiner)
	if !ok {
		return kept, nil
	}
	for _, n := range a.work.Nodes {
		from := slices.IndexFunc(m.runs, func(o *openedRun) bool { return o.at >= n.From })
		to := slices.IndexFunc(m.runs, func(o *openedRun) bool { return o.at >= n.To })
		if to < 0 {
			to = len(m.runs)
		}
		if from < 0 || to-from < 2 {
			continue
		}
		o, made, err := s.makeNode(a, m, c, n, m.runs[from:to], kept)
		if err != nil {
			return kept, err
		}
		if o == nil {
			continue
		}
		kept.made = append(kept.made, made)
		for _, old := range m.runs[from:to] {
			old.src.Close()
		}
		m.runs = slices.Replace(m.runs, from, to, o)
	}
	return kept, nil
}

// makeNode folds runs into a node. It returns nil if the node is not worth keeping.
func (s *Service) makeNode(a *attempt, m *openedRuns, c combiner, n plan.NodeOrder, runs []*openedRun, kept *keptNodes) (*openedRun, plan.NodeMade, error) {
	start := time.Now()
	made := plan.NodeMade{Key: n.Key}
	defer m.readNoMore(len(m.aheads)) // a node that is not worth it leaves its runs half read
	in, err := m.merged(a, runs, s.o.TempDir)
	if err != nil {
		return nil, made, m.lostOr(err)
	}
	sink := s.o.Runs.Create()
	out := &nodeSink{w: run.NewWriter(sink, run.Options{})}
	dull := false
	in.enough = func() bool {
		dull = in.read() >= nodeTrial && out.records.Load()*10 > in.read()*nodeWorth
		return dull
	}
	env := mr.TaskEnv{Index: a.work.Index, Format: a.work.Format, Memory: a.work.Memory, SpillDir: s.o.TempDir}
	_, err = c.Combine(a.ctx, env, in.reader(), out)
	if lost := m.lostOr(in.err); lost != nil || err != nil && out.err == nil {
		sink.Discard()
		if lost != nil {
			return nil, made, lost
		}
		return nil, made, err
	}
	if dull || out.err != nil || out.records.Load()*10 > in.read()*nodeWorthAtEnd {
		sink.Discard()
		return nil, made, nil
	}
	o, err := s.sealNode(a, sink, out.w, &made.Made)
	if err != nil {
		sink.Discard()
		s.o.Logger.Warn("an inner node of a merge could not be kept", "attempt", a.work.Attempt, "err", err)
		return nil, made, a.ctx.Err()
	}
	kept.sinks = append(kept.sinks, sink)
	o.at, o.leaves = n.From, in.read()
	for _, r := range runs {
		if r.leaves > 0 {
			o.leaves += r.leaves - r.ix.Records
		}
		raw, _ := overlap(r.ix, m.r)
		made.Input += raw
	}
	made.Leaves, made.CPU = o.leaves, time.Since(start)
	return o, made, nil
}

// sealNode finishes a node's run and opens it.
func (s *Service) sealNode(a *attempt, sink RunSink, w *run.Writer, made *plan.Made) (*openedRun, error) {
	if err := sealRun(a, sink, w, func() {}, made); err != nil {
		return nil, err
	}
	src, err := s.o.Runs.OpenSealed(made.Run)
	if err != nil {
		return nil, err
	}
	ix, err := run.ReadIndex(src, src.Blobs())
	if err != nil {
		src.Close()
		return nil, err
	}
	return &openedRun{id: made.Run, src: src, ix: ix}, nil
}

// nodeSink counts what a node's writer takes: a child's output and input are served by
// goroutines of their own.
type nodeSink struct {
	w       *run.Writer
	records atomic.Int64
	err     error
}

func (n *nodeSink) Record(key, value []byte) error {
	n.records.Add(1)
	err := n.w.Record(key, value)
	if err != nil {
		n.err = err
	}
	return err
}
