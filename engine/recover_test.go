package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
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
	"github.com/mrd-io/mr/run"
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
	var made []plan.Made
	for i := range splits {
		made = append(made, runOf(t, s, fmt.Sprint("word", i)))
	}
	err := s.Update(func(tx *store.Tx) (err error) {
		if r.Plan, err = lineage.PutPlan(tx, input.AppendSplits(nil, splits)); err != nil {
			return err
		}
		for i, m := range made {
			if err := lineage.PutTask(tx, r.ID, plan.Map, i, &lineage.Task{State: lineage.TaskDone, Key: mr.Digest{byte(i)}, Made: m}); err != nil {
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

// runOf makes a run of one record.
func runOf(t *testing.T, s *store.Store, key string) (m plan.Made) {
	t.Helper()
	sink := s.CreateRun()
	w := run.NewWriter(sink, run.Options{})
	err := w.Record([]byte(key), nil)
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	id, err := sink.Seal(t.Context())
	if err == nil {
		err = s.Update(func(tx *store.Tx) error { return tx.CommitRun(id) })
	}
	if err == nil {
		m.Run, m.Records = uint64(id), 1
		_, m.Digest, err = blocksOf(s, m.Run)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Damage to what is on record of a job under way costs time: a task of it runs again, or it is planned anew, as is
// what another version has planned.
func TestDamageToAJobUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		change func(tx *store.Tx, r *record) error
		done   []bool
	}{
		"none": {func(*store.Tx, *record) error { return nil }, []bool{true, true, true}},
		"a task": {func(tx *store.Tx, r *record) error {
			key := append([]byte(r.ID), '/', byte(plan.Map), 0, 0, 0, 1)
			b := append([]byte{}, tx.Get(store.Tasks, key)...)
			b[len(b)/2] ^= 1
			return tx.Put(store.Tasks, key, b)
		}, []bool{true, false, true}},
		"the plan": {func(tx *store.Tx, r *record) error {
			return tx.Put(store.Plans, r.Plan[:], []byte("no plan"))
		}, nil},
		"no plan": {func(tx *store.Tx, r *record) error { return tx.Delete(store.Plans, r.Plan[:]) }, nil},
		"another version": {func(tx *store.Tx, r *record) error {
			r.MapStage[0] ^= 1
			return putJob(tx, r)
		}, nil},
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
			anew := false
			for _, ev := range l.queue {
				switch ev := ev.(type) {
				case evAdd:
					anew = !ev.resumed
				case evPlanned:
					for _, p := range ev.maps {
						done = append(done, p.done)
					}
				case evPlanFailed:
					t.Errorf("it fails with %q", ev.err)
				}
			}
			if !slices.Equal(done, c.done) || anew != (c.done == nil) {
				t.Errorf("map tasks are done: %v, want %v; it is planned anew: %v", done, c.done, anew)
			}
			tasks := 0
			err = errors.Join(l.persist(nil), s.View(func(tx *store.Tx) error {
				if r, err = getJob(tx, r.ID); err != nil {
					return err
				}
				return eachTask(tx, r.ID, func(taskID, *lineage.Task) error { tasks++; return nil })
			}))
			if err != nil || anew != (tasks == 0) || anew != r.Plan.IsZero() {
				t.Errorf("planned anew: %v; %d tasks are on record, and the plan %s; %v", anew, tasks, r.Plan.Short(), err)
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

// A volume that can't be read for now doesn't keep the engine from starting. The job whose map outputs are in it goes
// on when it can be read again, and fails if that takes long.
func TestUnreadableVolume(t *testing.T) {
	t.Run("for a moment", func(t *testing.T) {
		s, r, mend := unreadable(t)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		e, ran := New(Options{Store: s}), make(chan error, 1)
		go func() { ran <- e.Run(ctx) }()
		status, err := e.Status(ctx, r.ID)
		for ; err == nil && status.Phase != "shuffle"; status, err = e.Wait(ctx, r.ID, status.Version) {
		}
		err = errors.Join(err, mend())
		for ; err == nil && status.Phase == "shuffle"; status, err = e.Wait(ctx, r.ID, status.Version) {
		}
		e.Drain()
		if err := errors.Join(err, <-ran); err != nil || status.Phase != "reduce" {
			t.Errorf("the job is %s (%s), in phase %s; %v", status.State, status.Error, status.Phase, err)
		}
	})
	t.Run("for long", func(t *testing.T) {
		s, r, _ := unreadable(t)
		if end := goesOn(t, s, r.ID); end.State != mr.FailedJob || !strings.Contains(end.Error, "reading the index") {
			t.Errorf("the job is %s (%s)", end.State, end.Error)
		}
	})
}

// unreadable puts a job on record whose volume can't be read before it is mended.
func unreadable(t *testing.T) (s *store.Store, r *record, mend func() error) {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{InlineLimit: -1})
	if err != nil {
		t.Fatal(err)
	}
	r = underWay(t, s)
	r.Cut = true
	err = errors.Join(s.Update(func(tx *store.Tx) error { return putJob(tx, r) }), s.Close())
	volumes, _ := filepath.Glob(filepath.Join(dir, "volumes", "*"))
	for _, path := range volumes { // links to themselves
		err = errors.Join(err, os.Rename(path, path+".away"), os.Symlink(path, path))
	}
	if err != nil || len(volumes) == 0 {
		t.Fatal(volumes, err)
	}
	if s, err = store.Open(dir, store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the test is over
	return s, r, func() (err error) {
		for _, path := range volumes {
			err = errors.Join(err, os.Rename(path+".away", path))
		}
		return err
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

// Parts of another version are published if all are there. This one adds none: it would be of other stages.
func TestPartsOfAnotherVersion(t *testing.T) {
	for name, there := range map[string]bool{"all are there": true, "one is missing": false} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.TempDir(), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the test is over
			r := underWay(t, s)
			r.Phase, r.Cut = "commit", true
			l := &New(Options{Store: s}).loop
			j := &job{rec: *r}
			_, err = l.resumeMaps(j)
			cut, err2 := l.e.shuffle(&j.rec, j.mapped())
			if err := errors.Join(err, err2); err != nil || len(cut.tasks) != 1 {
				t.Fatal(cut, err)
			}
			r.Ranges = []rangeRecord{rangeRecord(cut.ranges[0])}
			r.MapStage[0] ^= 1
			err = s.Update(func(tx *store.Tx) error {
				part := &lineage.Task{State: lineage.TaskDone, Key: cut.tasks[0].Key, Attempt: 7, Made: plan.Made{Raw: 4}}
				return errors.Join(lineage.PutTask(tx, r.ID, plan.Reduce, 0, part), putJob(tx, r))
			})
			if there {
				err = errors.Join(err, os.MkdirAll(stagingDir(r), 0o700), os.WriteFile(partPath(r, 0, 7), []byte("a\t1\n"), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			end := goesOn(t, s, r.ID)
			_, err = os.Stat(filepath.Join(r.Spec.Output, "part-r-00000"))
			if there && (end.State != mr.Succeeded || err != nil) || !there && (end.State != mr.FailedJob || !strings.Contains(end.Error, "another version")) {
				t.Errorf("the job is %s (%s); its part: %v", end.State, end.Error, err)
			}
		})
	}
}

// What of a job is counted again at its barrier leaves out no attempt that is still being stopped.
func TestRecountedAttempts(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	l := &New(Options{Store: s}).loop
	j := &job{rec: record{ID: "job"}, maps: make([]taskInfo, 1)}
	l.adopt(j)
	f := &flight{task: taskID{"job", plan.Map, 0}, work: plan.Work{Attempt: 1}}
	l.attempts[1] = f
	j.rec.Map.Running++
	l.recount(j)
	if l.drop(f); j.rec.Map.Running != 0 {
		t.Errorf("%d attempts are running", j.rec.Map.Running)
	}
}
