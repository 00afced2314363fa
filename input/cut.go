package input

import (
	"context"

	"github.com/mrd-io/mr"
)

// Defaults and bounds of Cut.
const (
	DefaultSplit = 16 << 20
	maxSplits    = 1 << 22 // of one job; beyond, the plan itself would not fit in memory
)

// CutOptions say how files are cut into splits.
type CutOptions struct {
	SplitSize int64 // bytes; 0: 16 MiB
	Format    mr.Format
	Chunking  Chunking // of plain files beyond SplitSize

	// Known returns what Found was told before under the same key, so that a file whose
	// content decides about the cuts need not be read again while its stamp stays. Both
	// may be nil. Found is not called for a file that changed less than 2 s ago or meanwhile.
	Known func(key mr.Digest) (cuts []int64, ok bool)
	Found func(key mr.Digest, cuts []int64)

	segment int64 // bytes a goroutine scans at a time; 0: as many as make sense
}

// Cut makes the splits of a job, in path order. A plain file beyond SplitSize is cut into
// byte ranges: of that size, whose records are found when they are read, or with
// [Content] at record ends which are found now. It is opened to see that it is plain. A
// compressed one, and any file of the whole format, is a split by itself. All other files
// are not opened but packed, see pack.
func Cut(ctx context.Context, files []File, o CutOptions) ([]Split, error) {
	return cut(ctx, files, o, kernel{})
}

func cut(ctx context.Context, files []File, o CutOptions, dev device) ([]Split, error) {
	size := o.SplitSize
	switch {
	case size == 0:
		size = DefaultSplit
	case size < 0:
		return nil, mr.Errorf(mr.Usage, "--split-size %d is negative", size)
	}
	step := size
	if o.Format.Kind == mr.Fixed {
		if o.Format.N <= 0 {
			return nil, mr.Errorf(mr.Usage, "--input-format %s: the record length must be positive", o.Format)
		}
		step = max(size/int64(o.Format.N), 1) * int64(o.Format.N)
	}
	var splits []Split
	small := 0 // files[small:i] await packing
	for i, f := range files {
		if f.Stamp.Size <= size {
			continue
		}
		splits = pack(splits, files[small:i], size)
		small = i + 1
		plain := false
		if o.Format.Kind != mr.Whole {
			c, err := sniffFile(f.Path, dev)
			if err != nil {
				return nil, err
			}
			plain = c == plainCodec
		}
		if !plain {
			splits = append(splits, Split{Pieces: []Piece{{Path: f.Path, Len: -1, Stamp: f.Stamp}}})
			continue
		}
		if f.Stamp.Size/step > int64(maxSplits-len(splits)) {
			return nil, mr.Errorf(mr.Usage, "%s: %d bytes in splits of %d are more than %d splits; raise --split-size", f.Path, f.Stamp.Size, step, maxSplits)
		}
		if o.Chunking == Content {
			cuts, err := contentCuts(ctx, f, o, size, dev)
			if err != nil {
				return nil, err
			}
			off := int64(0)
			for _, end := range append(cuts[:len(cuts):len(cuts)], f.Stamp.Size) {
				splits = append(splits, rangeOf(f, off, end))
				off = end
			}
			continue
		}
		for off := int64(0); off < f.Stamp.Size; off += step {
			splits = append(splits, rangeOf(f, off, min(off+step, f.Stamp.Size)))
		}
	}
	return pack(splits, files[small:], size), nil
}

func rangeOf(f File, off, end int64) Split {
	return Split{Pieces: []Piece{{Path: f.Path, Off: off, Len: end - off, Stamp: f.Stamp}}}
}

// sniffFile tells how a file is compressed from its first bytes.
func sniffFile(path string, dev device) (c codec, err error) {
	fd, err := dev.open(path)
	if err != nil {
		return 0, errOpen(path, err)
	}
	defer func() { _ = dev.close(fd) }() // only read from
	var head [sniffLen]byte
	n := 0
	for n < len(head) {
		k, err := dev.read(fd, head[n:], int64(n))
		if err != nil {
			return 0, errRead(path, int64(n), err)
		}
		if k == 0 {
			break
		}
		n += k
	}
	return sniff(head[:n]), nil
}
