package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// underWay puts a job with three map tasks, which are done, on record.
func underWay(t *testing.T, s *store.Store) *record {
	t.Helper()
	splits := make([]input.Split, 3)
	for i := range splits {
		splits[i].Pieces = []input.Piece{{Path: "/in", Off: int64(i), Len: 1}}
	}
	r := &record{
		ID: newJobID(time.Now()), State: mr.Running, Phase: "map", Maps: len(splits), Format: "text", MadeOutput: true,
		Spec: mr.Spec{Job: "j", Args: []string{"word"}, Output: t.TempDir() + "/out"}, Traits: mr.Traits{Job: "j", Version: "1", Reduce: true},
	}
	stages := stagesOf(r)
	r.MapStage, r.ReduceStage = stages[plan.Map].Digest, stages[plan.Reduce].Digest
	var runs []uint64
	for range splits {
		runs = append(runs, smallRun(t, s))
	}
	err := s.Update(func(tx *store.Tx) (err error) {
		if r.Plan, err = lineage.PutPlan(tx, input.AppendSplits(nil, splits)); err != nil {
			return err
		}
		for i, run := range runs {
			if err := tx.CommitRun(store.RunID(run)); err != nil {
				return err
			}
			if err := lineage.PutTask(tx, r.ID, plan.Map, i, &lineage.Task{State: lineage.TaskDone, Key: mr.Digest{byte(i)}, Made: plan.Made{Run: run}}); err != nil {
				return err
			}
		}
		return putJob(tx, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Damage to what is on record of a job under way costs no more than that job: a task of it runs again, or it
// fails and says why. And what was planned by another version goes on with that or not at all.
func TestDamageToAJobUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(tx *store.Tx, r *record) error
		done   []bool
		failed string
	}{
		"none": {func(*store.Tx, *record) error { return nil }, []bool{true, true, true}, ""},
		"a task": {func(tx *store.Tx, r *record) error {
			key := append([]byte(r.ID), '/', byte(plan.Map), 0, 0, 0, 1)
			b := append([]byte{}, tx.Get(store.Tasks, key)...)
			b[len(b)/2] ^= 1
			return tx.Put(store.Tasks, key, b)
		}, []bool{true, false, true}, ""},
		"the plan": {func(tx *store.Tx, r *record) error {
			return tx.Put(store.Plans, r.Plan[:], []byte("no plan"))
		}, nil, "its plan"},
		"no plan": {func(tx *store.Tx, r *record) error { return tx.Delete(store.Plans, r.Plan[:]) }, nil, "its plan"},
		"another version": {func(tx *store.Tx, r *record) error {
			r.MapStage[0] ^= 1
			return putJob(tx, r)
		}, nil, "another version"},
		"another version's parts, all made": {func(tx *store.Tx, r *record) error {
			r.MapStage[0] ^= 1
			r.Phase = "commit"
			return putJob(tx, r)
		}, []bool{true, true, true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.TempDir(), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the test is over
			r := underWay(t, s)
			if err := s.Update(func(tx *store.Tx) error { return c.change(tx, r) }); err != nil {
				t.Fatal(err)
			}
			l := &New(Options{Store: s}).loop
			if err := l.recover(); err != nil {
				t.Fatal(err)
			}
			var done []bool
			failed := ""
			for _, ev := range l.queue {
				switch ev := ev.(type) {
				case evPlanned:
					for _, p := range ev.maps {
						done = append(done, p.done)
					}
				case evPlanFailed:
					failed = ev.err
				}
			}
			if !slices.Equal(done, c.done) || (failed == "") != (c.failed == "") || !strings.Contains(failed, c.failed) {
				t.Errorf("map tasks are done: %v, want %v; it fails with %q", done, c.done, failed)
			}
		})
	}
}

// A job goes on as it was submitted or not at all: one wrong bit of its record is found, wherever it is. A record
// of an earlier version has no checksum.
func TestEveryFlippedBitOfAJobIsFound(t *testing.T) {
	r := &record{ID: "job_x", State: mr.Running, Plan: mr.Digest{1}, MapStage: mr.Digest{2}, Spec: mr.Spec{Job: "grep", Args: []string{"foo", "\xff"}, Output: "/out"}}
	want, err := encodeJob(r)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(want) {
		b := slices.Clone(want)
		b[i/8] ^= 1 << (i % 8)
		got, err := openJob(b)
		if mr.KindOf(err) == mr.Damaged {
			continue
		}
		if again, err2 := encodeJob(cmp.Or(got, new(record))); err != nil || err2 != nil || !bytes.Equal(again, want) {
			t.Errorf("bit %d of byte %d, in %.20q: %s, %v", i%8, i/8, want[i/8:], again, err)
		}
	}
	old := append(want[:bytes.LastIndex(want, []byte(jobSum))], '}')
	if got, err := openJob(old); err != nil || got.Spec.Args[0] != "foo" {
		t.Errorf("of an earlier version: %+v, %v", got, err)
	}
}

// A volume that can't be read for now fails the job whose map outputs are in it. The engine starts.
func TestUnreadableVolumeEndsOneJob(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{InlineLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	r := underWay(t, s)
	r.Cut = true
	err = errors.Join(s.Update(func(tx *store.Tx) error { return putJob(tx, r) }), s.Close())
	volumes, _ := filepath.Glob(filepath.Join(dir, "volumes", "*"))
	for _, path := range volumes { // links to themselves
		err = errors.Join(err, os.Remove(path), os.Symlink(path, path))
	}
	if err != nil || len(volumes) == 0 {
		t.Fatal(volumes, err)
	}
	if s, err = store.Open(dir, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	if end := goesOn(t, s, r.ID); end.State != mr.FailedJob || !strings.Contains(end.Error, "reading the index") {
		t.Errorf("the job is %s (%s)", end.State, end.Error)
	}
}

// goesOn runs an engine until a job on record has ended.
func goesOn(t *testing.T, s *store.Store, id mr.JobID) (end mr.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	e, ran := New(Options{Store: s}), make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	var err error
	for err == nil && !end.State.Done() {
		end, err = e.Wait(ctx, id, end.Version)
	}
	e.Drain()
	if err := errors.Join(err, <-ran); err != nil {
		t.Fatal(err)
	}
	return end
}

// A job whose output is in place has succeeded, whatever has become of what it was made of.
func TestWhatIsPublishedStays(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	r := underWay(t, s)
	r.Phase, r.Cut, r.Reduce.Tasks = "commit", true, 1
	part := filepath.Join(r.Spec.Output, "part-r-00000")
	err = errors.Join(os.Mkdir(r.Spec.Output, 0o700), os.WriteFile(part, []byte("a\t1\n"), 0o600),
		publish(r, &Manifest{Job: r.ID}, nil, nil), // and then the daemon is killed
		s.Update(func(tx *store.Tx) error { return errors.Join(putJob(tx, r), tx.Delete(store.Plans, r.Plan[:])) }))
	if err != nil {
		t.Fatal(err)
	}
	end := goesOn(t, s, r.ID)
	if b, err := os.ReadFile(part); end.State != mr.Succeeded || string(b) != "a\t1\n" {
		t.Errorf("the job is %s (%s); its part: %q, %v", end.State, end.Error, b, err)
	}
}
