package input

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is a folder to be read, and which parts of a glob its entries may match. Bit i
// of states: component i of the glob is matched against the entries; the bit after the last
// component: everything below is taken.
type folder struct {
	path   string
	states uint64
}

// walk adds the files below root that match the components of a glob, each folder read
// once, whatever number of ways the glob leads through it. No components: all files.
func (l *lister) walk(root folder, g glob) error {
	todo := []folder{root}
	for len(todo) > 0 {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		var err error
		if todo, err = l.enter(f, g, todo); err != nil {
			return err
		}
	}
	return nil
}

// enter reads one folder: its files are added, the folders below appended to todo.
func (l *lister) enter(f folder, g glob, todo []folder) ([]folder, error) {
	d, err := os.OpenFile(f.path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return todo, nil // gone meanwhile, or a glob that leads through a file
	}
	if err != nil {
		return nil, errOpen(f.path, cause(err))
	}
	defer func() { _ = d.Close() }() // only read from
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, errRead(f.path, 0, cause(err))
	}
	prefix := strings.TrimSuffix(f.path, "/") + "/"
	fd := int(d.Fd())
	for _, name := range names {
		down, named := g.step(f.states, name)
		if down|named == 0 {
			continue
		}
		if todo, err = l.entry(fd, prefix+name, name, down, named, g, todo); err != nil {
			return nil, err
		}
	}
	return todo, nil
}

// entry adds one entry of a folder. down and named are the states that its name leads to, by
// ** (or by lying below a folder that is taken) and by a component that matches it.
func (l *lister) entry(fd int, path, name string, down, named uint64, g glob, todo []folder) ([]folder, error) {
	err := retry(func() error { return unix.Fstatat(fd, name, &l.st, unix.AT_SYMLINK_NOFOLLOW) })
	taken := (down|named)&g.all() != 0
	if err == nil && l.st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = retry(func() error { return unix.Fstatat(fd, name, &l.st, 0) })
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP):
			if !taken {
				return todo, nil
			}
			return nil, errBrokenLink(path, err)
		case err == nil && l.st.Mode&unix.S_IFMT == unix.S_IFDIR:
			down = 0 // followed only where it is named
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return todo, nil // gone meanwhile
	case err != nil:
		return nil, errOpen(path, err)
	}
	switch l.st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if taken {
			return todo, l.add(path, fd, name)
		}
	case unix.S_IFDIR:
		if down|named != 0 {
			todo = append(todo, folder{path: path, states: down | named})
		}
	}
	return todo, nil
}

// cause strips the operation and path that package os adds.
func cause(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}
