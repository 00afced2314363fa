//go:build amd64 || arm64

package worker

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watcher hears of every file that processes open, with all that they start, whatever groups and sessions that is in,
// and of the folders that they list or make. The kernel
// holds each call until the watcher has answered, and then goes on with it (seccomp_unotify(2)): that needs
// no privileges, and costs some microseconds a file. (The listener's descriptor is close-on-exec by itself.)
type watcher struct {
	stop  int         // an eventfd
	blind func(error) // is told that nothing can be told of a process

	mu        sync.Mutex
	closed    bool
	listeners sync.WaitGroup
}

// newWatcher fails where the system does not allow to watch.
func newWatcher(blind func(error)) (*watcher, error) {
	if !isNewEnough() {
		return nil, fmt.Errorf("it takes Linux 5.9: %w", errors.ErrUnsupported)
	}
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("/proc does not show this program's processes: %w", cmp.Or(err, errors.ErrUnsupported))
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &watcher{stop: stop, blind: blind}, nil
}

// close ends the watching; whoever is watched still can open nothing any more.
func (w *watcher) close() {
	if w != nil {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		_, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		w.listeners.Wait()
		_ = unix.Close(w.stop)
	}
}

// watch notes in o what processes open that the calling thread starts from now on, until the last of them and the thread are gone.
// The thread itself is watched as well, so it must open nothing that would be noted. It is in o's folder then if moved is true, and the process must not
// be told to go there: one that is just being forked keeps this program from answering.
func (w *watcher) watch(o *opened) (moved bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed { // what is started now is ended at once
		return false, nil
	}
	calls := append([]uint32{unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_GETDENTS64, unix.SYS_MKDIRAT}, oldCalls...)
	if unix.Unshare(unix.CLONE_FS) == nil && unix.Chdir(o.dir) == nil { // some containers don't allow it
		moved, calls = true, append(calls, unix.SYS_CHDIR)
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(unsafe.Offsetof(notice{}.arch) - unsafe.Offsetof(notice{}.nr))},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditArch, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
	}
	for i, nr := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(calls) - i)}) //nolint:gosec // few
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]} //nolint:gosec // few
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return moved, os.NewSyscallError("prctl", err)
	}
	// A signal must not interrupt a call that is being answered: few programs expect EINTR of open. Before Linux 5.19 it does.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&prog)))
	if errno == unix.EINVAL {
		fd, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	}
	runtime.KeepAlive(filter)
	if errno != 0 {
		return moved, os.NewSyscallError("seccomp", errno)
	}
	// Who asks and who answers take turns: on one processor that is quicker. Before Linux 6.6 it is not to be had.
	const setFlags, syncWakeUp = 0x40082104, 1
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, fd, setFlags, syncWakeUp)
	w.listeners.Go(func() { w.listen(int(fd), o) })
	return moved, nil
}

// CanWatch says why nobody sees here what processes open; nil if it is seen.
func CanWatch() error {
	w, err := newWatcher(func(error) {})
	if err != nil {
		return err
	}
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with what is set for it
		_, err := w.watch(newOpened(os.TempDir(), ""))
		tried <- err
	}()
	err = <-tried
	w.close()
	return err
}

// isNewEnough reports whether the kernel can go on with a call as if nobody had asked, which is
// so since Linux 5.5 (before that whoever opens a file would wait for ever), and tells when nobody is left
// to ask, which is so since 5.9.
func isNewEnough() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 9)
}

// notice is the kernel's struct seccomp_notif, and answer its seccomp_notif_resp.
type notice struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

func (w *watcher) listen(fd int, o *opened) {
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	for {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(w.stop), Events: unix.POLLIN}} //nolint:gosec // descriptors
		if _, err := unix.Poll(ready, -1); err != nil && err != unix.EINTR {
			return
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			if ready[0].Revents|ready[1].Revents != 0 { // nobody is left to ask, or to answer
				return
			}
			continue
		}
		var n notice
		if errno := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errno != 0 {
			if errno == unix.EINTR || errno == unix.ENOENT { // who asked is gone
				continue
			}
			return
		}
		if err := o.note(&n); err != nil {
			w.blind(err)
		}
		a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		_ = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)) // ENOENT: it is gone
	}
}

