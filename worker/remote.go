package worker

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// Remote is the daemon's store, and the folder of outputs, as a joined worker has them:
// through streams. It implements Runs and Parts.
type Remote struct {
	dial  func() (net.Conn, error)
	slots chan struct{} // one element a stream in use
	dials chan struct{} // one a stream being opened

	mu     sync.Mutex
	idle   []*stream   // the longest idle first
	timer  *time.Timer // ends idle streams; nil: there are none
	all    map[*stream]struct{}
	closed bool
}

// idleStream is how long a stream is kept that nobody uses. It takes memory here and in the daemon, which keeps it
// longer.
const idleStream = time.Minute

// maxDials is how many streams are opened at a time. A daemon on TCP closes connections when too many have yet
// to prove who they are, and hundreds of small tasks may end in one moment.
const maxDials = 8

// NewRemote makes a Remote for a worker with room for so many attempts. Close ends it.
func NewRemote(attempts int, dial func() (net.Conn, error)) *Remote {
	// An attempt that computes has at most four streams at a time: a run, a part, its kept
	// copy, and one to read by. Those of small tasks share what is beside that, and
	// each of them can go on without another.
	return &Remote{dial: dial, slots: make(chan struct{}, 4*attempts+64), dials: make(chan struct{}, maxDials), all: map[*stream]struct{}{}}
}

var errLeft = errors.New("the connection to the daemon is gone")

// Close ends all streams, and what is waiting for them.
func (r *Remote) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	for s := range r.all {
		s.conn.Close() //nolint:errcheck // going away
	}
	r.idle = nil
}

// stream is one connection, used for one thing at a time.
type stream struct {
	r     *Remote
	conn  net.Conn
	f     *framer
	since time.Time // idle
}

func (r *Remote) take() (*stream, error) {
	r.slots <- struct{}{}
	if s := r.takeIdle(); s != nil {
		return s, nil
	}
	r.dials <- struct{}{}
	defer func() { <-r.dials }()
	if s := r.takeIdle(); s != nil { // given back meanwhile
		return s, nil
	}
	s, err := r.begin()
	if err != nil {
		<-r.slots
	}
	return s, err
}

// takeIdle returns a stream that nobody uses, nil if there is none.
func (r *Remote) takeIdle() *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.idle)
	if n == 0 {
		return nil
	}
	s := r.idle[n-1]
	r.idle = r.idle[:n-1]
	return s
}

// begin opens a stream.
func (r *Remote) begin() (*stream, error) {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return nil, errLeft
	}
	conn, err := r.dial()
	if err != nil {
		return nil, fmt.Errorf("opening a stream to the daemon: %w", err)
	}
	s := &stream{r: r, conn: conn, f: newFramer(conn)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		conn.Close() //nolint:errcheck // nothing was sent
		return nil, errLeft
	}
	r.all[s] = struct{}{}
	return s, nil
}

// give puts a stream back that is between requests; broken: it is not.
func (s *stream) give(broken bool) {
	r := s.r
	r.mu.Lock()
	if broken || r.closed {
		delete(r.all, s)
		s.conn.Close() //nolint:errcheck // the daemon discards what was open
	} else {
		s.since = time.Now()
		r.idle = append(r.idle, s)
		if r.timer == nil {
			r.timer = time.AfterFunc(idleStream, r.sweep)
		}
	}
	r.mu.Unlock()
	<-r.slots
}

// sweep ends streams that have been idle for too long, and sets the timer for the next.
func (r *Remote) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.idle) > 0 && time.Since(r.idle[0].since) >= idleStream {
		old := r.idle[0]
		r.idle = r.idle[1:]
		delete(r.all, old)
		old.conn.Close() //nolint:errcheck // nothing is open on it
	}
	r.timer = nil
	if len(r.idle) > 0 {
		r.timer = time.AfterFunc(idleStream-time.Since(r.idle[0].since), r.sweep)
	}
}

// answer sends what was written and reads one frame. broken: the stream is of no more use.
func (s *stream) answer() (kind byte, payload []byte, broken bool, err error) {
	if err = s.f.w.Flush(); err == nil {
		kind, payload, err = s.f.read()
	}
	if err != nil {
		return 0, nil, true, fmt.Errorf("the daemon's stream: %w", torn(err))
	}
	if kind == frameError {
		return kind, nil, false, remoteError(payload)
	}
	return kind, payload, false, nil
}

