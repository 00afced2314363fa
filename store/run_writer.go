package store

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/mrd-io/mr/internal/failpoint"
)

const chunkSize = 1 << 20 // bytes handed to a lane at once

type runState uint8

const (
	runOpen runState = iota
	runSealed
	runDiscarded
	runCommitted
)

// pending is a run between CreateRun and its commit.
type pending struct {
	s  *Store
	id RunID
	// Guarded by Store.mu.
	state  runState
	err    error   // the first failure to write it; it can't be sealed then
	vol    *volume // set by its lane with the first chunk; holds a pin and a reference
	record record  // what CommitRun will write; set by Seal
}

func (p *pending) fail(err error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *pending) failure() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.err == nil && p.state == runDiscarded {
		return errDiscarded
	}
	return p.err
}

var errDiscarded = errors.New("store: the run was discarded")

// RunWriter writes one run. Its methods must not be called concurrently.
type RunWriter struct {
	p      *pending
	lane   *lane // chosen when the run outgrows InlineLimit
	buf    []byte
	ends   []int // of the blobs in buf
	handed uint32
	bytes  uint64
	closed bool
	moving bool // a copy that GC makes: it waits for no room
}

// CreateRun begins a run. Discard must be called if it is not committed.
func (s *Store) CreateRun() *RunWriter {
	w := &RunWriter{p: &pending{s: s}}
	n := s.nextRun.Add(1)
	if s.o.ReadOnly {
		w.p.err = ErrReadOnly
		return w
	}
	if n == math.MaxUint32 {
		panic("store: run ids of this epoch are used up")
	}
	w.p.id = RunID(s.epoch<<32 | uint64(n))
	s.mu.Lock()
	s.pending[w.p.id] = w.p
	s.mu.Unlock()
	return w
}

// ID returns the run's id, which is decided before the first block.
func (w *RunWriter) ID() RunID { return w.p.id }

// WriteBlock appends a block; b may be used again when it returns. It waits when
// the disk is behind.
func (w *RunWriter) WriteBlock(b []byte) error {
	if w.closed {
		return errors.New("store: WriteBlock after Seal or Discard")
	}
	if err := w.p.failure(); err != nil {
		return err
	}
	if len(b) > math.MaxInt32 || uint64(w.handed)+uint64(len(w.ends)) >= math.MaxUint32 {
		return fmt.Errorf("store: block of %d bytes, number %d, is too much for one run", len(b), uint64(w.handed)+uint64(len(w.ends)))
	}
	if w.lane != nil && len(w.buf) > 0 && len(w.buf)+len(b) > chunkSize {
		if err := w.flush(nil); err != nil {
			return err
		}
	}
	if w.lane == nil && len(w.buf)+len(b) > w.p.s.o.InlineLimit {
		w.lane = w.p.s.pickLane()
		w.buf = append(w.p.s.getBuffer(len(w.buf)+len(b)), w.buf...)
	} else if w.lane != nil && w.buf == nil {
		w.buf = w.p.s.getBuffer(len(b))
	}
	w.buf = append(w.buf, b...)
	w.ends = append(w.ends, len(w.buf))
	w.bytes += uint64(len(b))
	if w.lane != nil && len(w.buf) >= chunkSize {
		return w.flush(nil)
	}
	return nil
}

func (s *Store) pickLane() *lane {
	best := s.lanes[0]
	least := best.waiting()
	start := int(s.nextRun.Load())
	for i := range s.lanes {
		l := s.lanes[(start+i)%len(s.lanes)]
		if n := l.waiting(); n < least || i == 0 {
			best, least = l, n
		}
	}
	return best
}

// flush hands the gathered blobs to the lane.
func (w *RunWriter) flush(done chan error) error {
	if !w.moving {
		w.p.s.waitForRoom()
	}
	c := &chunk{run: w.p, first: w.handed, buf: w.buf, done: done, blobs: make([][]byte, len(w.ends))}
	from := 0
	for i, end := range w.ends {
		c.blobs[i] = w.buf[from:end:end]
		from = end
	}
	w.handed += uint32(len(w.ends))
	w.buf, w.ends = nil, w.ends[:0]
	return w.lane.push(c)
}

