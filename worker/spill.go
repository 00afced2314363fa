package worker

import (
	"context"
	"fmt"
	"os"

	"github.com/mrd-io/mr/collect"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/run"
)

// spill holds temporary runs of one attempt in one unlinked file: a pass of a merge
// that is too wide for the attempt's memory.
type spill struct {
	f   *os.File
	end int64
}

// spilledRun is one temporary run; its blobs lie back to back in the file.
type spilledRun struct {
	s     *spill
	blobs []extent
	ix    *run.Index
}

type extent struct{ off, n int64 }

func newSpill(dir string) (*spill, error) {
	f, err := os.CreateTemp(dir, "merge-*")
	if err != nil {
		return nil, fmt.Errorf("making a spill file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil { // it lives as long as it is open
		f.Close() //nolint:errcheck // the remove failed already
		return nil, fmt.Errorf("unlinking a spill file: %w", err)
	}
	return &spill{f: f}, nil
}

// add writes what c yields as one more run.
func (s *spill) add(ctx context.Context, c collect.Cursor) (*spilledRun, error) {
	r := &spilledRun{s: s}
	w := run.NewWriter(r, run.Options{})
	for n := 0; c.Next(); n++ {
		if err := w.Record(c.Key(), c.Value()); err != nil {
			return nil, fmt.Errorf("spilling a merge: %w", err)
		}
		if n&0xfff == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	sum, err := w.Close()
	if err != nil {
		return nil, fmt.Errorf("spilling a merge: %w", err)
	}
	if r.ix, err = run.ReadIndex(r, sum.Blobs); err != nil {
		return nil, fmt.Errorf("reading a spilled merge: %w", err)
	}
	return r, nil
}

// WriteBlock implements run.BlockSink.
func (r *spilledRun) WriteBlock(b []byte) error {
	if err := failpoint.Hit("worker/merge-spill"); err != nil {
		return err
	}
	if _, err := r.s.f.WriteAt(b, r.s.end); err != nil {
		return err
	}
	r.blobs = append(r.blobs, extent{r.s.end, int64(len(b))})
	r.s.end += int64(len(b))
	return nil
}

// ReadBlock implements run.BlockSource.
func (r *spilledRun) ReadBlock(i int, dst []byte) ([]byte, error) {
	e := r.blobs[i]
	if int64(cap(dst)) < e.n {
		dst = make([]byte, e.n)
	}
	dst = dst[:e.n]
	_, err := r.s.f.ReadAt(dst, e.off)
	return dst, err
}
