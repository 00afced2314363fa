package input

import (
	"bytes"
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
)

// Chunking says how large plain files are cut into splits.
type Chunking uint8

const (
	// Fixed cuts at multiples of the split size, without looking at the file: an append
	// costs the tail, an insertion all that follows it.
	Fixed Chunking = iota
	// Content cuts where the records themselves say so: an insertion, a removal or a
	// change in the middle costs one or two splits. The file is read once to find the cuts.
	Content
)

// String returns the flag's value.
func (c Chunking) String() string {
	if c == Content {
		return "content"
	}
	return "fixed"
}

// ParseChunking reads the value of --chunking. An empty one means fixed.
func ParseChunking(s string) (Chunking, error) {
	switch s {
	case "", "fixed":
		return Fixed, nil
	case "content":
		return Content, nil
	}
	return 0, mr.Errorf(mr.Usage, "--chunking %q: it is fixed or content", s)
}

// Content-defined cuts. Each record has a hash, and what is decided about a record end
// depends on what lies near it alone, so that an edit moves no cut far away:
//
//  1. Marks are the record ends whose hash is the smallest within reach = SplitSize/16 bytes
//     on both sides. They are found by streaming, in parallel.
//  2. Cuts are the marks whose hash is the smallest of the marks within SplitSize/2 on both
//     sides: no split is shorter than that, and SplitSize is the mean.
//  3. A gap beyond 2 × SplitSize is divided at its smallest mark that leaves
//     SplitSize/2 on both sides, and so are the halves.
//  4. A gap without marks, of equal records, is divided every SplitSize.
//
// The end of the file is a cut; the bytes before the first and behind the last mark obey
// the same rules, so an append leaves all cuts but those near the old end.
//
// Rejected: cutting at the first record end beyond a minimum whose rolling hash is below a
// bound. Each cut depends on the one before it, so an edit that moves one cut can move
// a dozen before both cuttings meet again; here it can't.

// cutsVersion is in the key under which cuts are remembered.
const cutsVersion = 1

// mark is a record end and the hash of the record.
type mark struct {
	end  int64
	hash uint64
}

// before reports whether a beats b. The earlier of two equal records does.
func (a mark) before(b mark) bool {
	return a.hash < b.hash || a.hash == b.hash && a.end < b.end
}

// cutsKey is the key under which the cuts of a file may be remembered.
func cutsKey(s Stamp, f mr.Format, size int64) mr.Digest {
	k := newKey("mr input cuts")
	for _, v := range []uint64{
		cutsVersion, uint64(f.Kind), uint64(f.N), uint64(size),
		s.Dev, s.Ino, uint64(s.Size), uint64(s.Mtime), uint64(s.Ctime),
	} {
		k.uint(v)
	}
	return k.sum()
}

// CutsKey is the key under which the cuts of the file may be remembered that the split is a range of. size is
// that which splits were to have.
func (s Split) CutsKey(f mr.Format, size int64) mr.Digest {
	if len(s.Pieces) == 0 {
		return mr.Digest{}
	}
	return cutsKey(s.Pieces[0].Stamp, f, cmp.Or(size, DefaultSplit))
}

// contentCuts returns where a plain file is cut, its ends left out.
func contentCuts(ctx context.Context, f File, o CutOptions, size int64, dev device) ([]int64, error) {
	key := cutsKey(f.Stamp, o.Format, size)
	if o.Known != nil {
		if cuts, ok := o.Known(key); ok && possible(cuts, f.Stamp.Size, o.Format) {
			return cuts, nil
		}
	}
	quiet := f.Stamp.settled(time.Now())
	fd, err := dev.open(f.Path)
	if err != nil {
		return nil, errOpen(f.Path, err)
	}
	defer func() { _ = dev.close(fd) }() // only read from
	before, err := since(dev, fd, f.Path, f.Stamp)
	if err != nil {
		return nil, err
	}
	s := &scan{dev: dev, fd: fd, file: f, format: o.Format, reach: max(size/16, 1)}
	marks, err := s.all(ctx, o.segment)
	if err != nil {
		return nil, err
	}
	cuts, err := s.choose(ctx, marks, size)
	if err != nil {
		return nil, err
	}
	after, err := since(dev, fd, f.Path, before)
	if err != nil {
		return nil, err
	}
	if o.Found != nil && quiet && after == f.Stamp {
		o.Found(key, cuts)
	}
	return cuts, nil
}

