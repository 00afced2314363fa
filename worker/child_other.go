//go:build !linux

package worker

import (
	"os"
	"syscall"
)

// childAttributes: a group of its own, to be killed as one. Where there is no signal at
// the parent's death, a child ends when it finds its socket closed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// sharedMemory: files of memory are Linux's.
func sharedMemory() *os.File { return nil }

func isWritable(string) bool { return true }
