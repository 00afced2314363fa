package worker

import "syscall"

// childAttributes: a group of its own, to be killed as one; and no child outlives us.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
