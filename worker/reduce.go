package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// runReduce makes one part file: by reducing the attempt's range of its runs, by
// writing out a map-only run, or by copying a part that the store has kept.
func (s *Service) runReduce(a *attempt, res *plan.Result) (err error) {
	w := a.work
	rest, err := s.compute(a)
	if err != nil {
		return err
	}
	defer rest()
	if w.Copy {
		return s.installPart(a, rest, res)
	}
	if w.Patch.Base != 0 {
		if done, err := s.patchPart(a, rest, res); done || err != nil {
			return err
		}
	}
	runner, err := s.runner(a.ctx, &w.Program)
	if err != nil {
		return err
	}
	m, err := s.openRuns(w, runner.Traits().Sums)
	if err != nil {
		return err
	}
	defer m.close()
	nodes, err := s.keepNodes(a, m, runner)
	defer func() {
		if err != nil {
			nodes.discard()
		}
	}()
	if err != nil {
		return err
	}
	in, err := m.merged(a, m.runs, s.o.TempDir)
	if err != nil {
		return m.lostOr(err)
	}

	part, err := s.createPart(w, w.OutputFormat, runner.Traits())
	if err != nil {
		return err
	}
	defer part.abort() // of no effect after finish
	if w.KeepMost > 0 {
		part.keep(s.o.Runs.Create(), w.KeepMost, m.share(in, w.KeepMost))
	}
	out := &watchedSink{next: part}
	if w.Unsorted {
		err = copyRecords(a.ctx, in, out)
	} else {
		env := mr.TaskEnv{Index: w.Index, Format: w.Format, Memory: w.Memory, SpillDir: s.o.TempDir}
		res.Counters, err = runner.Reduce(a.ctx, env, in.reader(), out)
		res.Log, res.Opened = printed(runner), openedBy(runner)
	}
	if lost := m.lostOr(in.err); lost != nil {
		return lost
	}
	if out.err != nil {
		return fmt.Errorf("writing part file %s: %w", w.Part, out.err)
	}
	if err != nil {
		return err
	}
	rest()
	nodes.report(res, m, in)
	res.Positive = in.positive() && !m.anyNode()
	start := time.Now()
	err = part.finish(a.ctx, &res.Made)
	res.Steps = plan.Steps{Merge: in.merging(), Output: part.took + time.Since(start)}
	return err
}

// watchedSink remembers the sink's own error, so that it isn't taken for the reducer's.
type watchedSink struct {
	next mr.RecordSink
	err  error
}

func (c *watchedSink) Record(key, value []byte) error {
	err := c.next.Record(key, value)
	if err != nil {
		c.err = err
	}
	return err
}

func copyRecords(ctx context.Context, in *cursorReader, out mr.RecordSink) error {
	for {
		if in.records&(everySo-1) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		k, v, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.Record(k, v); err != nil {
			return err
		}
	}
}

// openedRun is one run that an attempt reads.
type openedRun struct {
	id     uint64
	src    RunSource
	ix     *run.Index
	reader *run.Reader // nil until reached
	at     int         // its place, or that of its first run, in the tree
	leaves int64       // of a node: the records that it stands for
}

// openedRuns are the runs of a reduce attempt that have records in its range, in order.
type openedRuns struct {
	runs   []*openedRun
	r      plan.Range
	levels *plan.Levels // of the tree; nil: runs are folded from the left
	sums   bool         // folding adds integers: any tree gives the same

	spills []*spill     // earlier passes of a merge too wide for the memory
	aheads []*run.Ahead // what is read in the background
}

// openRuns opens the runs of w. Whatever can't be opened is reported together, so that
// it is all computed again at once.
func (s *Service) openRuns(w *plan.Work, sums bool) (*openedRuns, error) {
	m := &openedRuns{r: w.Range(), sums: sums}
	if !sums {
		m.levels = plan.LevelsOf(w.Seps)
	}
	var lost []uint64
	var first error
	for i, id := range w.Runs {
		src, err := s.o.Runs.Open(id)
		var ix *run.Index
		if err == nil {
			if ix, err = s.indexes.get(id, src); err != nil {
				src.Close()
			}
		}
		if err != nil && !isLost(err) {
			m.close()
			return nil, fmt.Errorf("run %d: %w", id, err)
		}
		if err != nil {
			lost = append(lost, id)
			if first == nil {
				first = fmt.Errorf("run %d: %w", id, err)
			}
			continue
		}
		if _, some := overlap(ix, m.r); !some && !w.Unsorted {
			src.Close()
			continue
		}
		o := &openedRun{id: id, src: src, ix: ix, at: i}
		if i < len(w.At) && i < len(w.Leaves) {
			o.at, o.leaves = w.At[i], w.Leaves[i]
		}
		m.runs = append(m.runs, o)
	}
	if len(lost) > 0 {
		m.close()
		return nil, &taskFailure{kind: plan.LostRun, lost: lost, err: first}
	}
	return m, nil
}