// ask makes one request with one answer, which f may look at.
func (r *Remote) ask(want byte, f func(payload []byte) error, kind byte, parts ...[]byte) error {
	s, err := r.take()
	if err != nil {
		return err
	}
	if err := s.f.write(kind, parts...); err != nil {
		s.give(true)
		return fmt.Errorf("the daemon's stream: %w", err)
	}
	got, payload, broken, err := s.answer()
	if err == nil && got != want {
		broken, err = true, errOrder
	}
	if err == nil && f != nil {
		err = f(payload)
	}
	s.give(broken)
	return err
}

// Create implements Runs.
func (r *Remote) Create() RunSink { return &remoteRun{r: r} }

// remoteRun is a run that is being written. Its first blocks wait for company, so that a
// small run keeps no stream while it is made.
type remoteRun struct {
	r     *Remote
	s     *stream // nil: not opened yet, or over
	early [][]byte
	bytes int
	id    uint64 // once sealed
	err   error
}

const earlyBytes = 64 << 10

// WriteBlock implements run.BlockSink.
func (w *remoteRun) WriteBlock(b []byte) error {
	if w.s == nil && w.err == nil && w.bytes+len(b) <= earlyBytes {
		w.early = append(w.early, append([]byte(nil), b...))
		w.bytes += len(b)
		return nil
	}
	if err := w.begin(); err != nil {
		return err
	}
	return w.send(frameBlock, b)
}

// begin opens the stream and sends what has waited.
func (w *remoteRun) begin() error {
	if w.s != nil || w.err != nil {
		return w.err
	}
	if w.s, w.err = w.r.take(); w.err != nil {
		return w.err
	}
	w.send(frameCreate, nil) //nolint:errcheck // kept in w.err
	for _, b := range w.early {
		w.send(frameBlock, b) //nolint:errcheck // likewise
	}
	w.early = nil
	return w.err
}

func (w *remoteRun) send(kind byte, b []byte) error {
	if w.err == nil {
		if w.err = w.s.f.write(kind, b); w.err != nil {
			w.end(true)
		}
	}
	return w.err
}

func (w *remoteRun) end(broken bool) {
	if w.s != nil {
		w.s.give(broken)
		w.s = nil
	}
}

// Seal implements RunSink.
func (w *remoteRun) Seal(ctx context.Context) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := w.begin(); err != nil {
		return 0, err
	}
	if err := w.send(frameSeal, nil); err != nil {
		return 0, err
	}
	kind, payload, broken, err := w.s.answer()
	if err == nil && (kind != frameOK || len(payload) != 8) {
		broken, err = true, errOrder
	}
	w.end(broken)
	if w.err = err; err != nil {
		return 0, err
	}
	w.id = binary.BigEndian.Uint64(payload)
	return w.id, nil
}

// Discard implements RunSink.
func (w *remoteRun) Discard() {
	if w.id != 0 {
		id := binary.BigEndian.AppendUint64(nil, w.id)
		w.r.ask(frameOK, nil, frameDrop, id) //nolint:errcheck // the daemon drops it when the worker is gone, at the latest
		w.id = 0
	}
	if w.s != nil {
		broken := w.s.f.write(frameDiscard) != nil
		if !broken {
			_, _, broken, _ = w.s.answer()
		}
		w.end(broken)
	}
	w.early = nil
	if w.err == nil {
		w.err = errors.New("the run was discarded")
	}
}

// Open implements Runs.
func (r *Remote) Open(id uint64) (RunSource, error) { return r.open(id, 0) }

// OpenSealed implements Runs.
func (r *Remote) OpenSealed(id uint64) (RunSource, error) { return r.open(id, 1) }

func (r *Remote) open(id uint64, sealed byte) (RunSource, error) {
	src := &remoteSource{r: r, name: append(binary.BigEndian.AppendUint64(nil, id), sealed)}
	err := r.ask(frameOK, func(p []byte) error {
		if len(p) != 4 {
			return errOrder
		}
		src.blobs = int(binary.BigEndian.Uint32(p))
		return nil
	}, frameRun, src.name)
	return src, err
}

// remoteSource reads a run block by block.
type remoteSource struct {
	r     *Remote
	name  []byte
	blobs int
}

func (s *remoteSource) Blobs() int { return s.blobs }
func (s *remoteSource) Close()     {}

// ReadBlock implements run.BlockSource.
func (s *remoteSource) ReadBlock(i int, dst []byte) ([]byte, error) {
	err := s.r.ask(frameBlock, func(p []byte) error {
		dst = append(dst[:0], p...)
		return nil
	}, frameGet, s.name, binary.BigEndian.AppendUint32(nil, uint32(i)))
	return dst, err
}

