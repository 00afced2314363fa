package store

import "golang.org/x/sys/unix"

// forgetPages gives the pages of bbolt's memory map of a volume back to the kernel's page
// cache. Appending reads a page here and there, the kernel maps its neighbours as well,
// and after gigabytes all of the file would count as this process's memory. The map is
// read-only and shared: what is needed again is mapped again. A refusal costs nothing
// but memory.
func (bf *boltFile) forgetPages(size int64) {
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, bf.db.Info().Data, uintptr(size), unix.MADV_DONTNEED)
}

// uncache gives the pages that lie in a piece of the file back to the system, as far as nobody
// has mapped them.
func (bf *boltFile) uncache(e extent) {
	_ = unix.Fadvise(int(bf.f.Fd()), e.off, int64(e.size), unix.FADV_DONTNEED)
}