// anyNode reports whether some of what was read stands for other runs.
func (m *openedRuns) anyNode() bool {
	return slices.ContainsFunc(m.runs, func(o *openedRun) bool { return o.leaves > 0 })
}

// isLost tells a run that must be computed again from a failure to read it now.
func isLost(err error) bool { return errors.Is(err, ErrLost) || errors.Is(err, run.ErrDamaged) }

// overlap is the uncompressed size of ix's blocks that may hold keys of r, and whether there
// are some: a block of empty keys and values has no size, and records all the same.
func overlap(ix *run.Index, r plan.Range) (raw int64, some bool) {
	from, to := ix.Range(r.Lo, r.Hi)
	for _, b := range ix.Blocks[from:to] {
		raw += int64(b.Raw)
	}
	return raw, from < to
}

// share returns a function that says how much of what the runs have in the range has come out
// of in, from 0 to about 1: like the master it takes blocks to lie where they begin. A part
// that may be larger than that can't be told from its beginning: for it, it is always 1.
func (m *openedRuns) share(in *cursorReader, keepMost int64) func() float64 {
	var raw int64
	var records float64
	for _, o := range m.runs {
		from, to := o.ix.Range(m.r.Lo, m.r.Hi)
		for _, b := range o.ix.Blocks[from:to] {
			if m.r.Contains(b.FirstKey) {
				raw, records = raw+int64(b.Raw), records+float64(b.Records)
			}
		}
	}
	records = max(records-float64(in.before), 1)
	if keepMost >= raw {
		return func() float64 { return 1 }
	}
	return func() float64 { return float64(in.passed.Load()) / records }
}

func (m *openedRuns) close() {
	m.readNoMore(0)
	for _, o := range m.runs {
		o.src.Close()
	}
	for _, s := range m.spills {
		s.f.Close() //nolint:errcheck // unlinked: nothing to keep
	}
}

// readNoMore ends the reading in the background that has begun since there were n of them.
func (m *openedRuns) readNoMore(n int) {
	for _, a := range m.aheads[n:] {
		a.Close()
	}
	m.aheads = slices.Delete(m.aheads, n, len(m.aheads))
}

// lostOr returns err, as the loss of the runs whose readers failed if there are any.
func (m *openedRuns) lostOr(err error) error {
	if err == nil {
		return nil
	}
	var lost []uint64
	for _, o := range m.runs {
		if o.reader != nil && isLost(o.reader.Err()) {
			lost = append(lost, o.id)
		}
	}
	if len(lost) == 0 {
		return err
	}
	return &taskFailure{kind: plan.LostRun, lost: lost, err: fmt.Errorf("run %d: %w", lost[0], err)}
}

// indexCache keeps the indexes of runs lately used: every reduce task of a job reads
// those of all its runs. Runs are immutable and ids are never reused, so an entry is
// never wrong; the blocks behind it are checked when they are read.
type indexCache struct {
	mu    sync.Mutex
	byID  map[uint64]*run.Index
	bytes int64
}

const indexCacheBytes = 64 << 20

func (c *indexCache) get(id uint64, src RunSource) (*run.Index, error) {
	c.mu.Lock()
	ix := c.byID[id]
	c.mu.Unlock()
	if ix != nil {
		return ix, nil
	}
	ix, err := run.ReadIndex(src, src.Blobs())
	if err != nil {
		return nil, err
	}
	size := int64(256)
	for _, b := range ix.Blocks {
		size += int64(len(b.FirstKey)) + 96
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil || c.bytes+size > indexCacheBytes {
		c.byID, c.bytes = map[uint64]*run.Index{}, 0
	}
	c.byID[id] = ix
	c.bytes += size
	return ix, nil
}

var errNoPart = errors.New("the order names no part file")
