package engine

import (
	"errors"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
)

// Of a file that has grown what is remembered is what its last version, or another that a job on record has
// read, comes to. Nothing goes while a job is being planned.
func TestPruneDropsOldStamps(t *testing.T) {
	e, s, now := pruning(t, Options{})
	const size, versions = 1 << 20, 3
	rangeOf := func(path string, version int64) input.Split {
		return input.Split{Pieces: []input.Piece{{Path: path, Off: 0, Len: size, Stamp: input.Stamp{Ino: 7, Size: size + version, Mtime: 1 + version}}}}
	}
	small := input.Split{Pieces: []input.Piece{{Path: "/small", Len: -1, Stamp: input.Stamp{Ino: 8, Size: 10}}}}
	format := mr.Format{Kind: mr.Fixed, N: 16}
	stays := map[mr.Digest]bool{}
	err := s.Update(func(tx *store.Tx) error {
		remember := func(split input.Split, on bool) error {
			key, cuts := split.StampKey(format, 0), split.CutsKey(format, 0)
			stays[key], stays[cuts] = on, on
			err := errors.Join(lineage.PutStamp(tx, key, mr.Digest{1}, 0), lineage.PutCuts(tx, cuts, []int64{5}))
			if place, ok := fastPlace(split, format); ok {
				stays[place] = stays[place] || on
				err = errors.Join(err, lineage.PutFast(tx, place, [16]byte{1}, mr.Digest{1}))
			}
			return err
		}
		for v := range int64(versions) {
			if err := remember(rangeOf("/log", v), v == versions-1); err != nil {
				return err
			}
		}
		for v := range int64(2 * stampBatch) {
			if err := remember(rangeOf("/gone", versions+v), false); err != nil {
				return err
			}
		}
		if err := remember(small, true); err != nil {
			return err
		}
		plan, err := lineage.PutPlan(tx, input.AppendSplits(nil, []input.Split{rangeOf("/log", versions-1), small}))
		r := &record{ID: newJobID(now), State: mr.Succeeded, Submitted: now, Ended: now, Plan: plan, Spec: mr.Spec{InputFormat: format, Chunking: input.Content.String()}}
		planning := &record{ID: "job_planning", State: mr.Pending, Submitted: now}
		return errors.Join(err, putJob(tx, r), putJob(tx, planning))
	})
	if err != nil {
		t.Fatal(err)
	}
	left := func() (n int) {
		err := s.View(func(tx *store.Tx) error {
			return tx.Scan(store.Stamps, nil, func(_, _ []byte) error { n++; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	e.prune(t.Context())
	if n := left(); n != len(stays) {
		t.Errorf("while a job is planned, %d of %d records stay", n, len(stays))
	}
	if err := s.Update(func(tx *store.Tx) error { return tx.Delete(store.Jobs, []byte("job_planning")) }); err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	want := 0
	err = s.View(func(tx *store.Tx) error {
		for key, on := range stays {
			if on {
				want++
			}
			if (tx.Get(store.Stamps, key[:]) != nil) != on {
				t.Errorf("record %s: on record %v", key.Short(), !on)
			}
		}
		return nil
	})
	if n := left(); n != want || err != nil {
		t.Errorf("%d records are left, and were to be %d; %v", n, want, err)
	}
}
