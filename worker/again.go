package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// Rehearse executes a task again, and answers with the digests of what it read and made.
// Nothing is stored.
func (s *Service) Rehearse(w *plan.Work, res *plan.Rehearsal) error {
	if w.Kind == plan.Reduce {
		a := &attempt{work: w, ctx: context.Background(), cancel: func() {}}
		err := s.reduceAgain(a, res)
		res.CPU = time.Duration(a.computed.Swap(0))
		if err != nil {
			res.Failure = failureOf(a, err)
		}
		return nil
	}
	a := &attempt{work: w, ctx: context.Background(), cancel: func() {}, skips: newSkips(w)}
	err := s.again(a, func(loaded *input.Loaded, runner mr.Runner, env mr.TaskEnv) error {
		res.Split = loaded.Digest()
		out := &summed{w: run.NewWriter(forgotten{}, run.Options{Unsorted: w.Unsorted})}
		in := &watchedBlocks{next: loaded.Blocks(a.ctx)}
		ofSplit(runner, loaded.Split().Pieces)
		_, err := runner.Map(a.ctx, env, in, out)
		res.Opened = openedBy(runner)
		if err != nil {
			return err
		}
		sum, err := out.w.Close()
		res.Digest, res.Multiset = sum.Digest, out.sum.Digest()
		return err
	})
	res.CPU = time.Duration(a.computed.Swap(0))
	if err != nil {
		res.Failure = failureOf(a, err)
	}
	return nil
}

// reduceAgain reduces the runs of a without writing a part.
func (s *Service) reduceAgain(a *attempt, res *plan.Rehearsal) error {
	rest, err := s.compute(a)
	if err != nil {
		return err
	}
	defer rest()
	w := a.work
	runner, err := s.runner(a.ctx, &w.Program)
	if err != nil {
		return err
	}
	m, err := s.openRuns(w, runner.Traits().Sums)
	if err != nil {
		return err
	}
	defer m.close()
	in, err := m.merged(a, m.runs, s.o.TempDir)
	if err != nil {
		return m.lostOr(err)
	}
	t := runner.Traits()
	part := &partWriter{f: nowhere{}, hash: blake3.New(), format: w.OutputFormat, noKey: t.NoKey, noValue: t.NoValue}
	out := &tallied{next: part}
	env := mr.TaskEnv{Index: w.Index, Format: w.Format, Memory: w.Memory, SpillDir: s.o.TempDir}
	_, err = runner.Reduce(a.ctx, env, in.reader(), out)
	res.Opened = openedBy(runner)
	if err == nil {
		err = in.err
	}
	if err != nil {
		return m.lostOr(err)
	}
	var made plan.Made
	if err := part.finish(a.ctx, &made); err != nil {
		return err
	}
	res.Digest, res.Records, res.Raw, res.Multiset = made.Digest, made.Records, made.Raw, out.sum.Digest()
	return nil
}

// nowhere is a PartFile for which only the digest counts.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Seal() error                 { return nil }
func (nowhere) Discard()                    {}

// tallied adds the records of a part up on their way.
type tallied struct {
	next mr.RecordSink
	sum  run.RecordSum
}

func (s *tallied) Record(key, value []byte) error {
	s.sum.Add(key, value)
	return s.next.Record(key, value)
}

// forgotten is a BlockSink for which only the digest counts.
type forgotten struct{}

func (forgotten) WriteBlock([]byte) error { return nil }

// summed is a run's writer that adds its records up on the way.
type summed struct {
	w   *run.Writer
	sum run.RecordSum
}

func (s *summed) Record(key, value []byte) error {
	s.sum.Add(key, value)
	return s.w.Record(key, value)
}

// again reads the split of w and hands it to f with a runner.
func (s *Service) again(a *attempt, f func(*input.Loaded, mr.Runner, mr.TaskEnv) error) error {
	rest, err := s.compute(a)
	if err != nil {
		return err
	}
	defer rest()
	runner, err := s.runner(a.ctx, &a.work.Program)
	if err != nil {
		return err
	}
	loaded, err := s.load(a)
	if err != nil {
		return err
	}
	defer loaded.Close()
	return f(loaded, runner, mr.TaskEnv{Index: a.work.Index, Format: a.work.Format, Memory: a.work.Memory, SpillDir: s.o.TempDir, Skip: a.skips.report()})
}

