package worker

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// oldCalls are those besides openat, openat2 and mkdirat.
var oldCalls = []uint32{unix.SYS_OPEN, unix.SYS_CREAT, unix.SYS_MKDIR}

func isMkdir(nr uintptr) bool { return nr == unix.SYS_MKDIR }

func isCreat(nr uintptr) bool { return nr == unix.SYS_CREAT }
