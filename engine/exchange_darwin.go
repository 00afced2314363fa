package engine

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps two folders atomically, where the file system can. Elsewhere a replaces b, which is
// left under the name aside.
func exchange(a, b, aside string) error {
	err := unix.RenamexNp(a, b, unix.RENAME_SWAP)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return swap(a, b, aside)
	}
	return err
}

// mountRoot is told by devices alone here.
func mountRoot(string) bool { return false }
