package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

const maxComplaints = 20

// Check verifies the whole store: the structure of the catalog and of each volume, every
// run's record, and that all its blocks are there with the right sizes, in one place. It
// does not read the blocks: their checksums are their writer's.
func (s *Store) Check(ctx context.Context) error {
	s.gcing.Lock()
	defer s.gcing.Unlock()
	if err := s.checkBolt(s.catalog.Load()); err != nil {
		return s.catalogDamaged(err)
	}
	var bad []error
	runs := make(map[uint32]map[RunID]placed) // by volume and place
	err := s.eachRun(func(id RunID, r record) error {
		for _, n := range []RunID{id, r.place} {
			if epoch := uint64(n) >> 32; !(r.inline() && n == 0) && (epoch == 0 || epoch > s.epoch) {
				bad = append(bad, fmt.Errorf("run %s: %s is of no epoch up to %d", id, n, s.epoch))
			}
		}
		if r.inline() {
			return nil
		}
		if runs[r.volume] == nil {
			runs[r.volume] = make(map[RunID]placed)
		}
		if other, ok := runs[r.volume][r.place]; ok {
			bad = append(bad, fmt.Errorf("runs %s and %s share place %s of volume %d", id, other.id, r.place, r.volume))
		}
		runs[r.volume][r.place] = placed{id: id, rec: r}
		return nil
	})
	if err != nil {
		bad = append(bad, err)
	}
	s.mu.Lock()
	for n := range s.volumes {
		if runs[n] == nil {
			runs[n] = nil
		}
	}
	s.mu.Unlock()
	for n, expected := range runs {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store: check: %w", context.Cause(ctx))
		}
		if err := s.checkVolume(n, expected); err != nil {
			bad = append(bad, err)
		}
		if len(bad) > maxComplaints {
			break
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("store %s: %w: %w", s.dir, ErrDamaged, errors.Join(bad[:min(len(bad), maxComplaints)]...))
	}
	return nil
}

// placed is a run with its record.
type placed struct {
	id  RunID
	rec record
}

// checkVolume verifies volume n and that it holds the runs expected, by their places.
func (s *Store) checkVolume(n uint32, expected map[RunID]placed) error {
	v, err := s.acquire(n)
	if err != nil {
		return err
	}
	defer s.releaseQuietly(v)
	if err := s.checkBolt(v.bf); err != nil {
		return fmt.Errorf("volume %s: %w", v.path, err)
	}
	type tally struct {
		blobs uint32
		bytes uint64
	}
	found := make(map[RunID]tally)
	return guard(func() error {
		return v.bf.db.View(func(b *bolt.Tx) error {
			c := b.Bucket(blobsBucket()).Cursor()
			for k, val := c.First(); k != nil; k, val = c.Next() {
				if len(k) != 12 {
					return fmt.Errorf("volume %s: key of %d bytes", v.path, len(k))
				}
				place := RunID(binary.BigEndian.Uint64(k))
				t := found[place]
				if blob := binary.BigEndian.Uint32(k[8:]); blob != t.blobs && expected[place].id != 0 {
					return fmt.Errorf("volume %s: run %s lacks block %d", v.path, expected[place].id, t.blobs)
				}
				found[place] = tally{t.blobs + 1, t.bytes + uint64(len(val))}
			}
			for place, p := range expected {
				if t := found[place]; t.blobs != p.rec.blobs || t.bytes != p.rec.bytes {
					return fmt.Errorf("volume %s: run %s has %d blocks of %d bytes together, and its record says %d of %d", v.path, p.id, t.blobs, t.bytes, p.rec.blobs, p.rec.bytes)
				}
			}
			return nil
		})
	})
}

// checkBolt verifies a bbolt file: first with page.go, which nothing can upset, then
// with bbolt's own check, which also knows the free pages.
func (s *Store) checkBolt(bf *boltFile) error {
	return guard(func() error {
		// bbolt's check must not run beside a writer: a write transaction keeps others out.
		b, err := bf.db.Begin(!bf.db.IsReadOnly())
		if err != nil {
			return err
		}
		defer b.Rollback() //nolint:errcheck // read only
		if err := walkFile(bf.f); err != nil {
			return err
		}
		var bad []error
		for err := range b.Check() {
			if len(bad) < maxComplaints {
				bad = append(bad, err)
			}
		}
		return errors.Join(bad...)
	})
}
