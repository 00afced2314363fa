package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Stats describe what a store holds.
type Stats struct {
	Runs         int   // on record
	InlineRuns   int   // of them, in the catalog
	RunBytes     int64 // of the runs on record
	CatalogBytes int64 // of catalog.db and its copies, on disk
	VolumeBytes  int64 // in use in the volumes, garbage included
	Volumes      []VolumeStats
}

// VolumeStats describe one volume.
type VolumeStats struct {
	Number uint32
	Path   string
	Bytes  int64 // in use, garbage included
	Live   int64 // of runs on record
	Runs   int
}

// Stats counts. It reads every run's record; bad ones are logged and left out.
func (s *Store) Stats() Stats {
	var st Stats
	byVolume := make(map[uint32]*VolumeStats)
	s.mu.Lock()
	for n, v := range s.volumes {
		byVolume[n] = &VolumeStats{Number: n, Path: v.path, Bytes: v.size}
	}
	s.mu.Unlock()
	err := s.eachRun(func(id RunID, r record) error {
		st.Runs++
		st.RunBytes += int64(r.bytes)
		if r.inline() {
			st.InlineRuns++
		} else if v := byVolume[r.volume]; v != nil {
			v.Live += int64(r.bytes)
			v.Runs++
		}
		return nil
	})
	if err != nil {
		s.o.Logger.Warn("store statistics are incomplete", "store", s.dir, "err", err)
	}
	for _, v := range byVolume {
		st.Volumes = append(st.Volumes, *v)
		st.VolumeBytes += v.Bytes
	}
	slices.SortFunc(st.Volumes, func(a, b VolumeStats) int { return cmp.Compare(a.Number, b.Number) })
	st.CatalogBytes = s.CatalogBytes()
	return st
}

// eachRun calls fn with every run on record that can be read, until fn fails. It
// returns fn's error, or the bad records as one error.
func (s *Store) eachRun(fn func(id RunID, r record) error) error {
	var bad []error
	err := s.View(func(tx *Tx) error {
		return tx.Scan(Runs, nil, func(k, v []byte) error {
			id, err := parseRunKey(k)
			if err != nil {
				bad = append(bad, err)
				return nil
			}
			r, err := parseRecord(v)
			if err != nil {
				bad = append(bad, fmt.Errorf("store: run %s: %w: %w", id, ErrDamaged, err))
				return nil
			}
			return fn(id, r)
		})
	})
	if err != nil {
		return err
	}
	return errors.Join(bad...)
}