// possible reports whether remembered cuts make sense. Wrong ones could not do harm, since
// records are found when a range is read, but fixed records and order are relied upon.
func possible(cuts []int64, size int64, f mr.Format) bool {
	last := int64(0)
	for _, c := range cuts {
		if c <= last || c >= size || f.Kind == mr.Fixed && c%int64(f.N) != 0 {
			return false
		}
		last = c
	}
	return true
}

// all returns the marks of a file, found by a few goroutines in segments. Each looks a reach
// beyond its segment, so the result does not depend on the segments.
func (s *scan) all(ctx context.Context, segment int64) ([]mark, error) {
	size := s.file.Stamp.Size
	workers := int64(min(runtime.GOMAXPROCS(0), maxWalkers))
	if segment == 0 {
		segment = min(max((size+workers-1)/workers, 4<<20, 4*s.reach), max(64<<20, 16*s.reach))
	}
	n := (size + segment - 1) / segment
	found := make([][]mark, n)
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range min(workers, n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < n; i = next.Add(1) - 1 {
				found[i], errs[i] = s.segment(ctx, i*segment, min((i+1)*segment, size))
				if errs[i] != nil {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && err != context.Canceled { // of the others, after one failed
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// choose makes the cuts of the marks.
func (s *scan) choose(ctx context.Context, marks []mark, size int64) ([]int64, error) {
	end := s.file.Stamp.Size
	least := max(size/2, 1)
	var cuts []int64
	from, at := 0, int64(0) // the gap's first mark, and where it begins
	gap := func(to int, b int64) error {
		var err error
		cuts, err = s.divide(ctx, cuts, marks[from:to], at, b, size)
		return err
	}
	for i, m := range marks {
		if m.end < least || end-m.end < least || !smallest(marks, i, least) {
			continue
		}
		if err := gap(i, m.end); err != nil {
			return nil, err
		}
		cuts = append(cuts, m.end)
		from, at = i+1, m.end
	}
	return cuts, gap(len(marks), end)
}

// smallest reports whether no mark nearer than reach beats marks[i].
func smallest(marks []mark, i int, reach int64) bool {
	m := marks[i]
	for j := i - 1; j >= 0 && m.end-marks[j].end < reach; j-- {
		if marks[j].before(m) {
			return false
		}
	}
	for j := i + 1; j < len(marks) && marks[j].end-m.end < reach; j++ {
		if marks[j].before(m) {
			return false
		}
	}
	return true
}

// divide appends the cuts within the gap from a to b, whose marks are given.
func (s *scan) divide(ctx context.Context, cuts []int64, marks []mark, a, b, size int64) ([]int64, error) {
	if b-a <= 2*size {
		return cuts, nil
	}
	byEnd := func(m mark, end int64) int { return cmp.Compare(m.end, end) }
	lo, _ := slices.BinarySearchFunc(marks, a+max(size/2, 1), byEnd)
	hi, _ := slices.BinarySearchFunc(marks, b-max(size/2, 1), byEnd)
	if lo >= hi {
		return s.force(ctx, cuts, a, b, size)
	}
	best := lo
	for i := lo + 1; i < hi; i++ {
		if marks[i].before(marks[best]) {
			best = i
		}
	}
	cuts, err := s.divide(ctx, cuts, marks[:best], a, marks[best].end, size)
	if err != nil {
		return nil, err
	}
	cuts = append(cuts, marks[best].end)
	return s.divide(ctx, cuts, marks[best+1:], marks[best].end, b, size)
}

// force cuts a gap without marks at the record ends nearest behind multiples of size.
func (s *scan) force(ctx context.Context, cuts []int64, a, b, size int64) ([]int64, error) {
	for b-a > 2*size {
		end, err := s.recordEnd(ctx, a+size)
		if err != nil {
			return nil, err
		}
		if end >= b {
			break
		}
		cuts = append(cuts, end)
		a = end
	}
	return cuts, nil
}

// recordEnd returns the first record end at or behind off > 0; the end of the file if
// there is none.
func (s *scan) recordEnd(ctx context.Context, off int64) (int64, error) {
	size := s.file.Stamp.Size
	if s.format.Kind == mr.Fixed {
		n := int64(s.format.N)
		return min((off+n-1)/n*n, size), nil
	}
	buf := buffers.get(chunk)
	defer buffers.put(buf)
	for off--; off < size; {
		b := buf[:min(chunk, size-off)]
		if err := s.read(ctx, b, off); err != nil {
			return 0, err
		}
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			return off + int64(i) + 1, nil
		}
		off += int64(len(b))
	}
	return size, nil
}
