package input

import (
	"github.com/mrd-io/mr"
)

// Defaults and bounds of Cut.
const (
	defaultSplit = 16 << 20
	maxSplits    = 1 << 22 // of one job; beyond, the plan itself would not fit in memory
)

// CutOptions say how files are cut into splits.
type CutOptions struct {
	SplitSize int64 // bytes; 0: 16 MiB
	Format    mr.Format
}

// Cut makes the splits of a job, in path order. A plain file beyond SplitSize is cut into
// byte ranges of that size, whose records are found when they are read; it is opened to
// see that it is plain. A compressed one, and any file of the whole format, is a
// split by itself. All other files are not opened but packed, see pack.
func Cut(files []File, o CutOptions) ([]Split, error) {
	return cut(files, o, kernel{})
}

func cut(files []File, o CutOptions, dev device) ([]Split, error) {
	size := o.SplitSize
	switch {
	case size == 0:
		size = defaultSplit
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
		for off := int64(0); off < f.Stamp.Size; off += step {
			p := Piece{Path: f.Path, Off: off, Len: min(step, f.Stamp.Size-off), Stamp: f.Stamp}
			splits = append(splits, Split{Pieces: []Piece{p}})
		}
	}
	return pack(splits, files[small:], size), nil
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
