package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
)

const lockPoll = 20 * time.Millisecond

// lockFile is the store's lock: flock on a file that holds the writer's pid. The
// kernel drops a flock with its process, so a pid left by a killed process locks nothing.
type lockFile struct {
	f        *os.File
	writable bool
}

// lockStore takes the lock, exclusively to write and shared to read. It waits up to wait
// and then says who holds it.
func lockStore(dir string, readOnly bool, wait time.Duration) (*lockFile, error) {
	path := filepath.Join(dir, "lock")
	how, flags := syscall.LOCK_EX, os.O_RDWR|os.O_CREATE
	if readOnly {
		how, flags = syscall.LOCK_SH, os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return &lockFile{}, nil // never written to, or a copy without its lock; bbolt's own locks remain
	}
	if err != nil {
		return nil, cannotUse(dir, err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(lockPoll) {
		err = flock(f, how|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, cannotUse(dir, err)
		}
		if time.Now().After(deadline) {
			err = mr.Errorf(mr.Unreachable, "store %s is in use by %s; wait for it, stop it, or choose another --store", dir, holder(f))
			f.Close()
			return nil, err
		}
	}
	l := &lockFile{f: f, writable: !readOnly}
	if l.writable {
		// On a full disk nobody is named: what is to make room must not need any.
		if err := l.note(strconv.Itoa(os.Getpid()) + "\n"); err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			f.Close()
			return nil, cannotUse(dir, err)
		}
	}
	return l, nil
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}

func (l *lockFile) note(s string) error {
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err := l.f.WriteAt([]byte(s), 0)
	return err
}

func (l *lockFile) release() error {
	if l.f == nil {
		return nil
	}
	var err error
	if l.writable {
		err = l.note("")
	}
	return errors.Join(err, l.f.Close())
}

// holder says who has f locked.
func holder(f *os.File) string {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0) // an error leaves n at 0: nobody is named
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
		return fmt.Sprintf("process %d", pid)
	}
	if pid := flockHolder(f); pid > 0 {
		return fmt.Sprintf("process %d, which reads it", pid)
	}
	return "another process"
}

// flockHolder finds the holder of a shared lock, who writes nothing, in Linux's list of
// locks; elsewhere, and on any trouble, it returns 0.
func flockHolder(f *os.File) int {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	list, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	for line := range strings.Lines(string(list)) {
		// 1: FLOCK  ADVISORY  READ 4711 fe:00:262146 0 EOF
		w := strings.Fields(line)
		if len(w) >= 6 && w[1] == "FLOCK" && strings.HasSuffix(w[5], inode) {
			if pid, err := strconv.Atoi(w[4]); err == nil {
				return pid
			}
		}
	}
	return 0
}

// cannotUse is the refusal of a folder or disk that can't hold a store.
func cannotUse(dir string, err error) error {
	return mr.Errorf(mr.Unreachable, "store %s cannot be used: %w; mend that or choose another --store", dir, err)
}
