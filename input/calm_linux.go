package input

import "golang.org/x/sys/unix"

// calm matters where a page is dirty already and a program writes to it through a memory map:
// the system notes the time of the first such write to a clean page, and none of those that
// follow until the page is written back (mmap(2)). So dirty pages of a file that somebody may
// have mapped begin their way to the disk here, which makes the next write a first one.
// Nobody waits for them to arrive.
func (kernel) calm(fd int, off, n int64) {
	var pages unix.Cachestat_t
	err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &pages, 0) //nolint:gosec // neither is negative
	if err == nil && pages.Dirty == 0 {
		return // as nearly always; ENOSYS before Linux 6.5
	}
	// A lease is given only if nobody has the file open for writing, and a map counts as
	// open; in one that is made later, each page's first write is noted (fcntl(2)). Writing thousands of
	// small files back by range would take as long as to map them.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK); err == nil {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return
	}
	// Pages that are on their way may have been written to since: they have to arrive first.
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE
	_ = retry(func() error { return unix.SyncFileRange(fd, off, n, flags) })
}
