package worker

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes: a group of its own, to be killed as one; and no child outlives us.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// sharedMemory makes a file that is nothing but memory.
func sharedMemory() *os.File {
	fd, err := unix.MemfdCreate("mr-blocks", unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), "blocks")
}

// isWritable reports whether a process like this one may write to a file.
func isWritable(path string) bool { return unix.Access(path, unix.W_OK) == nil }
