package input

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// unprivileged runs f on a thread that, even for root, must obey file modes.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its lost rights
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		err := unix.Capget(&header, &caps[0])
		if err == nil {
			caps[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
			err = unix.Capset(&header, &caps[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "d", "file"), []byte("x\n"))
	s := wholeSplit(t, file)
	chmod := func(path string, mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(pattern, named string) {
		t.Helper()
		_, err := listFiles(context.Background(), []string{pattern}, 1)
		checkFailure(t, err, named, "permission denied", "make it readable")
	}
	chmod(file, 0o200)
	unprivileged(t, func() {
		refused(file, file)
		refused(dir, file)
		refused(filepath.Join(dir, "**"), file)
		_, err := Load(context.Background(), s, Options{})
		checkFailure(t, err, file, "permission denied")
	})
	chmod(file, 0o600) // not for everybody, but for us
	unprivileged(t, func() {
		if files, err := listFiles(context.Background(), []string{file}, 1); err != nil || len(files) != 1 {
			t.Errorf("%v, %v", files, err)
		}
	})
	chmod(filepath.Dir(file), 0)
	unprivileged(t, func() {
		refused(dir, filepath.Dir(file))
		refused(file, file)
	})
	chmod(filepath.Dir(file), 0o755)
}

// TestFolderRemovedMeanwhile: a folder that is gone when it has been opened is passed over, like
// one that is gone before.
func TestFolderRemovedMeanwhile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	gone := fmt.Sprintf("/proc/self/fd/%d", d.Fd()) // can still be opened by this name
	_, err = List(context.Background(), []string{gone})
	if !errors.Is(err, mr.ErrUsage) || !strings.Contains(err.Error(), "matches no file") {
		t.Errorf("error %v, want that there is no file", err)
	}
}
