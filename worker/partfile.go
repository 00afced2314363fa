package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

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
	return &localPart{f: f}, nil
}

// Link reads the whole of the old file: manifests are hopes. It was synced when it was
// written. What somebody has put in its place (a symbolic link, whose other name would be as
// dangling as itself once the old output is gone; a pipe) is left alone, and so is a file of another mode than
// a new one would have.
func (localParts) Link(_ plan.Attempt, from, path string, want mr.Digest) (n int64, ok bool) {
	info, err := os.Lstat(from)
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
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
	ok = os.MkdirAll(filepath.Dir(path), 0o777) == nil && modeFor(path) == info.Mode().Perm() && os.Link(from, path) == nil
	return n, ok
}

// modeFor is the mode of a file that is made at path, as that of its folder, just made, shows: an old part may
// have been made under another umask.
func modeFor(path string) os.FileMode {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return 0
	}
	return info.Mode().Perm() & 0o666
}

// A large part goes past the page cache: writing a gigabyte into fresh pages of it costs as
// much as all else that is done for that gigabyte in a reduce task, and pushes out what
// others have there. The first piece stays cached, and so does a part that is no larger.
const (
	cachedPart = 1 << 20 // a multiple of directUnit
	partPiece  = 1 << 20 // written at once; likewise
	partPieces = 4       // of a part in memory at most; with 2, a tenth of a sort's reduce waits
	directUnit = 4 << 10 // what direct writes, their memory and their place are multiples of
)

// localPart writes a part file front to back. Beyond cachedPart pieces are written while the
// next is gathered.
type localPart struct {
	f      *os.File
	size   int64   // bytes handed to the file: all but those in piece
	piece  []byte  // being gathered; nil in a small part
	out    *pieces // nil if nothing is being written
	direct bool    // of whoever writes
	err    error   // sticky
}

// pieces are on their way into a part file.
type pieces struct {
	made   int         // how many there are, with the one being gathered
	full   chan []byte // in order
	spare  chan []byte // empty again
	failed atomic.Bool // no more is written
	done   chan error  // of the first that failed, or nil, when all are dealt with
}

func (p *localPart) Write(b []byte) (int, error) {
	n := len(b)
	if cached := min(int64(n), cachedPart-p.size); cached > 0 && p.err == nil {
		_, p.err = p.f.WriteAt(b[:cached], p.size)
		p.size += cached
		b = b[cached:]
	}
	for len(b) > 0 && p.err == nil {
		if p.piece == nil {
			p.piece = alignedPiece()
			p.direct = setDirect(p.f, true) == nil
		}
		k := min(len(b), partPiece-len(p.piece))
		p.piece = append(p.piece, b[:k]...)
		b = b[k:]
		if len(p.piece) == partPiece {
			p.next()
		}
	}
	if p.err != nil {
		return 0, p.err
	}
	return n, nil
}

// next hands the piece over to be written, and begins a new one.
func (p *localPart) next() {
	if p.out == nil {
		o := &pieces{made: 1, full: make(chan []byte, partPieces), spare: make(chan []byte, partPieces), done: make(chan error, 1)}
		p.out = o
		go func(off int64) {
			var err error
			for b := range o.full {
				if err == nil {
					err = p.put(b, off)
					o.failed.Store(err != nil)
				}
				off += int64(len(b))
				o.spare <- b[:0]
			}
			o.done <- err
		}(p.size)
	}
	o := p.out
	o.full <- p.piece
	p.size += partPiece
	select {
	case p.piece = <-o.spare:
	default:
		if o.made < partPieces {
			o.made++
			p.piece = alignedPiece()
		} else {
			p.piece = <-o.spare
		}
	}
	if o.failed.Load() {
		_ = p.wait() // it is sticky
	}
}

// put writes at off.
func (p *localPart) put(b []byte, off int64) error {
	_, err := p.f.WriteAt(b, off)
	if p.direct && errors.Is(err, syscall.EINVAL) { // not on this file system
		p.direct = false
		if err = setDirect(p.f, false); err == nil {
			_, err = p.f.WriteAt(b, off)
		}
	}
	return err
}

// wait waits until nothing is being written, and returns the first error.
func (p *localPart) wait() error {
	if o := p.out; o != nil {
		close(o.full)
		err := <-o.done
		for len(o.spare) > 0 {
			keepPiece(<-o.spare)
		}
		p.out = nil
		if p.err == nil {
			p.err = err
		}
	}
	return p.err
}

func (p *localPart) Seal() error {
	whole := len(p.piece) / directUnit * directUnit
	if p.wait() == nil && whole > 0 {
		p.err = p.put(p.piece[:whole], p.size)
	}
	if p.err == nil && p.direct {
		p.direct = false
		p.err = setDirect(p.f, false)
	}
	if rest := p.piece[whole:]; p.err == nil && len(rest) > 0 {
		p.err = p.put(rest, p.size+int64(whole))
	}
	p.keepPiece() // many may wait for the disk at a time
	if p.err == nil {
		p.err = p.f.Sync()
	}
	return errors.Join(p.err, p.f.Close())
}

func (p *localPart) Discard() {
	_ = p.wait() // whatever is written goes
	p.keepPiece()
	p.f.Close()           //nolint:errcheck // likewise
	os.Remove(p.f.Name()) //nolint:errcheck // swept with its folder otherwise
}

// restingPieces are those that no part needs now: fresh pages cost more than writing them.
var restingPieces sync.Pool // *[partPiece]byte

// alignedPiece returns memory for a piece, empty, that direct writes accept.
func alignedPiece() []byte {
	if b, ok := restingPieces.Get().(*[partPiece]byte); ok {
		return b[:0]
	}
	b := make([]byte, partPiece+directUnit)
	off := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % directUnit
	return b[off : off : off+partPiece]
}

func keepPiece(b []byte) { restingPieces.Put((*[partPiece]byte)(b[:partPiece])) }

// keepPiece leaves the piece being gathered, of which nothing is needed any more, to others.
func (p *localPart) keepPiece() {
	if p.piece != nil {
		keepPiece(p.piece)
		p.piece = nil
	}
}
