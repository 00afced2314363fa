package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	volumes, _, err := s.Layout()
	if err != nil {
		s.o.Logger.Warn("collecting with bad records in the catalog", "store", s.dir, "err", err)
	}
	for _, n := range slices.Sorted(maps.Keys(volumes)) {
		if err := ctx.Err(); err != nil {
			return freed, fmt.Errorf("store: collect: %w", context.Cause(ctx))
		}
		f := volumes[n]
		if f.Live > 0 && (f.Stuck || !f.Full || f.Live >= f.Bytes/4) {
			continue
		}
		got, err := s.collect(ctx, n, f.Full)
		freed += got
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// collect empties volume n and unlinks it, unless somebody is about to write to it, or a run in it can't be read.
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
		err := s.move(ctx, id, live[id])
		if errors.Is(err, errUnmoved) {
			s.o.Logger.Warn("a damaged volume is left as it is while runs on record are in it", "volume", v.path, "err", err)
			s.mu.Lock()
			v.stuck = true
			s.mu.Unlock()
			return keep(nil)
		}
		if err != nil {
			return keep(fmt.Errorf("store: collect volume %s: %w", v.path, err))
		}
	}
	return s.unlink(v)
}

// errUnmoved is in the error about a run that can't be read, and so not be moved.
var errUnmoved = errors.New("it cannot be moved")

// move copies a run into another volume and then changes its record, if that still
// says what rec does.
func (s *Store) move(ctx context.Context, id RunID, rec record) error {
	r, err := s.OpenRun(id)
	if errors.Is(err, ErrNoRun) {
		return nil
	}
	if err != nil {
		return unmoved(err)
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
			return unmoved(err)
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
			return fmt.Errorf("%w: run %s: %w: it has %d bytes in %d blocks and not %d in %d", errUnmoved, id, ErrDamaged, copied.bytes, copied.blobs, rec.bytes, rec.blobs)
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

func unmoved(err error) error {
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", errUnmoved, err)
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
