package input

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// Digests tell what files hold that are no input, but are read by a job's code. The zero value
// is ready. It is safe for concurrent use.
type Digests struct {
	mu    sync.Mutex
	known map[string]knownDigest // by path
}

// mostKnown bounds the memory of Digests, to some MiB.
const mostKnown = 1 << 14

type knownDigest struct {
	stamp  Stamp
	digest mr.Digest
}

// Of returns the digest of what is at path, and its stamp: of a regular file's bytes, of the names in a
// folder, of nothing where there is neither (without a stamp if there is nothing at all), or it can't be opened. The digest is zero if it can't be told:
// reading fails, or the file changes meanwhile.
func (d *Digests) Of(path string) (mr.Digest, Stamp) {
	before, settled, err := StampFile(path, time.Now())
	if err != nil {
		return unopened(err), Stamp{}
	}
	d.mu.Lock()
	k, ok := d.known[path]
	d.mu.Unlock()
	if ok && k.stamp == before {
		return k.digest, before
	}
	digest, err := digestFile(path)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		digest, err = unopened(err), nil
	}
	if after, _, err2 := StampFile(path, time.Now()); err != nil || err2 != nil || after != before {
		return mr.Digest{}, before
	}
	if settled {
		d.mu.Lock()
		if d.known == nil {
			d.known = map[string]knownDigest{}
		}
		for other := range d.known {
			if len(d.known) < mostKnown {
				break
			}
			delete(d.known, other) // any: whoever reads them all in turn finds most of them again
		}
		d.known[path] = knownDigest{before, digest}
		d.mu.Unlock()
	}
	return digest, before
}

// unopened is the digest of what can't be opened, by the job's code neither.
func unopened(err error) mr.Digest {
	switch errno, _ := errors.AsType[unix.Errno](err); errno {
	case unix.ENOENT:
		return mr.Digest(blake3.Sum256([]byte("mr no file 1")))
	case unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG, unix.EACCES, unix.EPERM:
		return mr.Digest(blake3.Sum256([]byte("mr no file 1\x00" + errno.Error())))
	}
	return mr.Digest{}
}

func digestFile(path string) (d mr.Digest, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return d, err
	}
	defer f.Close()
	h := blake3.New()
	info, err := f.Stat()
	switch {
	case err != nil:
		return d, err
	case info.IsDir():
		names, err := f.Readdirnames(-1)
		if err != nil {
			return d, err
		}
		slices.Sort(names)
		_, _ = h.WriteString("mr folder 1\x00" + strings.Join(names, "\x00"))
	case !info.Mode().IsRegular(): // what comes out of it is not seen
		_, _ = h.WriteString("mr no file 1\x00special")
	default:
		if _, err := io.Copy(h, f); err != nil {
			return d, err
		}
	}
	h.Sum(d[:0])
	return d, nil
}
