package worker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// opened are the files that a process has opened to read, and the folders that it has listed, as far as they are none
// of the task's: not in its own folder, not made by itself, and not the system's.
type opened struct {
	dir     string // the process's folder
	program string // what it runs, which is in the keys

	mu    sync.Mutex
	made  map[string]bool
	files map[string]sight
	links map[string][]string // by a folder's path: other names by which it was opened or entered
	more  bool                // than are noted

	told bool // something could be told of a call; the listener's
}

// sight is how a file was when it was opened.
type sight struct {
	stamp  input.Stamp // the zero Stamp: there was none
	steady bool        // the stamp vouches for what was read
}

// mostOpened is how many files are noted of one process: nobody is to use what comes of more.
const mostOpened = 1 << 12

func newOpened(dir, program string) *opened {
	if real, err := filepath.EvalSymlinks(dir); err == nil { // as the process sees it
		dir = real
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	return &opened{dir: dir, program: program, made: map[string]bool{}, files: map[string]sight{}, links: map[string][]string{}}
}

// unnoted are the beginnings of paths that are not noted: the kernel's own, and what the loader of shared
// libraries looks up for each program that is not linked statically. Files in /dev/shm are anybody's, but for semaphores.
var unnoted = []string{"/proc/", "/sys/", "/dev/", "/etc/ld.so."}

func isUnnoted(path string) bool {
	shm, inShm := strings.CutPrefix(path, "/dev/shm/")
	return isSystemLibrary(path) ||
		slices.ContainsFunc(unnoted, func(s string) bool { return strings.HasPrefix(path, s) }) && (!inShm || strings.HasPrefix(shm, "sem."))
}

// isSystemLibrary reports whether a path is a shared library where the system has them.
func isSystemLibrary(path string) bool {
	return strings.HasPrefix(strings.TrimPrefix(path, "/usr"), "/lib") && strings.Contains(filepath.Base(path)+".", ".so.")
}

// use is what a call does with a path.
type use int

const (
	reads   use = iota // opens it, to read at least
	lists              // reads what is in the folder
	empties            // opens it, and what it held is gone
	writes             // opens it to write only, or makes it if it is not there
)

// sawAt notes the use of a path. A relative one is relative to base, a folder as the kernel calls it, which may have been opened or entered by
// another name: by that it is noted as well, since where a symbolic link leads may be another folder the next time.
func (o *opened) sawAt(base, path string, u use) {
	names := []string{path}
	if !filepath.IsAbs(path) {
		names = nil
		for _, dir := range o.names(base) {
			names = append(names, dir+"/"+path)
		}
	}
	for _, name := range names {
		clean := filepath.Clean(name)
		if i := strings.LastIndex(name+"/", "/../"); i >= 0 {
			dir := name[:i+len("/..")]
			if real, err := filepath.EvalSymlinks(dir); err == nil && real != filepath.Clean(dir) { // above where a link leads
				o.saw(filepath.Join(real, name[len(dir):]), u)
				clean = name
			}
		}
		o.saw(clean, u)
	}
}

// names are all by which a folder was opened or entered, and its own, if that is known.
func (o *opened) names(dir string) (all []string) {
	if dir == "" {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for real, links := range o.links {
		if inFolder(real, dir) {
			for _, name := range links {
				all = append(all, name+strings.TrimPrefix(dir, real))
			}
		}
	}
	return append(all, dir)
}

// link notes that a folder was opened or entered by a name. The caller holds mu.
func (o *opened) link(name string) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil || real == name || slices.Contains(o.links[real], name) {
		return
	}
	if o.more = o.more || len(o.links) >= mostOpened; !o.more {
		o.links[real] = append(o.links[real], name)
	}
}

// saw notes the use of a path.
func (o *opened) saw(path string, u use) {
	if inFolder(o.dir, path) || isUnnoted(path) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.files[path]
	switch {
	case o.hasMade(path):
		return
	case u == writes || u == empties:
		_, err := os.Lstat(path)
		if !known && len(o.made) < mostOpened && (errors.Is(err, fs.ErrNotExist) || u == empties && isWritable(path)) {
			o.made[path] = true
		}
		return
	}
	now := sight{steady: true}
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() && u != lists {
			o.link(path)
			return
		} else if !info.IsDir() && !info.Mode().IsRegular() {
			return
		}
		now.stamp, now.steady, _ = input.StampFile(path, time.Now())
	}
	switch {
	case known && before.stamp != now.stamp:
		o.files[path] = sight{stamp: now.stamp} // it may have read both
	case !known && len(o.files) >= mostOpened:
		o.more = true
	case !known:
		o.files[path] = now
	}
}

// hasMade reports whether the process has made a path, or a folder above it.
func (o *opened) hasMade(path string) bool {
	for len(o.made) > 0 && len(path) > 1 {
		if o.made[path] {
			return true
		}
		path = filepath.Dir(path)
	}
	return false
}

func inFolder(dir, path string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// lose notes that something was opened of which nothing can be told.
func (o *opened) lose() {
	o.mu.Lock()
	o.more = true
	o.mu.Unlock()
}

// some reports whether the process has read anything.
func (o *opened) some() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.more || len(o.files) > 0
}

// fresh reports whether all that the process has read, before its task, is still as it was, and is known.
func (o *opened) fresh() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more {
		return false
	}
	for path, was := range o.files {
		now, _, err := input.StampFile(path, time.Now())
		if err != nil {
			now = input.Stamp{}
		}
		if now != was.stamp || !was.steady {
			return false
		}
	}
	return true
}

// forget forgets those files that are wholly in the task's split, and so in its key; of others the split may have
// a part only.
func (o *opened) forget(split []input.Piece) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range split {
		if s, known := o.files[p.Path]; known && p.Len < 0 && s.stamp == p.Stamp {
			delete(o.files, p.Path)
		}
	}
}

// list returns the files with their digests, in any order; one without a path if there are more.
func (o *opened) list(d *input.Digests) []plan.Opened {
	o.mu.Lock()
	if o.more {
		o.mu.Unlock()
		return []plan.Opened{{}}
	}
	files := make(map[string]sight, len(o.files))
	for path, s := range o.files {
		files[path] = s
	}
	o.mu.Unlock()
	all := make([]plan.Opened, 0, len(files))
	for path, s := range files {
		f := plan.Opened{Path: path}
		if s.steady {
			if digest, now := d.Of(path); now == s.stamp {
				f.Digest = digest
			}
		}
		all = append(all, f)
	}
	return all
}
