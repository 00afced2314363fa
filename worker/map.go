package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// runMap reads and digests the attempt's split, and maps it if the digest is the
// expected one. loaded is the split of an attempt that was held and may proceed, else nil.
func (s *Service) runMap(a *attempt, res *plan.Result, loaded *input.Loaded) (err error) {
	w := a.work
	rest, err := s.compute(a)
	if err != nil {
		if loaded != nil {
			loaded.Close()
		}
		return err
	}
	defer rest()
	if loaded == nil {
		start := time.Now()
		if loaded, err = s.load(a); err != nil {
			return err
		}
		res.Read, res.Steps.Read = loaded.Read(), time.Since(start)
		identify(res, loaded)
		if err := failpoint.Hit("worker/split-read"); err != nil {
			loaded.Close()
			return err
		}
		if loaded.Digest() != w.Expect {
			return s.hold(a, loaded, res)
		}
	}
	defer loaded.Close()
	identify(res, loaded)
	runner, err := s.runner(a.ctx, &w.Program)
	if err != nil {
		return err
	}

	sink := s.o.Runs.Create()
	defer func() {
		if err != nil {
			sink.Discard()
		}
	}()
	out := run.NewWriter(sink, run.Options{Unsorted: w.Unsorted})
	in := &watchedBlocks{next: loaded.Blocks(a.ctx)}
	env := mr.TaskEnv{Index: w.Index, Format: w.Format, Memory: w.Memory, SpillDir: s.o.TempDir, Skip: a.skips.report(), Spare: s.spare}
	ofSplit(runner, loaded.Split().Pieces)
	res.Counters, err = runner.Map(a.ctx, env, in, out)
	res.Log, res.Opened = printed(runner), openedBy(runner)
	if many := a.skips.failed(); many != nil {
		return many
	}
	switch {
	case in.err != nil:
		return inputFailure(in.err)
	case out.Err() != nil:
		return fmt.Errorf("writing the map output: %w", out.Err())
	case err != nil:
		return placed(err, loaded.Split())
	}
	a.skips.into(res, loaded.Split())
	err = sealRun(a, sink, out, rest, &res.Made)
	res.Steps.Sort = in.sinceEnd()
	return err
}

func identify(res *plan.Result, l *input.Loaded) {
	res.Split, res.Start, res.Fast, res.Moved = l.Digest(), l.Start(), l.Fast(), l.Moved()
}

// placed says which split an error is about, unless it names the file itself: a process
// that dies cannot say where it was.
func placed(err error, split input.Split) error {
	for i := range split.Pieces {
		if strings.Contains(err.Error(), split.Pieces[i].Path) {
			return err
		}
	}
	return fmt.Errorf("%w (while mapping %s)", err, split)
}

// printed is what an author's process has written to its standard streams meanwhile.
func printed(r mr.Runner) []string {
	if p, ok := r.(interface{ Printed() []string }); ok {
		return p.Printed()
	}
	return nil
}

// ofSplit tells an author's process which split it is about to map.
func ofSplit(r mr.Runner, split []input.Piece) {
	if o, ok := r.(interface{ ofSplit(own []input.Piece) }); ok && r.Traits().Positions {
		o.ofSplit(split)
	}
}

// openedBy are the files that an author's process has opened.
func openedBy(r mr.Runner) []plan.Opened {
	if o, ok := r.(interface{ Opened() []plan.Opened }); ok {
		return o.Opened()
	}
	return nil
}

func (s *Service) load(a *attempt) (*input.Loaded, error) {
	var split input.Split
	if err := split.UnmarshalBinary(a.work.Split); err != nil {
		return nil, &taskFailure{kind: plan.BadInput, err: fmt.Errorf("the order's split cannot be read: %w", err)}
	}
	var err error
	if s.o.Host != "" {
		if split, a.moved, err = here(split, s.o.Apart); err != nil {
			return nil, &taskFailure{kind: plan.BadInput, err: err}
		}
	}
	o := input.Options{Format: a.work.Format, RecordLimit: a.work.RecordLimit, Buffer: max(a.work.Memory/2, 1<<20), Skip: a.skips.report()}
	if o.FastKey = a.work.FastKey; o.FastKey != 0 {
		o.Recall = func(f input.Fast) (mr.Digest, bool) { return a.work.KnownDigest, f == a.work.KnownFast }
		o.Skim = !a.work.KnownDigest.IsZero()
	}
	loaded, err := input.Load(a.ctx, split, o)
	if err != nil {
		return nil, inputFailure(err)
	}
	if a.moved && !a.work.Expect.IsZero() && loaded.Digest() != a.work.Expect {
		loaded.Close()
		return nil, &taskFailure{kind: plan.BadInput, err: fmt.Errorf("%s: the bytes here are not those of the daemon's host", split)}
	}
	return loaded, nil
}

// inputFailure is a failure to read a split. That its bytes make no sense, or that they may not be read, is so for
// every attempt; what else the system says, as of too many open files or of the disk, for this one.
func inputFailure(err error) error {
	if _, of := errors.AsType[syscall.Errno](err); of && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &taskFailure{kind: plan.BadInput, err: err}
}

// hold keeps an identified attempt for the master's word.
func (s *Service) hold(a *attempt, loaded *input.Loaded, res *plan.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := a.ctx.Err(); err != nil {
		loaded.Close()
		return err
	}
	a.loaded = loaded
	res.Identified = true
	return errHeld
}

// sealRun finishes a run and makes it durable; waiting for the disk needs no core.
func sealRun(a *attempt, sink RunSink, w *run.Writer, rest func(), made *plan.Made) error {
	sum, err := w.Close()
	if err != nil {
		return fmt.Errorf("writing the run: %w", err)
	}
	rest()
	if err := failpoint.Hit("worker/before-seal"); err != nil {
		return fmt.Errorf("making the run durable: %w", err)
	}
	id, err := sink.Seal(a.ctx)
	if err != nil {
		return fmt.Errorf("making the run durable: %w", err)
	}
	if err := failpoint.Hit("worker/before-map-answer"); err != nil {
		return err
	}
	*made = plan.Made{Run: id, Digest: sum.Digest, Records: sum.Records, Raw: sum.RawBytes, Stored: sum.Bytes}
	return nil
}

// watchedBlocks remembers the reader's own error, so that it isn't taken for the mapper's,
// and when the blocks came to their end.
type watchedBlocks struct {
	next  mr.BlockReader
	err   error
	ended time.Time
}

// sinceEnd returns how long ago the blocks ended, 0 if they did not.
func (b *watchedBlocks) sinceEnd() time.Duration {
	if b.ended.IsZero() {
		return 0
	}
	return time.Since(b.ended)
}

func (b *watchedBlocks) Next() (mr.Block, error) {
	blk, err := b.next.Next()
	switch {
	case err == io.EOF:
		b.ended = time.Now()
	case err != nil:
		b.err = err
	}
	return blk, err
}
