package input

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// share is how many entries of one folder are worth a turn of their own, so that
// a folder of 50,000 files keeps all walkers busy.
const share = 1024

// folder is a folder to be read, and which parts of a glob its entries may match. Bit i
// of states: component i of the glob is matched against the entries; the bit after the last
// component: everything below is taken.
type folder struct {
	path    string
	states  uint64
	names   []string // the entries to look at; nil: all, once they were read
	entries []entry  // what was found
}

// entry is a file that was found, or a folder with what is below it.
type entry struct {
	name string // a folder's ends with a slash, so that entries sort as the paths below them
	file File
	sub  *folder
}

// walk is the reading of all folders below one. The kernel takes microseconds for each stat,
// so the folders are shared out among a few goroutines.
type walk struct {
	ctx  context.Context // of the one List that owns the walk
	glob glob

	mu    sync.Mutex
	moved sync.Cond // todo, busy or err changed
	todo  []*folder // guarded by mu, as is all below
	busy  int       // folders being read
	err   error     // the first one; ends the walk
}

// walk adds the files below root that match the components of a glob, each folder read
// once, whatever number of ways the glob leads through it. No components: all files.
func (l *lister) walk(path string, g glob) error {
	root := &folder{path: path, states: 1}
	w := &walk{ctx: l.ctx, glob: g, todo: []*folder{root}}
	w.moved.L = &w.mu
	var others sync.WaitGroup
	for range l.walkers - 1 {
		others.Go(w.run)
	}
	w.run()
	others.Wait()
	if w.err != nil {
		return w.err
	}
	l.gather(root)
	return nil
}

// gather adds what was found below f in the order of paths, but for folders that were shared
// out: List looks at the order in the end.
func (l *lister) gather(f *folder) {
	for _, e := range f.entries {
		if e.sub != nil {
			l.gather(e.sub)
		} else {
			l.files = append(l.files, e.file)
		}
	}
}

// run reads folders until all are read or one failed.
func (w *walk) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.todo) == 0 && w.busy > 0 && w.err == nil {
			w.moved.Wait()
		}
		if len(w.todo) == 0 || w.err != nil {
			return
		}
		f := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		w.busy++
		w.mu.Unlock()
		err := w.read(f)
		w.mu.Lock()
		w.busy--
		if w.err == nil {
			w.err = err
		}
		for i := range f.entries {
			if sub := f.entries[i].sub; sub != nil {
				w.todo = append(w.todo, sub)
			}
		}
		w.moved.Broadcast()
	}
}

// read reads one folder, or a share of it, and fills in its entries.
func (w *walk) read(f *folder) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	d, err := os.OpenFile(f.path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // gone meanwhile, or a glob that leads through a file
	}
	if err != nil {
		return errOpen(f.path, cause(err))
	}
	defer func() { _ = d.Close() }() // only read from
	if f.names == nil {
		f.names, err = d.Readdirnames(-1)
		if errors.Is(err, unix.ENOENT) {
			return nil // removed since it was opened
		}
		if err != nil {
			return errRead(f.path, 0, cause(err))
		}
		if len(f.names) > 2*share {
			slices.Sort(f.names)
			for names := range slices.Chunk(f.names, share) {
				f.entries = append(f.entries, entry{sub: &folder{path: f.path, states: f.states, names: names}})
			}
			return nil
		}
	}
	f.entries = make([]entry, 0, len(f.names))
	prefix := strings.TrimSuffix(f.path, "/") + "/"
	fd := int(d.Fd())
	var st unix.Stat_t
	for _, name := range f.names {
		down, named := w.glob.step(f.states, name)
		if down|named == 0 {
			continue
		}
		e, err := w.entry(fd, prefix+name, name, down, named, &st)
		if err != nil {
			return err
		}
		if e.name != "" {
			f.entries = append(f.entries, e)
		}
	}
	f.names = nil
	slices.SortFunc(f.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return nil
}

// entry looks at one entry of a folder; one without a name is passed over. down and named
// are the states that its name leads to, by ** (or by lying below a folder that is taken)
// and by a component that matches it.
func (w *walk) entry(fd int, path, name string, down, named uint64, st *unix.Stat_t) (entry, error) {
	err := retry(func() error { return unix.Fstatat(fd, name, st, unix.AT_SYMLINK_NOFOLLOW) })
	taken := (down|named)&w.glob.all() != 0
	link := err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
	if link {
		err = retry(func() error { return unix.Fstatat(fd, name, st, 0) })
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
			if !taken {
				return entry{}, nil
			}
			return entry{}, errBrokenLink(path, err)
		case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
			down = 0 // followed only where it is named
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return entry{}, nil // gone meanwhile
	case err != nil:
		return entry{}, errOpen(path, err)
	}
	switch mode := st.Mode & unix.S_IFMT; {
	case mode == unix.S_IFREG && taken:
		return entry{name: name, file: File{Path: path, Stamp: stampOf(st), Link: link}}, readable(fd, name, path, st)
	case mode == unix.S_IFDIR && down|named != 0:
		return entry{name: name + "/", sub: &folder{path: path, states: down | named}}, nil
	}
	return entry{}, nil
}

// cause strips the operation and path that package os adds.
func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
