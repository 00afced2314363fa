package engine

import (
	"errors"
	"io/fs"
	"os"
)

// swap is exchange on a file system without one: two renames, between which b is away
// for a moment. If it is interrupted there, the next try finds b missing and goes on.
func swap(a, b string) error {
	old := a + ".old"
	if err := os.Rename(b, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return err
	}
	return os.RemoveAll(old)
}