// Create implements Parts.
func (p remoteParts) Create(a plan.Attempt, path string) (PartFile, error) {
	s, err := p.r.take()
	if err != nil {
		return nil, err
	}
	err = s.f.write(framePart, binary.BigEndian.AppendUint64(nil, uint64(a)), []byte(path))
	broken := err != nil
	if err == nil {
		_, _, broken, err = s.answer()
	}
	if err != nil {
		s.give(broken)
		return nil, err
	}
	return &remotePart{s: s}, nil
}

// Link implements Parts.
func (p remoteParts) Link(a plan.Attempt, from, path string, want mr.Digest) (n int64, ok bool) {
	head := binary.BigEndian.AppendUint64(nil, uint64(a))
	head = append(head, want[:]...)
	head = binary.BigEndian.AppendUint32(head, uint32(len(from)))
	err := p.r.ask(frameOK, func(b []byte) error {
		if len(b) == 9 {
			ok, n = b[0] == 1, int64(binary.BigEndian.Uint64(b[1:]))
		}
		return nil
	}, frameLink, head, []byte(from), []byte(path))
	return n, ok && err == nil
}

// Parts are the part files in the daemon's file system.
func (r *Remote) Parts() Parts { return remoteParts{r} }

type remoteParts struct{ r *Remote }

// remotePart is a part file that is being written.
type remotePart struct {
	s   *stream // nil once it is over
	err error
}

func (p *remotePart) Write(b []byte) (int, error) {
	if p.s == nil && p.err == nil {
		p.err = os.ErrClosed
	}
	if p.err != nil {
		return 0, p.err
	}
	if p.err = p.s.f.write(frameBlock, b); p.err != nil {
		p.end(true)
		return 0, p.err
	}
	return len(b), nil
}

func (p *remotePart) end(broken bool) {
	if p.s != nil {
		p.s.give(broken)
		p.s = nil
	}
}

// Seal implements PartFile.
func (p *remotePart) Seal() error {
	if p.err != nil || p.s == nil {
		return errors.Join(os.ErrClosed, p.err)
	}
	broken := false
	if p.err = p.s.f.write(frameSeal); p.err != nil {
		broken = true
	} else {
		_, _, broken, p.err = p.s.answer()
	}
	p.end(broken)
	return p.err
}

// Discard implements PartFile. When it returns the part is gone, so that the attempt can begin another one
// of the same name. A sealed part of an attempt that failed is swept by the daemon with its folder.
func (p *remotePart) Discard() {
	if p.s == nil {
		return
	}
	broken := p.s.f.write(frameDiscard) != nil
	if !broken {
		_, _, broken, _ = p.s.answer()
	}
	p.end(broken)
}

// halfFetched matches the names of job binaries that are being fetched, and of nothing that may be in the bin of somebody else.
const halfFetched = ".mr-fetch-*"

// Fetch brings a job binary into the folder dir, under its digest, unless it is there.
func (r *Remote) Fetch(dir string, digest mr.Digest) (path string, err error) {
	path = filepath.Join(dir, digest.String())
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the folder of job binaries: %w", err)
	}
	tmp, err := os.CreateTemp(dir, halfFetched)
	if err != nil {
		return "", fmt.Errorf("fetching a job binary: %w", err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone if it was renamed
	h := sha256.New()
	err = r.fetch(io.MultiWriter(tmp, h), digest)
	err = errors.Join(err, tmp.Chmod(0o500), tmp.Sync(), tmp.Close())
	var got mr.Digest
	if h.Sum(got[:0]); err == nil && got != digest {
		err = fmt.Errorf("it came as %s", got.Short())
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("fetching job binary %s: %w", digest.Short(), err)
	}
	return path, nil
}

func (r *Remote) fetch(w io.Writer, digest mr.Digest) error {
	s, err := r.take()
	if err != nil {
		return err
	}
	if err := s.f.write(frameFetch, digest[:]); err != nil {
		s.give(true)
		return err
	}
	for {
		kind, payload, broken, err := s.answer()
		switch {
		case err != nil:
		case kind == frameOK:
			s.give(false)
			return nil
		case kind == frameBlock:
			_, err = w.Write(payload)
			broken = err != nil
		default:
			broken, err = true, errOrder
		}
		if err != nil {
			s.give(broken)
			return err
		}
	}
}
