package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mrd-io/mr/bench/corpus"
)

// settings are the flags.
type settings struct {
	size      int64 // of text, and of sort records
	big       int64 // of sort records beyond memory
	memory    int64 // for those
	files     int   // of the tree
	tasks     int   // that do nothing
	growth    []int64
	rounds    int
	bigRounds int // for the rows that take long
	profile   corpus.Profile
}

// lab is a run of the benchmarks.
type lab struct {
	settings
	root    string // of the module
	dir     string // everything is below it, and it is deleted at the end
	mrctl   string
	ceiling string
	log     io.Writer
	digest  digester
	made    map[string]time.Time // inputs, and when
	tools   toolbox
	began   time.Time
	machine string // as it was then
}

// build builds ours and the ceiling.
func (l *lab) build(ctx context.Context) error {
	for _, b := range []struct {
		path *string
		pkg  string
	}{{&l.mrctl, "./cmd/mrctl"}, {&l.ceiling, "./bench/ceiling"}} {
		*b.path = filepath.Join(l.dir, filepath.Base(b.pkg))
		cmd := exec.CommandContext(ctx, "go", "build", "-o", *b.path, b.pkg)
		cmd.Dir = l.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", b.pkg, err, out)
		}
	}
	return nil
}

// input makes a file of the lab once and returns its path.
func (l *lab) input(name string, write func(w io.Writer) error) (string, error) {
	path := filepath.Join(l.dir, name)
	if _, ok := l.made[path]; ok {
		return path, nil
	}
	l.say("making %s", name)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return "", err
	}
	l.made[path] = time.Now()
	return path, nil
}

func (l *lab) text(size int64) (string, error) {
	return l.input(fmt.Sprintf("text-%d", size), func(w io.Writer) error { return corpus.Text(w, l.profile, 1, size) })
}

func (l *lab) records(skewed bool, size int64) (string, error) {
	return l.input(fmt.Sprintf("records-%t-%d", skewed, size), func(w io.Writer) error { return corpus.Records(w, skewed, 1, size) })
}

// tree makes the tree of small files once, and returns its folder and its bytes.
func (l *lab) tree() (dir string, bytes int64, err error) {
	dir = filepath.Join(l.dir, "tree")
	if _, ok := l.made[dir]; !ok {
		l.say("making a tree of %d files", l.files)
		if _, err := corpus.Tree(dir, l.profile, 1, l.files); err != nil {
			return "", 0, err
		}
		l.made[dir] = time.Now()
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return dir, bytes, err
}

// drop deletes an input that no other row shares.
func (l *lab) drop(path string) {
	delete(l.made, path)
	l.remove(path)
}

// settle waits until a change of path at that time is older than the two seconds for which an engine may
// not trust a file's time stamps.
func (l *lab) settle(changed time.Time) {
	time.Sleep(time.Until(changed.Add(2500 * time.Millisecond)))
}

// warm reads a file so that it is in the page cache, if it fits.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, f)
	return errors.Join(err, f.Close())
}

// remove deletes what a run left. What cannot be deleted shows when it is made again.
func (l *lab) remove(paths ...string) {
	for _, p := range paths {
		if err := os.RemoveAll(p); err != nil {
			l.say("%v", err)
		}
	}
}

// say tells how far the run is.
func (l *lab) say(format string, args ...any) {
	fmt.Fprintf(l.log, format+"\n", args...)
}

// freeBytes returns the room on the disk of dir.
func freeBytes(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // of another type elsewhere
}

// ram returns the machine's memory, or 0 where it cannot be told.
func ram() int64 {
	var total int64
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // only read from
	if _, err := fmt.Fscanf(f, "MemTotal: %d kB", &total); err != nil {
		return 0
	}
	return total << 10
}