// Search finds the records of a split whose mapping emits a key. Each block is mapped;
// one that emits the key is halved at a record's end, and its halves are mapped, down
// to single records. So a rare key costs little more than mapping the split once.
func (s *Service) Search(q *plan.Search, res *plan.Found) error {
	a := &attempt{work: &q.Work, ctx: context.Background(), cancel: func() {}, skips: endless(&q.Work)}
	err := s.again(a, func(loaded *input.Loaded, runner mr.Runner, env mr.TaskEnv) error {
		if loaded.Digest() != q.Work.Expect && !q.Work.Expect.IsZero() {
			return mr.Errorf(mr.Failed, "%s: it is not the input any more that the output was made from", loaded.Split())
		}
		h := &hunt{ctx: a.ctx, runner: runner, env: env, q: q, found: res}
		in := loaded.Blocks(a.ctx)
		for {
			b, err := in.Next()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = h.block(b)
			}
			if errors.Is(err, errEnough) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		res.Failure = failureOf(a, err)
	}
	return nil
}

// hunt is one Search.
type hunt struct {
	ctx    context.Context // of the one Search that owns it
	runner mr.Runner
	env    mr.TaskEnv
	q      *plan.Search
	found  *plan.Found
}

var errEnough = errors.New("as many records as were wanted")

// block hunts in a block of the split.
func (h *hunt) block(b mr.Block) error {
	ends := []int{}
	for off := range mr.Records(h.q.Work.Format, b.Data) {
		if off > 0 {
			ends = append(ends, off)
		}
	}
	ends = append(ends, len(b.Data))
	emits, err := h.emits(b, 0, len(b.Data))
	if err != nil || !emits {
		return err
	}
	_, err = h.halve(b, 0, ends)
	return err
}

// halve hunts in the records of b that begin at from and end at ends, which emit the key
// together. It reports how many records it found.
func (h *hunt) halve(b mr.Block, from int, ends []int) (n int, err error) {
	if len(ends) == 1 {
		return 1, h.add(b, from, ends[0], true)
	}
	middle := len(ends) / 2
	for _, half := range []struct {
		from int
		ends []int
	}{{from, ends[:middle]}, {ends[middle-1], ends[middle:]}} {
		emits, err := h.emits(b, half.from, half.ends[len(half.ends)-1])
		if err != nil {
			return n, err
		}
		if emits {
			found, err := h.halve(b, half.from, half.ends)
			n += found
			if err != nil {
				return n, err
			}
		}
	}
	if n == 0 { // neither half does it alone
		return 1, h.add(b, from, ends[len(ends)-1], false)
	}
	return n, nil
}

const lineShown = 4 << 10 // of a record found

func (h *hunt) add(b mr.Block, from, end int, exact bool) error {
	if len(h.found.Records) >= h.q.Most {
		h.found.More = true
		return errEnough
	}
	line := b.Data[from:end]
	h.found.Records = append(h.found.Records, plan.FoundRecord{
		Path: b.Path, Offset: b.Off + int64(from), Length: int64(len(line)),
		Line: bytes.Clone(line[:min(len(line), lineShown)]), Exact: exact,
	})
	return nil
}

// emits maps a piece of a block and reports whether the key is among what comes out.
func (h *hunt) emits(b mr.Block, from, end int) (bool, error) {
	b.Last = b.Last && end == len(b.Data)
	b.Data, b.Off = b.Data[from:end], b.Off+int64(from)
	out := &keySink{keys: h.q.Keys, exact: h.q.Exact}
	_, err := h.runner.Map(h.ctx, h.env, &oneBlock{b: &b}, out)
	return out.seen, err
}

// oneBlock is a BlockReader of one block.
type oneBlock struct{ b *mr.Block }

func (o *oneBlock) Next() (b mr.Block, err error) {
	if o.b == nil {
		return b, io.EOF
	}
	b, o.b = *o.b, nil
	return b, nil
}

// keySink looks for keys among a map's records.
type keySink struct {
	keys  [][]byte
	exact bool
	seen  bool
}

func (k *keySink) Record(key, _ []byte) error {
	for _, want := range k.keys {
		k.seen = k.seen || bytes.HasPrefix(key, want) && (!k.exact || len(key) == len(want))
	}
	return nil
}
