package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr/store"
)

func deleteRuns(t testing.TB, s *store.Store, ids ...store.RunID) {
	t.Helper()
	err := s.Update(func(tx *store.Tx) error {
		for _, id := range ids {
			if err := tx.DeleteRun(id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func gc(t testing.TB, s *store.Store) int64 {
	t.Helper()
	n, err := s.GC(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func volumeFiles(t testing.TB, s *store.Store) int {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(s.Dir(), "volumes"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	const size = 150_000
	for _, c := range []struct {
		name    string
		cap     int64
		keep    int // of 10 runs
		volumes int // left
	}{
		{"nothing live, volume full", 1 << 20, 0, 0},
		{"nothing live, volume in use", 1 << 30, 0, 0},
		{"little live, volume full", 1 << 20, 1, 1},
		{"little live, volume in use", 1 << 30, 2, 1},
		{"all live", 2 << 20, 10, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := store.Options{VolumeCap: c.cap}
			s := open(t, dir, o)
			var ids []store.RunID
			for i := range 10 {
				ids = append(ids, seal(t, s, blocks(uint64(i), 1, size)))
			}
			commit(t, s, ids...)
			// Readers of all runs, those that are going to be deleted included.
			var readers []*store.RunReader
			for _, id := range ids {
				r, err := s.OpenRun(id)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				readers = append(readers, r)
			}
			deleteRuns(t, s, ids[c.keep:]...)
			before := s.Stats().VolumeBytes
			freed := gc(t, s)
			if c.keep == 10 && freed != 0 || c.keep == 0 && freed <= before/2 {
				t.Errorf("freed %d of %d", freed, before)
			}
			for i, r := range readers {
				b, err := r.ReadBlock(0, nil)
				if err != nil || string(b) != string(blocks(uint64(i), 1, size)[0]) {
					t.Errorf("an open reader of run %d: %v", i, err)
				}
			}
			if n := volumeFiles(t, s); c.keep == 0 && n != 0 || c.cap == 1<<20 && n > 2 {
				t.Errorf("%d volumes are left", n)
			}
			for i, id := range ids {
				err := readRun(s, id, blocks(uint64(i), 1, size))
				if i < c.keep && err != nil || i >= c.keep && !errors.Is(err, store.ErrNoRun) {
					t.Errorf("run %d: %v", i, err)
				}
			}
			data := blocks(77, 3, size)
			id := write(t, s, data)
			for _, r := range readers {
				r.Close()
			}
			closeStore(t, s)
			s = openUnchecked(t, dir, o)
			mustRead(t, s, id, data)
			for i, id := range ids[:c.keep] {
				mustRead(t, s, id, blocks(uint64(i), 1, size))
			}
		})
	}
}

func TestGarbageKeepsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), store.Options{VolumeCap: 1 << 20})
	data := blocks(1, 20, 200_000)
	w := s.CreateRun()
	defer w.Discard()
	for _, b := range data {
		if err := w.WriteBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	other := seal(t, s, data) // by now the first run's blocks are in some volume, most likely
	gc(t, s)
	id, err := w.Seal(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	gc(t, s)
	commit(t, s, id, other)
	gc(t, s)
	mustRead(t, s, id, data)
	mustRead(t, s, other, data)
}

// TestGarbageBeforeTheFirstWrite collects what an earlier process left, and then writes.
func TestGarbageBeforeTheFirstWrite(t *testing.T) {
	dir := t.TempDir()
	data := blocks(1, 2, 50_000)
	s := open(t, dir, store.Options{})
	id := write(t, s, data)
	deleteRuns(t, s, id)
	closeStore(t, s)
	s = openUnchecked(t, dir, store.Options{})
	if gc(t, s); volumeFiles(t, s) != 0 {
		t.Fatal("nothing was collected")
	}
	time.Sleep(10 * time.Millisecond) // lets the idle writers see it
	for range 4 {                     // one for each of them, at least
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		w := s.CreateRun()
		if err := w.WriteBlock(data[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Seal(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

// TestGarbageBesideEverything collects while runs are written, read and deleted.
func TestGarbageBesideEverything(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), store.Options{VolumeCap: 1 << 20})
	ctx, cancel := context.WithCancel(t.Context())
	var workers, collector sync.WaitGroup
	collector.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.GC(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for g := range 3 {
		workers.Go(func() {
			var mine []store.RunID
			var seeds []uint64
			for i := range 25 {
				seed := uint64(g*1000 + i)
				w := s.CreateRun()
				for _, b := range blocks(seed, 1+i%3, 60_000) {
					if err := w.WriteBlock(b); err != nil {
						t.Error(err)
					}
				}
				id, err := w.Seal(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Update(func(tx *store.Tx) error { return tx.CommitRun(id) }); err != nil {
					t.Error(err)
				}
				mine, seeds = append(mine, id), append(seeds, seed)
				for j, id := range mine {
					if err := readRun(s, id, blocks(seeds[j], 1+int(seeds[j]%1000)%3, 60_000)); err != nil {
						t.Error(err)
					}
				}
				if len(mine) > 3 {
					if err := s.Update(func(tx *store.Tx) error { return tx.DeleteRun(mine[0]) }); err != nil {
						t.Error(err)
					}
					mine, seeds = mine[1:], seeds[1:]
				}
			}
		})
	}
	workers.Wait()
	cancel()
	collector.Wait()
	gc(t, s)
	if st := s.Stats(); st.Runs != 9 {
		t.Errorf("%d runs are left", st.Runs)
	}
}