func ioctl(fd int, what uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), what, uintptr(arg))
	return errno
}

// note notes what a call does. It is an error if nothing of what the process opens can be told.
func (o *opened) note(n *notice) error {
	o.noteProgram(n.pid)
	err := o.noteCall(n)
	switch {
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES): // others come from the kernel's like: nothing was opened
		o.told = o.told || err == nil
	case o.told: // this program alone keeps it to itself
		o.lose()
	default:
		return err
	}
	return nil
}

// noteProgram notes which program a process runs, if it is not the job's own: one that is replaced may answer otherwise. One that
// opens nothing, not a library, is not noted.
func (o *opened) noteProgram(pid uint32) {
	path, err := os.Readlink("/proc/" + strconv.Itoa(int(pid)) + "/exe")
	if err != nil || path == o.program {
		return
	}
	if self, err := os.Readlink("/proc/self/exe"); err == nil && path == self { // the thread that starts the job's
		return
	}
	o.saw(path, reads)
}

func (o *opened) noteCall(n *notice) error {
	at, name, flags := int32(n.args[0]), n.args[1], n.args[2] //nolint:gosec // as the kernel takes it
	u := reads
	switch nr := uintptr(n.nr); {
	case nr == unix.SYS_OPENAT:
	case nr == unix.SYS_OPENAT2:
		how, err := peek(n.pid, flags, 8)
		if err != nil {
			return err
		}
		flags = binary.NativeEndian.Uint64(how)
	case nr == unix.SYS_GETDENTS64:
		dir, err := place(n.pid, at)
		if err == nil {
			o.sawAt(dir, "", lists)
		}
		return err
	case nr == unix.SYS_CHDIR:
		at, name, flags = unix.AT_FDCWD, n.args[0], 0
	case nr == unix.SYS_MKDIRAT:
		u = writes
	case isMkdir(nr):
		at, name, u = unix.AT_FDCWD, n.args[0], writes
	case isCreat(nr):
		at, name, flags = unix.AT_FDCWD, n.args[0], unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC
	default: // open
		at, name, flags = unix.AT_FDCWD, n.args[0], n.args[1]
	}
	const longest = 4096 // of paths: PATH_MAX
	b, err := peek(n.pid, name, longest)
	path := unix.ByteSliceToString(b)
	if err != nil || path == "" {
		return err
	}
	switch {
	case u == writes:
	case flags&unix.O_TRUNC != 0:
		u = empties
	case flags&unix.O_ACCMODE == unix.O_WRONLY, flags&unix.O_CREAT != 0 && flags&unix.O_EXCL != 0:
		u = writes
	}
	base := ""
	if !filepath.IsAbs(path) {
		if base, err = place(n.pid, at); err != nil {
			return err
		}
	}
	o.sawAt(base, path, u)
	return nil
}

// place is the path of a process's folder, by its descriptor or AT_FDCWD.
func place(pid uint32, at int32) (string, error) {
	link := "/cwd"
	if at != unix.AT_FDCWD {
		link = "/fd/" + strconv.Itoa(int(at))
	}
	return os.Readlink("/proc/" + strconv.Itoa(int(pid)) + link)
}

// peek returns n bytes of a process's memory, or less up to a zero in them.
func peek(pid uint32, addr uint64, n int) (b []byte, err error) {
	const page = 4096 // at a time: the next one need not be there
	for len(b) < n {
		at := addr + uint64(len(b))
		part := make([]byte, min(n-len(b), page-int(at%page), 512)) // most paths are shorter
		k, err := unix.ProcessVMReadv(int(pid), []unix.Iovec{{Base: &part[0], Len: uint64(len(part))}}, []unix.RemoteIovec{{Base: uintptr(at), Len: len(part)}}, 0)
		if err != nil || k < len(part) {
			return nil, cmp.Or(err, error(unix.EFAULT))
		}
		if b = append(b, part...); bytes.IndexByte(part, 0) >= 0 {
			break
		}
	}
	return b, nil
}
