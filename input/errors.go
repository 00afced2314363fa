package input

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// ErrChanged says that a file is not the one that was listed: it was written over, replaced,
// truncated or removed meanwhile; or it was appended to, and its beginning makes no sense
// alone, as that of a compressed file. Listing and cutting it again helps.
var ErrChanged = errors.New("the file changed after it was listed")

func errChanged(path, how string) error {
	return mr.Errorf(mr.Failed, "%s: %w (%s); run again when nothing writes to it", path, ErrChanged, how)
}

func errSize(path string, was, now Stamp) error {
	return errChanged(path, fmt.Sprintf("%d bytes then, %d now", was.Size, now.Size))
}

// errOpen explains why a listed file cannot be opened or read.
func errOpen(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &mr.Error{
			Kind: mr.Failed,
			Msg:  path + ": the file vanished after it was listed; restore it or run again without it",
			Err:  errors.Join(ErrChanged, err),
		}
	case errors.Is(err, fs.ErrPermission):
		return mr.Errorf(mr.Failed, "%s: %w: make it readable for this user or leave it out", path, err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return mr.Errorf(mr.Failed, "%s: %w: raise the limit of open files (ulimit -n)", path, err)
	}
	return mr.Errorf(mr.Failed, "%s: cannot open: %w", path, err)
}

func errRead(path string, off int64, err error) error {
	return mr.Errorf(mr.Failed, "%s: cannot read at offset %d: %w", path, off, err)
}

func errLong(path string, off, limit int64) error {
	return mr.Errorf(mr.Failed, "%s: the line that begins at offset %d is longer than %d bytes; raise --record-limit, or use another --input-format",
		path, off, limit)
}

func errLarge(path string, limit int64) error {
	return mr.Errorf(mr.Failed, "%s: the file is one record of the whole format, and it is longer than %d bytes; raise --record-limit", path, limit)
}

func errTorn(path string, off, have int64, n int) error {
	return mr.Errorf(mr.Failed, "%s: the record at offset %d is torn: %d bytes of %d are left in the file; complete the file, or correct --input-format fixed:%d",
		path, off, have, n, n)
}
