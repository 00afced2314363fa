package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// Desk is the daemon's end of the streams of one joined worker.
type Desk struct {
	o DeskOptions

	mu     sync.Mutex
	sealed []sealedRun // the latest, for Close and for drops
	closed bool
}

// DeskOptions wire a Desk to the daemon.
type DeskOptions struct {
	Runs   Runs
	Binary func(mr.Digest) (io.ReadCloser, error) // finds a job binary

	// Holds reports whether an attempt is on the books, with this part file, and, if from is
	// not empty, with that one to link from.
	Holds func(a plan.Attempt, part, from string) bool
}

type sealedRun struct {
	id   uint64
	sink RunSink
}

// keepSealed is how many sealed runs a Desk remembers: more than a worker can have without
// having told of them.
const keepSealed = 4096

// NewDesk makes a Desk.
func NewDesk(o DeskOptions) *Desk { return &Desk{o: o} }

// Close drops the runs that the worker has sealed, as far as they were not committed. It
// is called when all that the worker has answered is on record or dropped.
func (d *Desk) Close() {
	d.mu.Lock()
	all := d.sealed
	d.sealed, d.closed = nil, true
	d.mu.Unlock()
	for _, s := range all {
		s.sink.Discard() // no effect on what was committed
	}
}

func (d *Desk) addSealed(id uint64, sink RunSink) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errFenced
	}
	if len(d.sealed) >= keepSealed {
		d.sealed = append(d.sealed[:0:0], d.sealed[keepSealed/2:]...)
	}
	d.sealed = append(d.sealed, sealedRun{id, sink})
	return nil
}

func (d *Desk) hasSealed(id uint64) (sink RunSink) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sealed {
		if s.id == id {
			sink = s.sink
		}
	}
	return sink
}

// Serve answers a stream until it ends, which is no error, or breaks.
func (d *Desk) Serve(conn io.ReadWriter) error {
	s := &deskStream{d: d, f: newFramer(conn)}
	defer s.drop()
	for {
		kind, payload, err := s.f.read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a worker's stream: %w", err)
		}
		if err := s.frame(kind, payload); err != nil {
			return fmt.Errorf("answering a worker's stream: %w", err)
		}
	}
}

// deskStream is one stream. At most one of run and part is open.
type deskStream struct {
	d    *Desk
	f    *framer
	run  RunSink
	part PartFile
	err  error // of what is open: told when it is sealed
	buf  []byte
}

var errOrder = errors.New("a frame out of order")

// frame does what a frame asks for. Its error ends the stream.
func (s *deskStream) frame(kind byte, p []byte) error {
	open := s.run != nil || s.part != nil
	switch kind {
	case frameBlock:
		if !open {
			return errOrder
		}
		s.write(p)
		return nil
	case frameSeal, frameDiscard:
		if !open {
			return errOrder
		}
		if kind == frameSeal {
			return s.seal()
		}
		s.drop()
		return s.ok(nil)
	}
	if open {
		return errOrder
	}
	switch {
	case kind == frameCreate:
		s.run = s.d.o.Runs.Create()
		return nil
	case kind == framePart && len(p) > 8:
		return s.create(plan.Attempt(binary.BigEndian.Uint64(p)), string(p[8:]))
	case kind == frameDrop && len(p) == 8:
		if sink := s.d.hasSealed(binary.BigEndian.Uint64(p)); sink != nil {
			sink.Discard()
		}
		return s.ok(nil)
	case kind == frameRun && len(p) == 9:
		return s.openRun(binary.BigEndian.Uint64(p), p[8] == 1)
	case kind == frameGet && len(p) == 13:
		return s.get(binary.BigEndian.Uint64(p), p[8] == 1, int(binary.BigEndian.Uint32(p[9:])))
	case kind == frameLink && len(p) > 44:
		return s.link(p)
	case kind == frameFetch && len(p) == len(mr.Digest{}):
		return s.fetch(mr.Digest(p))
	}
	return errOrder
}

func (s *deskStream) ok(payload []byte) error {
	if err := s.f.write(frameOK, payload); err != nil {
		return err
	}
	return s.f.w.Flush()
}

func (s *deskStream) refuse(err error) error {
	if err := s.f.write(frameError, errorFrame(err)); err != nil {
		return err
	}
	return s.f.w.Flush()
}

