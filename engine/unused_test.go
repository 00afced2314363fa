package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// pruning is an engine that runs on an empty store, and the time by its clock.
func pruning(t *testing.T, o Options) (*Engine, *store.Store, time.Time) {
	t.Helper()
	return pruningIn(t, t.TempDir(), o)
}

// pruningIn is pruning with the store in a folder.
func pruningIn(t *testing.T, dir string, o Options) (*Engine, *store.Store, time.Time) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	b, err := now.MarshalBinary()
	if err == nil { // so that only the test prunes
		err = s.Update(func(tx *store.Tx) error { return tx.Put(store.Meta, []byte(prunedKey), b) })
	}
	if err != nil {
		t.Fatal(err)
	}
	if o.Store = s; o.Now == nil {
		o.Now = func() time.Time { return now }
	}
	e := New(o)
	ran := make(chan error)
	go func() { ran <- e.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		e.Drain()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		s.Close() //nolint:errcheck // the test is over
	})
	return e, s, now
}

// smallRun makes a run that fits in the catalog.
func smallRun(t *testing.T, s *store.Store) uint64 {
	t.Helper()
	w := s.CreateRun()
	if err := w.WriteBlock([]byte("a part")); err != nil {
		t.Fatal(err)
	}
	id, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uint64(id)
}

