package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
)

// GC unlinks volumes without a live run, moves the live runs out of full volumes that
// are mostly garbage and unlinks those too, and returns the bytes freed. It may run
// beside everything else. Each step leaves the store whole: a copy without a
// record is garbage in its volume, and a volume is unlinked when no record names it.
func (s *Store) GC(ctx context.Context) (freed int64, err error) {
	if s.o.ReadOnly {
		return 0, ErrReadOnly
	}
	s.gcing.Lock()
	defer s.gcing.Unlock()
	for _, st := range s.Stats().Volumes {
		if err := ctx.Err(); err != nil {
			return freed, fmt.Errorf("store: collect: %w", context.Cause(ctx))
		}
		full := st.Bytes >= s.o.VolumeCap
		if st.Live > 0 && !(full && st.Live < st.Bytes/4) {
			continue
		}
		n, err := s.collect(ctx, st.Number, full)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// collect empties volume n and unlinks it, unless somebody is about to write to it.
func (s *Store) collect(ctx context.Context, n uint32, move bool) (freed int64, err error) {
	s.mu.Lock()
	v := s.volumes[n]
	if v == nil || v.pins > 0 {
		s.mu.Unlock()
		return 0, nil
	}
	was := v.retired
	v.retired = true // from here on no run is added, and all that are in it are on record or garbage
	v.refs++
	s.mu.Unlock()
	defer s.releaseQuietly(v)
	keep := func(err error) (int64, error) {
		s.mu.Lock()
		v.retired = was || v.distrusted
		s.mu.Unlock()
		return 0, err
	}
	live := make(map[RunID]record)
	err = s.eachRun(func(id RunID, r record) error {
		if r.volume == n {
			live[id] = r
		}
		return nil
	})
	if err != nil && (!errors.Is(err, errBadRecord) || errors.Is(err, errRecordVersion)) {
		return keep(err) // a record that can't be read for now might name this volume
	} // a damaged one might, too: its run is lost, wherever it is, and is no reason to collect nothing ever
	if len(live) > 0 && !move {
		return keep(nil)
	}
	ids := make([]RunID, 0, len(live))
	for id := range live {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if err := failpoint.Hit("store/gc-retired"); err != nil {
		return keep(fmt.Errorf("store: collect volume %s: %w", v.path, err))
	}
	for _, id := range ids {
		if err := s.move(ctx, id, live[id]); err != nil {
			return keep(fmt.Errorf("store: collect volume %s: %w", v.path, err))
		}
	}
	return s.unlink(v)
}

// move copies a run into another volume and then changes its record, if that still
// says what rec does.
func (s *Store) move(ctx context.Context, id RunID, rec record) error {
	r, err := s.OpenRun(id)
	if errors.Is(err, ErrNoRun) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	w := s.CreateRun()
	w.moving = true
	defer w.Discard()
	var block []byte
	for i := range r.Blobs() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if block, err = r.ReadBlock(i, block); err != nil {
			return err
		}
		if err := w.WriteBlock(block); err != nil {
			return err
		}
	}
	place, err := w.Seal(ctx)
	if err == nil {
		err = failpoint.Hit("store/gc-copied")
	}
	if err != nil {
		return err
	}
	err = s.Update(func(tx *Tx) error {
		copied, err := s.sealed(place)
		if err != nil {
			return err
		}
		if copied.blobs != rec.blobs || copied.bytes != rec.bytes {
			return fmt.Errorf("run %s: %w: it has %d bytes in %d blocks and not %d in %d", id, ErrDamaged, copied.bytes, copied.blobs, rec.bytes, rec.blobs)
		}
		now := tx.Get(Runs, id.key())
		if now == nil {
			return nil // deleted meanwhile
		}
		if string(now) != string(rec.append(nil)) {
			return fmt.Errorf("run %s changed while it was moved", id)
		}
		tx.runs = append(tx.runs, place)
		return tx.put(Runs, id.key(), copied.append(nil))
	})
	if err == nil {
		err = failpoint.Hit("store/gc-moved")
	}
	return err
}

// unlink removes a volume that no record names. Readers that have it open keep it.
func (s *Store) unlink(v *volume) (freed int64, err error) {
	if info, err := os.Stat(v.path); err == nil {
		freed = allocated(info)
	}
	if err := failpoint.Hit("store/gc-before-unlink"); err != nil {
		return 0, fmt.Errorf("store: collect volume %s: %w", v.path, err)
	}
	if err := s.inPlace(); err != nil {
		return 0, err
	}
	if err := os.Remove(v.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("store: collect volume %s: %w", v.path, err)
	}
	_ = failpoint.Hit("store/gc-unlinked") // a crash or a delay
	s.mu.Lock()
	delete(s.volumes, v.number)
	s.mu.Unlock()
	for _, l := range s.lanes {
		l.nudge()
	}
	s.releaseQuietly(v)
	if err := durable.SyncDir(filepath.Dir(v.path)); err != nil {
		return freed, fmt.Errorf("store: collect volume %s: %w", v.path, err)
	}
	return freed, nil
}
