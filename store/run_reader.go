package store

import (
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/mrd-io/mr/internal/failpoint"
)

// RunReader reads one run. It keeps the run readable, also when the run is deleted
// and collected meanwhile. Its methods must not be called concurrently.
type RunReader struct {
	s   *Store
	id  RunID
	rec record  // Invariant: its data is a copy
	vol *volume // nil: inline, or closed
	key []byte
	pg  pages

	last bool   // see LastRead
	read extent // of a run that is read for the last time: not given up yet
}

// OpenRun opens a committed run. It is ErrNoRun if there is no record of it, and
// ErrDamaged if its volume can't be read.
func (s *Store) OpenRun(id RunID) (*RunReader, error) {
	if err := failpoint.Hit("store/run-opened"); err != nil { // a disk that loses what it was given
		return nil, fmt.Errorf("store: run %s: %w: %w", id, ErrDamaged, err)
	}
	var before uint32
	for {
		rec, err := s.runRecord(id)
		if err != nil {
			return nil, err
		}
		r := &RunReader{s: s, id: id, rec: rec}
		if rec.inline() {
			return r, nil
		}
		if r.vol, err = s.acquire(rec.volume); err == nil {
			return r, nil
		}
		// GC may have moved the run since its record was read.
		if rec.volume == before {
			return nil, fmt.Errorf("store: run %s: %w", id, err)
		}
		before = rec.volume
	}
}

// OpenSealed opens a sealed run for whoever has made it, before it is decided whether it is
// committed. It stays readable, whatever is decided.
func (s *Store) OpenSealed(id RunID) (*RunReader, error) {
	rec, err := s.sealed(id)
	if err != nil {
		return nil, err
	}
	r := &RunReader{s: s, id: id, rec: rec}
	if rec.inline() {
		r.rec.data = slices.Clone(rec.data)
		return r, nil
	}
	if r.vol, err = s.acquire(rec.volume); err != nil {
		return nil, fmt.Errorf("store: run %s: %w", id, err)
	}
	return r, nil
}

func (s *Store) runRecord(id RunID) (rec record, err error) {
	err = s.View(func(tx *Tx) error {
		v := tx.Get(Runs, id.key())
		if v == nil {
			return fmt.Errorf("store: run %s: %w", id, ErrNoRun)
		}
		if rec, err = parseRecord(v); err != nil {
			return fmt.Errorf("store: run %s: %w: %w", id, ErrDamaged, err)
		}
		rec.data = slices.Clone(rec.data)
		return nil
	})
	return rec, err
}

// Blobs returns the number of blocks.
func (r *RunReader) Blobs() int { return int(r.rec.blobs) }

// Bytes returns the bytes of all blocks.
func (r *RunReader) Bytes() int64 { return int64(r.rec.bytes) }

// ReadBlock returns block i, in dst's memory if that is large enough; what dst held
// is overwritten. Damage is ErrDamaged where store can see it: the bytes of a block
// are its writer's to verify.
func (r *RunReader) ReadBlock(i int, dst []byte) ([]byte, error) {
	if i < 0 || i >= r.Blobs() {
		return nil, fmt.Errorf("store: run %s has %d blocks and not number %d", r.id, r.rec.blobs, i)
	}
	if r.rec.inline() {
		from := uint64(0)
		for _, n := range r.rec.sizes[:i] {
			from += uint64(n)
		}
		return append(dst[:0], r.rec.data[from:from+uint64(r.rec.sizes[i])]...), nil
	}
	if r.vol == nil {
		return nil, fmt.Errorf("store: run %s: read after Close", r.id)
	}
	r.key = blobKey(r.key[:0], r.rec.place, uint32(i))
	b, at, err := r.vol.readBlob(&r.pg, r.key, int64(r.rec.bytes), dst)
	if r.last && err == nil {
		r.pass(at)
	}
	if err != nil {
		if errors.Is(err, ErrDamaged) {
			r.s.retire(r.vol)
		}
		return nil, fmt.Errorf("store: run %s, block %d: %w", r.id, i, err)
	}
	return b, nil
}

// LastRead says that what is read from now on will hardly be read again: its place in the
// system's cache is given to others.
func (r *RunReader) LastRead() { r.last = true }

// passAtOnce is how much is given up at a time: the cache keeps pieces that are given up in part.
const passAtOnce = 8 << 20

// pass gives up what was read, piece by piece.
func (r *RunReader) pass(at extent) {
	end := r.read.off + int64(r.read.size)
	near := at.off >= end && at.off-end < 64<<10 // what lies between is the volume's own
	if r.read.size > 0 && near && r.read.size < passAtOnce {
		r.read.size = int(at.off + int64(at.size) - r.read.off)
		return
	}
	if r.read.size > 0 {
		r.vol.bf.uncache(r.read)
	}
	r.read = at
}

// Close releases the run. It may be called again.
func (r *RunReader) Close() {
	if r.vol != nil {
		if r.read.size > 0 {
			r.vol.bf.uncache(r.read)
		}
		r.s.releaseQuietly(r.vol)
		r.vol = nil
	}
}

// readBlob reads the value of key into dst, and says where it lies. No value may be longer
// than limit.
func (v *volume) readBlob(p *pages, key []byte, limit int64, dst []byte) (out []byte, at extent, err error) {
	err = guard(func() error {
		b, err := v.begin(false)
		if err != nil {
			return err
		}
		// Until b ends, bbolt uses none of the pages it can see for anything else.
		defer b.Rollback() //nolint:errcheck // read only
		out, at, err = v.readIn(b, p, key, limit, dst)
		return err
	})
	if err == nil {
		return out, at, nil
	}
	if isDamage(err) || errors.Is(err, ErrDamaged) {
		return nil, at, fmt.Errorf("%w: volume %s: %w", ErrDamaged, volumeName(v.number), err)
	}
	return nil, at, fmt.Errorf("volume %s: %w", v.path, err)
}

func (v *volume) readIn(b *bolt.Tx, p *pages, key []byte, limit int64, dst []byte) (out []byte, e extent, err error) {
	bucket := b.Bucket(blobsBucket())
	if bucket == nil {
		return nil, e, fmt.Errorf("%w: no blobs", errBadPage)
	}
	root := uint64(bucket.Root())
	if root == 0 { // so little that bbolt keeps it inside the root page
		val := bucket.Get(key)
		if val == nil || int64(len(val)) > limit {
			return nil, e, fmt.Errorf("%w: block not found", errBadPage)
		}
		return append(dst[:0], val...), e, nil
	}
	p.r, p.pageSize, p.highWater = v.bf.f, v.bf.db.Info().PageSize, uint64(b.Size())/uint64(v.bf.db.Info().PageSize)
	e, ok, err := p.find(root, key)
	if err != nil {
		return nil, e, err
	}
	if !ok || int64(e.size) > limit {
		return nil, e, fmt.Errorf("%w: block not found", errBadPage)
	}
	if cap(dst) < e.size {
		dst = make([]byte, e.size)
	}
	dst = dst[:e.size]
	return dst, e, p.readAt(dst, e.off)
}
