package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// Parts is where a worker writes the part files of its attempts: into the files of its
// host, or, if it has joined from another one, through a stream into those of the daemon's.
type Parts interface {
	// Create makes the part file of an attempt, which must not be there.
	Create(a plan.Attempt, path string) (PartFile, error)
	// Link makes path another name of the file from, if from's bytes have that digest, and
	// says how many they are.
	Link(a plan.Attempt, from, path string, want mr.Digest) (n int64, ok bool)
}

// PartFile is a part file that is being written.
type PartFile interface {
	io.Writer
	// Seal makes the file durable and closes it.
	Seal() error
	// Discard removes it, sealed or not.
	Discard()
}

// localParts are the files of this host.
type localParts struct{}

func (localParts) Create(_ plan.Attempt, path string) (PartFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("making the attempt's folder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return localPart{f}, nil
}

// Link reads the whole of the old file: manifests are hopes. It was synced when it was
// written.
func (localParts) Link(_ plan.Attempt, from, path string, want mr.Digest) (n int64, ok bool) {
	f, err := os.Open(from)
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // read only
	h := blake3.New()
	n, err = io.CopyBuffer(struct{ io.Writer }{h}, f, make([]byte, partBuffer))
	var d mr.Digest
	if h.Sum(d[:0]); err != nil || d != want {
		return 0, false
	}
	ok = os.MkdirAll(filepath.Dir(path), 0o777) == nil && os.Link(from, path) == nil
	return n, ok
}

type localPart struct{ f *os.File }

func (p localPart) Write(b []byte) (int, error) { return p.f.Write(b) }

func (p localPart) Seal() error { return errors.Join(p.f.Sync(), p.f.Close()) }

func (p localPart) Discard() {
	p.f.Close()           //nolint:errcheck // the file goes
	os.Remove(p.f.Name()) //nolint:errcheck // swept with its folder otherwise
}
