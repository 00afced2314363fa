package worker

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/collect"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// runReduce makes one part file: by reducing the attempt's range of its runs, by
// writing out a map-only run, or by copying a part that the store has kept.
func (s *Service) runReduce(a *attempt, res *plan.Result) (err error) {
	w := a.work
	rest, err := s.compute(a.ctx)
	if err != nil {
		return err
	}
	defer rest()
	if w.Copy {
		return s.installPart(a, res)
	}
	runner, err := s.runner(a.ctx, &w.Program)
	if err != nil {
		return err
	}
	m, err := s.openRuns(w)
	if err != nil {
		return err
	}
	defer m.close()
	in, err := m.merged(a, s.o.TempDir)
	if err != nil {
		return m.lostOr(err)
	}

	part, err := createPart(w.Part, w.OutputFormat, runner.Traits())
	if err != nil {
		return err
	}
	defer part.abort() // of no effect after finish
	if w.KeepMost > 0 {
		part.keep(s.o.Runs.Create(), w.KeepMost)
	}
	out := &countingSink{next: part}
	if w.Unsorted {
		err = copyRecords(in, out)
	} else {
		env := mr.TaskEnv{Index: w.Index, Format: w.Format, Memory: w.Memory, SpillDir: s.o.TempDir}
		res.Counters, err = runner.Reduce(a.ctx, env, in, out)
		res.Log = printed(runner)
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
	return part.finish(a.ctx, &res.Made)
}

func copyRecords(in *cursorReader, out mr.RecordSink) error {
	for {
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

// cursorReader is a cursor as a RecordReader. It remembers the cursor's error.
type cursorReader struct {
	c   collect.Cursor
	err error
}

func (r *cursorReader) Next() (key, value []byte, err error) {
	if r.c.Next() {
		return r.c.Key(), r.c.Value(), nil
	}
	if r.err = r.c.Err(); r.err != nil {
		return nil, nil, r.err
	}
	return nil, nil, io.EOF
}

// openedRun is one run that an attempt reads.
type openedRun struct {
	id     uint64
	src    RunSource
	ix     *run.Index
	reader *run.Reader // nil until reached
}

// openedRuns are the runs of a reduce attempt that have records in its range, in order.
type openedRuns struct {
	runs []*openedRun
	r    plan.Range

	spills []*spill // earlier passes of a merge too wide for the memory
}

// openRuns opens the runs of w. Whatever can't be opened is reported together, so that
// it is all computed again at once.
func (s *Service) openRuns(w *plan.Work) (*openedRuns, error) {
	m := &openedRuns{r: w.Range()}
	var lost []uint64
	var first error
	for _, id := range w.Runs {
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
		raw := overlap(ix, m.r)
		if raw == 0 && !w.Unsorted {
			src.Close()
			continue
		}
		m.runs = append(m.runs, &openedRun{id: id, src: src, ix: ix})
	}
	if len(lost) > 0 {
		m.close()
		return nil, &taskFailure{kind: plan.LostRun, lost: lost, err: first}
	}
	return m, nil
}

// isLost tells a run that must be computed again from a failure to read it now.
func isLost(err error) bool { return errors.Is(err, ErrLost) || errors.Is(err, run.ErrDamaged) }

// overlap is the uncompressed size of ix's blocks that may hold keys of r.
func overlap(ix *run.Index, r plan.Range) (raw int64) {
	if ix.Records == 0 {
		return 0
	}
	for i, b := range ix.Blocks {
		last := ix.Last
		if i+1 < len(ix.Blocks) {
			last = ix.Blocks[i+1].FirstKey
		}
		if r.Overlaps(b.FirstKey, last) {
			raw += int64(b.Raw)
		}
	}
	return raw
}

func (m *openedRuns) close() {
	for _, o := range m.runs {
		o.src.Close()
	}
	for _, s := range m.spills {
		s.f.Close() //nolint:errcheck // unlinked: nothing to keep
	}
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

// source is something to merge: a run, or a spilled merge of several.
type source struct {
	cursor collect.Cursor
	memory int64 // bytes its reader needs
}

// merged merges the runs within the attempt's memory. When their readers would need
// more, neighbours are merged into temporary runs first, in as many passes as it takes:
// the order of equal keys is that of the runs, so only neighbours may be joined.
func (m *openedRuns) merged(a *attempt, dir string) (*cursorReader, error) {
	var srcs []source
	for _, o := range m.runs {
		o.reader = run.NewReader(o.src, o.ix, m.r.Lo, m.r.Hi)
		srcs = append(srcs, source{o.reader, o.ix.ReaderMemory()})
	}
	budget := max(a.work.Memory*3/4, 8<<20)
	for {
		groups := neighbourhoods(srcs, budget)
		if len(groups) <= 1 {
			return &cursorReader{c: mergeOf(srcs)}, nil
		}
		spilled, err := newSpill(dir)
		if err != nil {
			return nil, err
		}
		m.spills = append(m.spills, spilled)
		srcs = nil
		for _, g := range groups {
			r, err := spilled.add(a.ctx, mergeOf(g))
			if err != nil {
				return nil, err
			}
			srcs = append(srcs, source{run.NewReader(r, r.ix, nil, nil), r.ix.ReaderMemory()})
		}
	}
}

func mergeOf(srcs []source) collect.Cursor {
	cs := make([]collect.Cursor, len(srcs))
	for i, s := range srcs {
		cs[i] = s.cursor
	}
	return collect.Merge(cs)
}

// neighbourhoods cuts srcs into groups whose readers fit into budget together, of at
// least two each but the last.
func neighbourhoods(srcs []source, budget int64) (gs [][]source) {
	start, sum := 0, int64(0)
	for i, s := range srcs {
		if i-start >= 2 && sum+s.memory > budget {
			gs = append(gs, srcs[start:i])
			start, sum = i, 0
		}
		sum += s.memory
	}
	return append(gs, srcs[start:])
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
