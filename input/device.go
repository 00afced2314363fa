package input

import (
	"time"

	"golang.org/x/sys/unix"
)

// device is the kernel as Load sees it. Plain system calls rather than os.File: a file
// costs five calls and no allocation. Tests put faults and changes in between.
type device interface {
	open(path string) (fd int, err error)
	// stat returns the stamp of an open file, and whether it is a regular file.
	stat(fd int) (s Stamp, regular bool, err error)
	// read is pread: n == 0 without an error at and after the end.
	read(fd int, p []byte, off int64) (n int, err error)
	// calm sees to it that a later write to the range moves the file's times, through a memory map too.
	calm(fd int, off, n int64)
	close(fd int) error
}

type kernel struct{}

// maxOpening is the longest of the waits for a descriptor, a second in all.
const maxOpening = 512 * time.Millisecond

// open waits for nobody, should a FIFO have taken the file's place; but where there are too many open files, for
// some to be closed.
func (kernel) open(path string) (fd int, err error) {
	for wait := time.Millisecond; ; wait *= 2 {
		err = retry(func() error {
			fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
			return err
		})
		if err != unix.EMFILE && err != unix.ENFILE || wait > maxOpening {
			return fd, err
		}
		time.Sleep(wait)
	}
}

func (kernel) stat(fd int) (Stamp, bool, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(fd, &st) })
	return stampOf(&st), st.Mode&unix.S_IFMT == unix.S_IFREG, err
}

func (kernel) read(fd int, p []byte, off int64) (n int, err error) {
	err = retry(func() error {
		n, err = unix.Pread(fd, p, off)
		return err
	})
	return max(n, 0), err
}

func (kernel) close(fd int) error { return unix.Close(fd) }