// A bound that the catalog alone exceeds does not cost the small outputs in it, which would bring no room;
// nodes go, and all do where somebody asks for that.
func TestEvictionLeavesSmallOutputs(t *testing.T) {
	e, s, now := pruning(t, Options{})
	err := s.Update(func(tx *store.Tx) error {
		for _, kind := range []plan.Kind{plan.Map, plan.Reduce, plan.Merge} {
			o := &lineage.Output{Key: mr.Digest{byte(kind)}, Kind: kind, Made: plan.Made{Run: smallRun(t, s)}, Created: now}
			if err := errors.Join(tx.CommitRun(store.RunID(o.Made.Run)), lineage.PutOutput(tx, o)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for small, want := range map[bool]int{false: 1, true: 3} {
		if vs, short, err := e.victims(t.Context(), 1, small); len(vs) != want || short == 0 || err != nil {
			t.Errorf("with small outputs %v: %d would go, want %d, and %d bytes be missing; %v", small, len(vs), want, short, err)
		}
	}
}

// Of jobs with many tasks the oldest go, however young they are.
func TestPruneBoundsTasks(t *testing.T) {
	for bound, stay := range map[int64]int{1000 * catalogShare * taskBytes: 25, 1: pruneLeast} {
		e, s, now := pruning(t, Options{CacheSize: bound})
		var ids []mr.JobID
		err := s.Update(func(tx *store.Tx) error {
			for i := range 2 * pruneLeast {
				at := now.Add(time.Duration(i-1000) * time.Second)
				r := &record{ID: newJobID(at), State: mr.Succeeded, Submitted: at, Ended: at}
				r.Map.Tasks, r.Reduce.Tasks = 30, 10 // 25 jobs have 1,000
				ids = append(ids, r.ID)
				if err := putJob(tx, r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := e.prune(t.Context()); n != len(ids)-stay {
			t.Errorf("bound %d: %d of %d jobs went, and %d were to stay", bound, n, len(ids), stay)
		}
		err = s.View(func(tx *store.Tx) error {
			for i, id := range ids {
				if there := tx.Get(store.Jobs, []byte(id)) != nil; there != (i >= len(ids)-stay) {
					t.Errorf("bound %d: job %d of %d: on record %v", bound, i, len(ids), there)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What nobody refers to goes, and what somebody does stays: stages, verdicts on them, slots. Small
// outputs that nobody has wanted for long are given up.
func TestPruneDropsWhatIsUnused(t *testing.T) {
	e, s, now := pruning(t, Options{})
	const young, old, ofJob, ofNone = 1, 2, 3, 4 // stages, and the outputs of the first two
	runs := [...]uint64{young: smallRun(t, s), old: smallRun(t, s)}
	r := &record{ID: newJobID(now), State: mr.Succeeded, Submitted: now, Ended: now, MapStage: mr.Digest{ofJob}, Plan: mr.Digest{1}}
	slots := map[mr.Digest]bool{} // those that are to stay
	err := s.Update(func(tx *store.Tx) error {
		for id, age := range map[byte]time.Duration{young: pruneAfter / 2, old: 2 * pruneAfter} {
			if err := tx.CommitRun(store.RunID(runs[id])); err != nil {
				return err
			}
			o := &lineage.Output{Key: mr.Digest{id}, Kind: plan.Map, Stage: mr.Digest{id}, Made: plan.Made{Run: runs[id]}, Created: now.Add(-age)}
			if err := lineage.PutOutput(tx, o); err != nil {
				return err
			}
		}
		for id := range byte(ofNone) {
			stage := mr.Digest{id + 1}
			if err := lineage.PutStage(tx, plan.Stage{Digest: stage}); err != nil {
				return err
			}
			if err := tx.Put(store.Meta, verdictKey(stage), []byte{byte(deterministic)}); err != nil {
				return err
			}
		}
		for i, c := range []struct {
			keys  []byte
			job   mr.JobID
			stays bool
		}{
			{keys: []byte{young}, stays: true}, {keys: []byte{9, young}, stays: true}, {keys: []byte{9, 8}},
			{job: r.ID, stays: true}, {job: newJobID(now.Add(-time.Hour))},
		} {
			slot := mr.Digest{1, byte(i)}
			slots[slot] = c.stays
			for j, k := range c.keys {
				if err := lineage.PutSlot(tx, slot, mr.Digest{byte(j)}, mr.Digest{k}); err != nil {
					return err
				}
			}
			if c.job != "" {
				if err := tx.Put(store.Slots, slot[:], []byte(c.job)); err != nil {
					return err
				}
			}
		}
		return putJob(tx, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	err = s.View(func(tx *store.Tx) error {
		for id, stays := range map[byte]bool{young: true, old: true, ofJob: true, ofNone: false} {
			stage := mr.Digest{id}
			if (tx.Get(store.Stages, stage[:]) != nil) != stays || (verdictOf(tx, stage) == deterministic) != stays {
				t.Errorf("stage %d and its verdict: on record %v, %v", id, !stays, verdictOf(tx, stage))
			}
		}
		for slot, stays := range slots {
			if (tx.Get(store.Slots, slot[:]) != nil) != stays {
				t.Errorf("slot %d: on record %v", slot[1], !stays)
			}
		}
		for id, run := range map[byte]uint64{young: runs[young], old: 0} {
			if o, err := lineage.GetOutput(tx, mr.Digest{id}); err != nil || o == nil || o.Made.Run != run {
				t.Errorf("output %d: %+v, %v", id, o, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The record of a part that is not stored stays while jobs install it from the outputs that they replace.
func TestPruneLeavesWhatIsUsed(t *testing.T) {
	e, s, now := pruning(t, Options{})
	const linked, left = 1, 2
	err := s.Update(func(tx *store.Tx) error {
		for id, used := range map[byte]time.Time{linked: now.Add(-time.Hour), left: now.Add(-3 * pruneAfter)} {
			o := &lineage.Output{Key: mr.Digest{id}, Kind: plan.Reduce, Stage: mr.Digest{id}, Created: now.Add(-3 * pruneAfter), Uses: 1, Used: used}
			if err := lineage.PutOutput(tx, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	err = s.View(func(tx *store.Tx) error {
		for id, stays := range map[byte]bool{linked: true, left: false} {
			if o, err := lineage.GetOutput(tx, mr.Digest{id}); err != nil || (o != nil) != stays {
				t.Errorf("part %d: %+v, %v", id, o, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The run of an output whose record is damaged is nobody's, and goes; what a job under way stands on stays.
func TestPruneDropsRunsOfNoOutput(t *testing.T) {
	e, s, now := pruning(t, Options{})
	const sound, damaged, inUse = 0, 1, 2
	var runs []uint64
	for range 3 {
		runs = append(runs, smallRun(t, s))
	}
	err := s.Update(func(tx *store.Tx) error {
		for i, run := range runs {
			o := &lineage.Output{Key: mr.Digest{byte(i)}, Kind: plan.Map, Made: plan.Made{Run: run}, Created: now}
			if err := errors.Join(tx.CommitRun(store.RunID(run)), lineage.PutOutput(tx, o)); err != nil {
				return err
			}
			if i != sound {
				if err := tx.Put(store.Outputs, o.Key[:], []byte("no record")); err != nil {
					return err
				}
			}
		}
		return nil
	})
	j := &job{rec: record{ID: newJobID(now)}, maps: []taskInfo{{Task: lineage.Task{Made: plan.Made{Run: runs[inUse]}}}}}
	err = errors.Join(err, e.request(t.Context(), func(l *loop) { l.jobs[j.rec.ID] = j }))
	if err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	err = e.request(t.Context(), func(l *loop) { delete(l.jobs, j.rec.ID) })
	err = errors.Join(err, s.View(func(tx *store.Tx) error {
		for i, run := range runs {
			if there := tx.HasRun(store.RunID(run)); there != (i != damaged) {
				t.Errorf("run %d is on record: %v", i, there)
			}
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
}

// Outputs of a volume that is gone go as small ones do, when nobody has wanted them for long.
func TestPruneDropsOutputsOfMissingVolumes(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := s.CreateRun()
	if err := w.WriteBlock(make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	id, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := &lineage.Output{Key: mr.Digest{1}, Kind: plan.Map, Made: plan.Made{Run: uint64(id)}, Created: time.Now().Add(-2 * pruneAfter)}
	err = s.Update(func(tx *store.Tx) error { return errors.Join(tx.CommitRun(id), lineage.PutOutput(tx, o)) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []bool{false, true} {
		t.Run(map[bool]string{false: "there", true: "gone"}[gone], func(t *testing.T) {
			if gone {
				if err := os.RemoveAll(filepath.Join(dir, "volumes")); err != nil {
					t.Fatal(err)
				}
			}
			e, s, _ := pruningIn(t, dir, Options{})
			e.prune(t.Context())
			err := s.View(func(tx *store.Tx) error {
				if tx.HasRun(id) == gone {
					t.Errorf("on record: %v", gone)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A record of a job that has ended and can't be read does not stop the store's upkeep, and goes when it is
// old. One of a pin is a pin.
func TestUnreadableRecordsStopNoUpkeep(t *testing.T) {
	e, s, now := pruning(t, Options{})
	old, young := newJobID(now.Add(-2*pruneAfter)), newJobID(now)
	sound := &record{ID: newJobID(now), State: mr.Succeeded, Submitted: now, Ended: now}
	pinned := &record{ID: newJobID(now.Add(-3 * pruneAfter)), State: mr.Succeeded, Ended: now.Add(-3 * pruneAfter)}
	unused := mr.Digest{1}
	err := s.Update(func(tx *store.Tx) error {
		for _, id := range []mr.JobID{old, young} {
			if err := tx.Put(store.Jobs, []byte(id), []byte(`{"State":"SUCCEEDED"`)); err != nil {
				return err
			}
		}
		return errors.Join(putJob(tx, sound), putJob(tx, pinned), lineage.PutStage(tx, plan.Stage{Digest: unused}),
			tx.Put(store.Meta, []byte(pinPrefix+string(pinned.ID)), []byte("{")))
	})
	if err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	if _, err := e.CacheVerify(t.Context()); err != nil {
		t.Errorf("verifying: %v", err)
	}
	if _, err := e.CacheInvalidate(t.Context(), string(sound.ID)); err != nil {
		t.Errorf("invalidating: %v", err)
	}
	if _, _, err := e.victims(t.Context(), 0, true); err != nil {
		t.Errorf("evicting: %v", err)
	}
	if _, err := (Catalog{s}).List(t.Context(), true); mr.KindOf(err) != mr.Damaged {
		t.Errorf("a list of all: %v", err)
	}
	err = s.View(func(tx *store.Tx) error {
		for id, stays := range map[mr.JobID]bool{old: false, young: true, sound.ID: true, pinned.ID: true} {
			if there := tx.Get(store.Jobs, []byte(id)) != nil; there != stays {
				t.Errorf("job %s: on record %v", id, there)
			}
		}
		if tx.Get(store.Stages, unused[:]) != nil {
			t.Error("what is unused stays")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