// Seal ends the run. When it returns, the bytes are durable in a volume, or, if they
// are few, held in memory for CommitRun to write. If it fails the run can only be discarded.
func (w *RunWriter) Seal(ctx context.Context) (RunID, error) {
	if w.closed {
		return 0, errors.New("store: Seal after Seal or Discard")
	}
	w.closed = true
	if err := w.p.failure(); err != nil {
		return 0, err
	}
	r := record{blobs: w.handed + uint32(len(w.ends)), bytes: w.bytes}
	if w.lane == nil {
		r.data = w.buf
		from := 0
		for _, end := range w.ends {
			r.sizes = append(r.sizes, uint32(end-from))
			from = end
		}
		w.buf = nil
	} else {
		done := make(chan error, 1)
		if err := w.flush(done); err != nil {
			return 0, err
		}
		select {
		case err := <-done:
			if err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("store: seal: %w", context.Cause(ctx))
		}
	}
	s := w.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.p.state != runOpen {
		return 0, errDiscarded
	}
	if w.p.vol != nil {
		r.volume, r.place = w.p.vol.number, w.p.id
	}
	w.p.record, w.p.state = r, runSealed
	return w.p.id, failpoint.Hit("store/run-sealed")
}

// Discard gives the run up, unless it was committed. It may be called at any time,
// and again.
func (w *RunWriter) Discard() {
	w.closed = true
	s := w.p.s
	s.mu.Lock()
	v := w.p.end(runDiscarded)
	s.mu.Unlock()
	if v != nil {
		s.releaseQuietly(v)
	}
	w.buf = nil
}

// DropRun gives up a sealed run that nobody will commit: what an attempt made whose
// result came too late. It has no effect on a run that is committed or unknown.
func (s *Store) DropRun(id RunID) {
	s.mu.Lock()
	var v *volume
	if p := s.pending[id]; p != nil && p.state == runSealed {
		v = p.end(runDiscarded)
	}
	s.mu.Unlock()
	if v != nil {
		s.releaseQuietly(v)
	}
}

// end moves p out of the pending runs, and returns the volume to release, if any.
// The caller holds Store.mu.
func (p *pending) end(state runState) *volume {
	if p.state == runCommitted || p.state == runDiscarded {
		return nil
	}
	p.state = state
	p.record.data, p.record.sizes = nil, nil
	delete(p.s.pending, p.id)
	v := p.vol
	if v != nil {
		v.pins--
		p.vol = nil
	}
	return v
}

func (s *Store) releaseQuietly(v *volume) {
	if err := s.release(v); err != nil {
		s.o.Logger.Warn("closing a volume", "volume", v.path, "err", err)
	}
}

// sealed returns the record of a run that waits for its commit.
func (s *Store) sealed(id RunID) (record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[id]
	if p == nil || p.state != runSealed {
		return record{}, fmt.Errorf("store: run %s is not sealed, or was discarded or committed: %w", id, ErrNoRun)
	}
	return p.record, nil
}

// getBuffer returns an empty buffer with room for n bytes, if it can one of the usual
// size that has been used before.
func (s *Store) getBuffer(n int) []byte {
	if n > chunkSize {
		return make([]byte, 0, n)
	}
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, chunkSize)
}

func (s *Store) putBuffer(b []byte) {
	if cap(b) == chunkSize {
		s.buffers.Put(&b)
	}
}

// committed ends a pending run whose record is durable now. The caller holds Store.mu
// and releases the volume returned, if any.
func (s *Store) committed(id RunID) *volume {
	if p := s.pending[id]; p != nil {
		return p.end(runCommitted)
	}
	return nil
}
