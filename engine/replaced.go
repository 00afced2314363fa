package engine

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
)

// The folder that --overwrite names goes as a whole when the new output takes its place, so
// what the job or the engine itself still needs must not be in it.

// checkReplaced refuses to replace the folder at dir if it has the store, or a file that the job
// reads, in it, or if it can't be renamed.
func checkReplaced(dir, store string, files []input.File) error {
	in, err := within(dir)
	if err != nil {
		return mr.Errorf(mr.Failed, "looking at output folder %s: %w", dir, err)
	}
	switch mounted, err := isMount(dir); {
	case err != nil:
		return mr.Errorf(mr.Failed, "looking at output folder %s: %w", dir, err)
	case mounted:
		return mr.Errorf(mr.Refused, "output %s is where a file system begins, and --overwrite cannot put a new folder in its place; choose a folder below it as --output", dir)
	}
	if err := checkPlace(dir, store); err != nil {
		return err
	}
	if in(filepath.Join(store, "lock")) {
		return mr.Errorf(mr.Refused, "output %s holds the store %s, which --overwrite would remove with it; choose another --output", dir, store)
	}
	for _, f := range files {
		if in(f.Path) || f.Link && in(target(f.Path)) {
			return mr.Errorf(mr.Refused, "output %s holds %s, which the job reads and --overwrite would remove; choose another --output, or name the input so that it is left out", dir, f.Path)
		}
	}
	return nil
}

// checkRead refuses to read the store's own files, which change while the job runs.
func checkRead(files []input.File, store string) error {
	real := resolve(store)
	for _, f := range files {
		if below(f.Path, store) || below(f.Path, real) {
			return mr.Errorf(mr.Refused, "the input has %s, a file of the store %s; name the input so that the store is left out, or choose a store elsewhere with --store", f.Path, store)
		}
	}
	return nil
}

// checkPlace refuses an output folder in the store, whether it is there or is yet to be made: the
// store's folders are swept, and counted against its bound.
func checkPlace(dir, store string) error {
	if below(dir, store) || below(resolve(dir), resolve(store)) {
		return mr.Errorf(mr.Refused, "output %s lies in the store %s; choose another --output", dir, store)
	}
	return nil
}

// resolve returns path without symbolic links, as far as it leads to what is there.
func resolve(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	return filepath.Join(resolve(dir), filepath.Base(path))
}

// isMount reports whether a file system, or a subvolume of one, begins at dir.
func isMount(dir string) (bool, error) {
	if mountRoot(dir) {
		return true, nil
	}
	own, err := device(os.Lstat(dir)) // a link to a folder is on the device of the folder that it is in
	if err != nil {
		return false, err
	}
	parent, err := device(os.Stat(filepath.Dir(dir)))
	return own != parent, err
}

// device is the number of the device that a file is on.
func device(info os.FileInfo, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, nil
	}
	return uint64(st.Dev), nil //nolint:unconvert // of another type elsewhere
}

// within returns a function that reports whether a file lies below dir, also where symbolic
// links to folders lead there.
func within(dir string) (func(file string) bool, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{} // by folder: many files are in few
	return func(file string) bool {
		if below(file, dir) {
			return true
		}
		parent := filepath.Dir(file)
		in, ok := known[parent]
		if !ok {
			to, err := filepath.EvalSymlinks(parent)
			in = err == nil && below(to, real)
			known[parent] = in
		}
		return in
	}, nil
}

// target returns what a symbolic link leads to, or the link itself if it leads nowhere any more.
func target(link string) string {
	if to, err := filepath.EvalSymlinks(link); err == nil {
		return to
	}
	return link
}

// below reports whether the clean path is dir or leads into it.
func below(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}
