package engine

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exchange swaps two folders atomically, where the file system can. Elsewhere a replaces b, which is
// left under the name aside.
func exchange(a, b, aside string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOENT) {
		return swap(a, b, aside)
	}
	return err
}

// mountRoot reports whether something is mounted at dir, also from the device that its parent is on.
func mountRoot(dir string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
