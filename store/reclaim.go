package store

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/mrd-io/mr/internal/failpoint"
)

// VolumeOf returns the number of the volume that holds a run, 0 if the catalog does.
func (s *Store) VolumeOf(id RunID) (uint32, error) {
	r, err := s.runRecord(id)
	return r.volume, err
}

// DiskBytes returns what the store takes: catalog, its copies and volumes, garbage included. It is
// cheap, and does not count what volumes have been grown by ahead of their use.
func (s *Store) DiskBytes() int64 {
	var n int64
	s.mu.Lock()
	for _, v := range s.volumes {
		n += v.size
	}
	s.mu.Unlock()
	return n + s.CatalogBytes()
}

// CatalogBytes returns what the catalog takes of that, with its snapshot and what Restore has set aside.
func (s *Store) CatalogBytes() (n int64) {
	for _, name := range s.files {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			n += allocated(info)
		}
	}
	return n
}

// allocated is what a file takes on disk: bbolt grows files ahead of their use.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), st.Blocks*512)
	}
	return info.Size()
}

// Footprint is what one volume takes, and for what.
type Footprint struct {
	Bytes int64 // in use, garbage included
	Live  int64 // of runs on record
	Full  bool  // no further run goes there
	Busy  bool  // runs are being written to it: it can't be collected now
	Stuck bool  // it is damaged: it can't be collected while a run is live in it
}

// A volume has pages beside those of its live runs even without garbage: a commit writes the
// last leaf again, with up to four blocks.
const leafSlack = 288 << 10

// Gain is how many bytes collecting the volume gives back, 0 if it is not worth what has
// to be moved: at least a quarter of it must be gained.
func (f Footprint) Gain() int64 {
	gain := f.Bytes
	if f.Live > 0 {
		gain -= f.Live + leafSlack
	}
	if f.Busy || f.Stuck && f.Live > 0 || f.Bytes < 64<<10 || gain < f.Bytes/4 {
		return 0
	}
	return gain
}

// Layout returns the volumes with what they hold, and the volume of each run on record.
func (s *Store) Layout() (map[uint32]Footprint, map[RunID]uint32, error) {
	volumes, runs := map[uint32]Footprint{}, map[RunID]uint32{}
	s.mu.Lock()
	for n, v := range s.volumes {
		volumes[n] = Footprint{Bytes: v.size, Full: v.retired || v.size >= s.o.VolumeCap, Busy: v.pins > 0, Stuck: v.stuck}
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
// most that many bytes or none is worth it, and returns the bytes gained. Like GC it may run beside everything else.
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
		if f.Gain() > 0 {
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
		if err := failpoint.Hit("store/reclaim-chosen"); err != nil {
			return freed, fmt.Errorf("store: reclaim: %w", err)
		}
		got, err := s.collect(ctx, n, true)
		if got > 0 {
			freed += max(got-volumes[n].Live, 0)
		}
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}
