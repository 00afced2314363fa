package engine

import (
	"errors"
	"io/fs"
	"os"
)

// swap is exchange on a file system without one: two renames, between which b is away, under
// the name aside. If it is interrupted there, the next try finds b missing and goes on; if the
// second rename fails, b is put back.
func swap(a, b, aside string) error {
	if err := os.Rename(b, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return errors.Join(err, putBack(b, aside))
	}
	return nil
}

// putBack ends a swap that was interrupted: what is aside is b again if b is away, and goes if it
// was replaced.
func putBack(b, aside string) error {
	if !exists(aside) {
		return nil
	}
	if exists(b) {
		return os.RemoveAll(aside)
	}
	return os.Rename(aside, b)
}
