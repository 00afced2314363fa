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
}

// settle is how old a stamp must be before it vouches for a file's content. It covers the
// coarsest file times in use (2 s on FAT): a file changed after that gets another stamp.
const settle = 2 * time.Second

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{
		Dev: uint64(st.Dev), Ino: st.Ino, Size: st.Size,
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(),
	}
}

func (s Stamp) settled(now time.Time) bool {
	limit := now.Add(-settle).UnixNano()
	return s.Mtime <= limit && s.Ctime <= limit
}
