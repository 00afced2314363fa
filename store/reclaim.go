package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// VolumeOf returns the number of the volume that holds a run, 0 if the catalog does.
func (s *Store) VolumeOf(id RunID) (uint32, error) {
	r, err := s.runRecord(id)
	return r.volume, err
}

// DiskBytes returns what the store takes: catalog and volumes, garbage included. It is
// cheap, and does not count what volumes have been grown by ahead of their use.
func (s *Store) DiskBytes() int64 {
	var n int64
	s.mu.Lock()
	for _, v := range s.volumes {
		n += v.size
	}
	s.mu.Unlock()
	if info, err := os.Stat(s.catalogPath()); err == nil {
		n += info.Size()
	}
	return n
}

// Footprint is what one volume takes, and for what.
type Footprint struct {
	Bytes int64 // in use, garbage included
	Live  int64 // of runs on record
	Busy  bool  // runs are being written to it: it can't be collected now
}

// Worth reports whether collecting the volume is worth the bytes to be moved. What is not
// live is not all garbage: bbolt's own pages are among it.
func (f Footprint) Worth() bool { return !f.Busy && f.Bytes >= 64<<10 && f.Live <= f.Bytes/8*5 }

// Layout returns the volumes with what they hold, and the volume of each run on record.
func (s *Store) Layout() (map[uint32]Footprint, map[RunID]uint32, error) {
	volumes, runs := map[uint32]Footprint{}, map[RunID]uint32{}
	s.mu.Lock()
	for n, v := range s.volumes {
		volumes[n] = Footprint{Bytes: v.size, Busy: v.pins > 0}
	}
	s.mu.Unlock()
	err := s.eachRun(func(id RunID, r record) error {
		runs[id] = r.volume
		if f, ok := volumes[r.volume]; ok {
			f.Live += int64(r.bytes)
			volumes[r.volume] = f
		}
		return nil
	})
	return volumes, runs, err
}

// Reclaim collects volumes, those with the least to move first, until the store takes at
// most that many bytes or none is worth it. Like GC it may run beside everything else.
// Volumes that can't be read are passed over.
func (s *Store) Reclaim(ctx context.Context, most int64) (freed int64, err error) {
	if s.o.ReadOnly {
		return 0, ErrReadOnly
	}
	s.gcing.Lock()
	defer s.gcing.Unlock()
	volumes, _, err := s.Layout()
	if err != nil {
		s.o.Logger.Warn("collecting with bad records in the catalog", "store", s.dir, "err", err)
	}
	order := make([]uint32, 0, len(volumes))
	for n, f := range volumes {
		if f.Worth() {
			order = append(order, n)
		}
	}
	slices.SortFunc(order, func(a, b uint32) int {
		x, y := volumes[a], volumes[b]
		return cmp.Or(cmp.Compare(x.Live*y.Bytes, y.Live*x.Bytes), cmp.Compare(a, b))
	})
	for _, n := range order {
		if volumes[n].Live > 0 && s.DiskBytes() <= most {
			break
		}
		if err := ctx.Err(); err != nil {
			return freed, fmt.Errorf("store: reclaim: %w", context.Cause(ctx))
		}
		got, err := s.collect(ctx, n, true)
		freed += got
		switch {
		case errors.Is(err, ErrDamaged):
			s.o.Logger.Warn("a damaged volume is left as it is", "store", s.dir, "err", err)
		case err != nil:
			return freed, err
		}
	}
	return freed, nil
}
