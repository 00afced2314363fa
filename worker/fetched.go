package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mrd-io/mr"
)

// Fetched is the Binaries of a worker that fetches what it runs.
type Fetched struct {
	*Children
	Remote *Remote
	Dir    string

	Keep int64 // bytes of binaries that are kept in Dir; 0: 1 GiB

	mu sync.Mutex // one fetch at a time
}

// Open implements Binaries.
func (f *Fetched) Open(ctx context.Context, _ string, digest mr.Digest, job string, args, env []string) (r mr.Runner, err error) {
	err = f.with(digest, func(path string) (err error) {
		r, err = f.Children.Open(ctx, path, digest, job, args, env)
		return err
	})
	return r, err
}

// Describe implements Binaries.
func (f *Fetched) Describe(ctx context.Context, _ string, digest mr.Digest, job string, args []string) (t mr.Traits, err error) {
	err = f.with(digest, func(path string) (err error) {
		t, err = f.Children.Describe(ctx, path, digest, job, args)
		return err
	})
	return t, err
}

// with calls use with the path of a binary, and once more if that is damaged.
func (f *Fetched) with(digest mr.Digest, use func(path string) error) error {
	path, err := f.fetch(digest)
	if err != nil {
		return err
	}
	if err = use(path); !errors.Is(err, ErrBinary) {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing a damaged job binary: %w", err)
	}
	if path, err = f.fetch(digest); err != nil {
		return err
	}
	return use(path)
}

func (f *Fetched) fetch(digest mr.Digest) (path string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	used := os.Chtimes(filepath.Join(f.Dir, digest.String()), now, now) == nil
	if path, err = f.Remote.Fetch(f.Dir, digest); err == nil && !used {
		f.trim(now)
	}
	return path, err
}

// fetchedGrace is how long a binary stays that was used, and a file that is being fetched: other
// workers of this host may share the folder.
const fetchedGrace = 10 * time.Minute

// trim gives up the binaries beyond what is kept, those first that no attempt was given for
// longest, and what killed processes have left half fetched. A file that can't be removed is
// tried again with the next binary.
func (f *Fetched) trim(now time.Time) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return
	}
	var kept []fs.FileInfo
	left := -cmp.Or(f.Keep, 1<<30)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if half, _ := filepath.Match(halfFetched, e.Name()); half {
			if now.Sub(info.ModTime()) > fetchedGrace {
				os.Remove(filepath.Join(f.Dir, e.Name())) //nolint:errcheck // see above
			}
			continue
		}
		if new(mr.Digest).UnmarshalText([]byte(e.Name())) == nil {
			kept, left = append(kept, info), left+info.Size()
		}
	}
	slices.SortFunc(kept, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, b := range kept {
		if left <= 0 || now.Sub(b.ModTime()) <= fetchedGrace {
			return
		}
		if os.Remove(filepath.Join(f.Dir, b.Name())) == nil {
			left -= b.Size()
		}
	}
}
