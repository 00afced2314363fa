package input

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// Restamp returns s with the stamps its files have now, for another try after
// ErrChanged. A range keeps its place: it is an error if its file has become shorter than
// the range, and if a file is gone.
func (s Split) Restamp() (Split, error) {
	out := Split{Pieces: make([]Piece, len(s.Pieces))}
	for i, p := range s.Pieces {
		var st unix.Stat_t
		if err := retry(func() error { return unix.Stat(p.Path, &st) }); err != nil {
			return s, errOpen(p.Path, &fs.PathError{Op: "stat", Path: p.Path, Err: err})
		}
		p.Stamp = stampOf(&st)
		if !p.whole() && p.Stamp.Size < p.Off+p.Len {
			return s, &mr.Error{
				Kind: mr.Failed,
				Msg:  p.Path + ": the file became shorter while the job read it; run again when nothing truncates it",
				Err:  errors.Join(ErrChanged),
			}
		}
		out.Pieces[i] = p
	}
	return out, nil
}

// StampFile returns the stamp of a file, and whether it is old enough by now to vouch
// for what is read from the file from now on.
func StampFile(path string, now time.Time) (s Stamp, settled bool, err error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Stat(path, &st) }); err != nil {
		return s, false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	s = stampOf(&st)
	return s, s.settled(now), nil
}