// write appends to what is open. After an error the rest is swallowed.
func (s *deskStream) write(p []byte) {
	switch {
	case s.err != nil:
	case s.run != nil:
		s.err = s.run.WriteBlock(p)
	default:
		_, s.err = s.part.Write(p)
	}
}

// drop discards what is open.
func (s *deskStream) drop() {
	if s.run != nil {
		s.run.Discard()
	}
	if s.part != nil {
		s.part.Discard()
	}
	s.run, s.part, s.err = nil, nil, nil
}

func (s *deskStream) seal() error {
	var id uint64
	err := s.err
	switch {
	case err != nil:
	case s.run != nil:
		if id, err = s.run.Seal(context.Background()); err == nil {
			err = s.d.addSealed(id, s.run)
		}
	default:
		err = s.part.Seal()
	}
	if err != nil {
		s.drop()
		return s.refuse(err)
	}
	s.run, s.part = nil, nil
	return s.ok(binary.BigEndian.AppendUint64(nil, id))
}

// create makes a part file for an attempt that is on the books.
func (s *deskStream) create(a plan.Attempt, path string) error {
	if !s.d.o.Holds(a, path, "") {
		return s.refuse(errFenced)
	}
	f, err := localParts{}.Create(a, path)
	if err != nil {
		return s.refuse(err)
	}
	if !s.holdsStill(a, path) {
		f.Discard()
		return s.refuse(errFenced)
	}
	s.part = f
	return s.ok(nil)
}

// holdsStill reports whether an attempt is on the books also after its part was made: what a commit has
// cleaned up in between is not to come back.
func (s *deskStream) holdsStill(a plan.Attempt, path string) bool {
	if s.d.o.Holds(a, path, "") {
		return true
	}
	os.Remove(path)                             //nolint:errcheck // it may not be there
	os.Remove(filepath.Dir(path))               //nolint:errcheck // only if nothing is in it
	os.Remove(filepath.Dir(filepath.Dir(path))) //nolint:errcheck // likewise
	return false
}

func (s *deskStream) link(p []byte) error {
	a, want := plan.Attempt(binary.BigEndian.Uint64(p)), mr.Digest(p[8:40])
	n := int(binary.BigEndian.Uint32(p[40:]))
	if p = p[44:]; n > len(p) {
		return errOrder
	}
	from, path := string(p[:n]), string(p[n:])
	if !s.d.o.Holds(a, path, from) {
		return s.refuse(errFenced)
	}
	size, ok := localParts{}.Link(a, from, path, want)
	if !s.holdsStill(a, path) {
		return s.refuse(errFenced)
	}
	answer := []byte{0}
	if ok {
		answer[0] = 1
	}
	return s.ok(binary.BigEndian.AppendUint64(answer, uint64(size)))
}

// source opens a run that is committed, or that this worker has sealed.
func (s *deskStream) source(id uint64, sealed bool) (RunSource, error) {
	if !sealed {
		return s.d.o.Runs.Open(id)
	}
	if s.d.hasSealed(id) == nil {
		return nil, fmt.Errorf("run %d was not sealed by this worker", id)
	}
	return s.d.o.Runs.OpenSealed(id)
}

func (s *deskStream) openRun(id uint64, sealed bool) error {
	src, err := s.source(id, sealed)
	if err != nil {
		return s.refuse(err)
	}
	defer src.Close()
	return s.ok(binary.BigEndian.AppendUint32(nil, uint32(src.Blobs())))
}

func (s *deskStream) get(id uint64, sealed bool, i int) error {
	src, err := s.source(id, sealed)
	if err != nil {
		return s.refuse(err)
	}
	defer src.Close()
	if i >= src.Blobs() {
		return s.refuse(fmt.Errorf("run %d has no block %d", id, i))
	}
	if s.buf, err = src.ReadBlock(i, s.buf); err != nil {
		return s.refuse(err)
	}
	if err := s.f.write(frameBlock, s.buf); err != nil {
		return err
	}
	if cap(s.buf) > 4*frameStep { // one of a huge record is not kept for the next
		s.buf = nil
	}
	return s.f.w.Flush()
}

func (s *deskStream) fetch(digest mr.Digest) error {
	r, err := s.d.o.Binary(digest)
	if err != nil {
		return s.refuse(err)
	}
	defer r.Close() //nolint:errcheck // read only
	buf := make([]byte, frameStep)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := s.f.write(frameBlock, buf[:n]); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return s.ok(nil)
		default:
			return s.refuse(err)
		}
	}
}
