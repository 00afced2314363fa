// Package durable makes folders and names survive a loss of power. A file's own sync does not
// vouch for its name, which is in the folder, nor for the folder's name, which is in another.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Rename is os.Rename within one folder, durable when it returns.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Create makes an empty file, or leaves one as it is: a name without bytes, durable when it returns.
func Create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// MkdirAll is os.MkdirAll. When it returns, the folders that were not there before are durable,
// all the way up.
func MkdirAll(path string, perm fs.FileMode) error { return mkdirAll(path, perm, SyncDir) }

func mkdirAll(path string, perm fs.FileMode, sync func(dir string) error) error {
	var parents []string // of the folders to be made, the deepest first
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		// Other errors are for os.MkdirAll to tell.
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		parents = append(parents, filepath.Dir(dir))
	}
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	for _, dir := range slices.Backward(parents) {
		if err := sync(dir); err != nil {
			return err
		}
	}
	return nil
}
