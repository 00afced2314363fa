package robustness

import (
	"errors"
	"syscall"
	"testing"
)

// mount makes a small file system of the test's own. Where this process may not, the test
// is skipped: the failpoints of TestFull are what there is then.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	switch err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("only root may mount a small disk; unshare -rm makes one of any user")
	case err != nil:
		t.Fatalf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { // after the daemon's end, which was registered later
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
