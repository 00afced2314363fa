package input

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// List finds the files that patterns name: each a file, a folder (all regular files below
// it) or a glob with **, where a folder that matches stands for the files below it, and only folders do
// where the glob ends with a slash. A pattern that is the name of something that exists means just that, whatever characters it
// has. Paths are absolute and clean, sorted by their bytes, each listed once.
//
// Hidden files, and folders whose name begins with a dot, count only when named. Symbolic
// links to files are followed, and so are named ones to folders; a link to a folder that
// is met below a folder is passed over, which also rules out cycles. FIFOs, sockets and
// devices are refused when named and passed over otherwise.
func List(ctx context.Context, patterns []string) ([]File, error) {
	return listFiles(ctx, patterns, min(runtime.GOMAXPROCS(0), maxWalkers))
}

// maxWalkers is how many goroutines read folders: more would only wait for each other in the
// kernel's directory cache.
const maxWalkers = 4

func listFiles(ctx context.Context, patterns []string, walkers int) ([]File, error) {
	l := lister{ctx: ctx, walkers: walkers}
	for _, p := range patterns {
		before := len(l.files)
		if err := l.pattern(p); err != nil {
			return nil, err
		}
		if len(l.files) == before {
			return nil, errNoMatch(p)
		}
	}
	byPath := func(a, b File) int { return strings.Compare(a.Path, b.Path) }
	if !slices.IsSortedFunc(l.files, byPath) {
		slices.SortFunc(l.files, byPath)
	}
	return slices.CompactFunc(l.files, func(a, b File) bool { return a.Path == b.Path }), nil
}

func errNoMatch(pattern string) error {
	return mr.Errorf(mr.Usage, "input %q matches no file (hidden files count only when named)", pattern)
}

// lister gathers the files of one List call.
type lister struct {
	ctx     context.Context // of the one call that owns the lister
	walkers int
	files   []File
}

// pattern adds the files of one pattern.
func (l *lister) pattern(p string) error {
	if p == "" {
		return mr.Errorf(mr.Usage, "an input pattern is empty; name a file, a folder or a glob")
	}
	path, err := filepath.Abs(p)
	if err != nil {
		return mr.Errorf(mr.Failed, "input %q: %w", p, err)
	}
	found, err := l.named(path)
	if err != nil || found {
		return err
	}
	if !hasMeta(p) {
		return mr.Errorf(mr.Usage, "input %q: there is no such file or folder", p)
	}
	globs, err := expandBraces(p)
	if err != nil {
		return err
	}
	for _, g := range globs {
		if err := l.glob(g); err != nil {
			return err
		}
	}
	return nil
}

// named adds what a literal path names, and reports whether there is such a thing.
func (l *lister) named(path string) (bool, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Stat(path, &st) })
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		if lerr := retry(func() error { return unix.Lstat(path, &st) }); lerr == nil {
			return true, errBrokenLink(path, err)
		}
		return false, nil
	case errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		return false, nil
	case errors.Is(err, unix.ELOOP):
		return true, errBrokenLink(path, err)
	case err != nil:
		return true, errOpen(path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		var self unix.Stat_t
		link := retry(func() error { return unix.Lstat(path, &self) }) == nil && self.Mode&unix.S_IFMT == unix.S_IFLNK
		l.files = append(l.files, File{Path: path, Stamp: stampOf(&st), Link: link})
		return true, readable(unix.AT_FDCWD, path, path, &st)
	case unix.S_IFDIR:
		return true, l.walk(path, nil)
	}
	return true, mr.Errorf(mr.Usage, "input %q is a FIFO, a socket or a device; name a file, a folder or a glob", path)
}

func errBrokenLink(path string, err error) error {
	return mr.Errorf(mr.Failed, "%s: the symbolic link leads nowhere (%w); mend it, remove it, or name the input so that it is left out", path, err)
}

// readable fails if this user may not read the file that st describes. Most files can be read
// by everybody, which their mode says without asking the kernel again.
func readable(dir int, name, path string, st *unix.Stat_t) error {
	if st.Mode&0o444 != 0o444 {
		err := retry(func() error { return unix.Faccessat(dir, name, unix.R_OK, unix.AT_EACCESS) })
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return errOpen(path, err)
		}
	}
	return nil
}

// retry repeats a call that a signal interrupted, as network file systems may do.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
