package input

import (
	"time"

	"golang.org/x/sys/unix"
)

// Stamp is what stat says about a file. Two equal stamps mean that the file need not be
// read again, if they were old enough when it was read (see [Split.Settled]).
type Stamp struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // nanoseconds since 1970
}

// File is one input file.
type File struct {
	Path  string // absolute and clean, as named: symbolic links are not resolved
	Stamp Stamp  // of the file that the path leads to
	Link  bool   // the path's last component is a symbolic link
}

// settle is how old a stamp must be before it vouches for a file's content. It covers the
// coarsest file times in use (2 s on FAT): a file that is written after that gets another stamp,
// through a memory map too, since dirty pages that may be mapped are written back before they are read.
const settle = 2 * time.Second

// maxWrite is the longest of the waits for the size that belongs to new times.
const maxWrite = 16 * time.Millisecond

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{
		Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size, //nolint:unconvert // of another type elsewhere
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}
}

// since compares an open file with the stamp that it had, and returns the one it has. A file
// that was appended to passes: the same file, larger, and neither of its times went back.
// Whether the bytes it had were written over at the same time cannot be seen.
func since(dev device, fd int, path string, was Stamp) (now Stamp, err error) {
	now, regular, err := dev.stat(fd)
	// A write moves the times first and the size a moment later.
	for wait := time.Millisecond; wait <= maxWrite && err == nil && now != was && now.Size == was.Size && now.Ino == was.Ino; wait *= 2 {
		time.Sleep(wait)
		now, regular, err = dev.stat(fd)
	}
	switch {
	case err != nil:
		return now, errOpen(path, err)
	case !regular:
		return now, errChanged(path, "it is no regular file any more")
	case now == was:
		return now, nil
	case now.Dev != was.Dev || now.Ino != was.Ino:
		return now, errChanged(path, "another file took its place")
	case now.Size < was.Size:
		return now, errSize(path, was, now)
	case now.Size == was.Size:
		return now, errChanged(path, "its times moved, its size did not")
	case now.Mtime < was.Mtime || now.Ctime < was.Ctime:
		return now, errChanged(path, "its times went back")
	}
	return now, nil
}

func (s Stamp) settled(now time.Time) bool {
	limit := now.Add(-settle).UnixNano()
	return s.Mtime <= limit && s.Ctime <= limit
}
