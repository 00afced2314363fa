package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr/store"
)

// crashOptions make every kind of file turn over quickly.
func crashOptions() store.Options { return store.Options{VolumeCap: 2 << 20, InlineLimit: 4 << 10} }

// crashRun returns the blocks of run number i: inline ones, small and larger ones.
func crashRun(i uint32) [][]byte {
	r := rand.New(rand.NewPCG(uint64(i), 99))
	sizes := []int{500, 9000, 70_000, 300_000}
	n := 1 + r.IntN(4)
	out := make([][]byte, n)
	for j := range out {
		out[j] = bytes.Repeat(binary.BigEndian.AppendUint32(nil, i^uint32(j)), sizes[i%4]/4)
	}
	return out
}

// childWork commits runs, each with a task record that names it, deletes a third of
// them and collects garbage, until it is killed. It prints what is acknowledged: "+i"
// a run committed, "-i" about to be deleted.
func childWork(dir string) error {
	s, err := store.Open(dir, crashOptions())
	if err != nil {
		return err
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("open")
	errs := make(chan error)
	base := uint32(s.Epoch()) << 20
	for g := range uint32(3) {
		go func() {
			for i := base + g; ; i += 3 {
				if err := crashTask(s, i, say); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	go func() {
		for {
			time.Sleep(5 * time.Millisecond)
			if _, err := s.GC(context.Background()); err != nil {
				errs <- err
				return
			}
		}
	}()
	return <-errs
}

func crashTask(s *store.Store, i uint32, say func(string, ...any)) error {
	w := s.CreateRun()
	defer w.Discard()
	for _, b := range crashRun(i) {
		if err := w.WriteBlock(b); err != nil {
			return err
		}
	}
	if i%7 == 0 {
		return nil // given up
	}
	id, err := w.Seal(context.Background())
	if err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint32(nil, i)
	err = s.Update(func(tx *store.Tx) error {
		if err := tx.Put(store.Tasks, key, binary.BigEndian.AppendUint64(nil, uint64(id))); err != nil {
			return err
		}
		return tx.CommitRun(id)
	})
	if err != nil {
		return err
	}
	say("+%d", i)
	if i%3 != 0 {
		return nil
	}
	say("-%d", i)
	return s.Update(func(tx *store.Tx) error {
		if err := tx.Delete(store.Tasks, key); err != nil {
			return err
		}
		return tx.DeleteRun(id)
	})
}

// TestKill kills a working process at random moments, again and again on one store.
// Each time, everything acknowledged must be there, and everything there must be whole.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeStore(t, open(t, dir, crashOptions()))
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 7))
	kept := make(map[uint32]bool) // acknowledged; false: its deletion was begun
	for round := range 9 {
		p := spawn(t, "work", dir)
		if round%3 == 0 { // while it opens the store, most likely
			time.AfterFunc(time.Duration(r.IntN(20))*time.Millisecond, func() { p.Process.Kill() })
		}
		for left := 2 + r.IntN(60); p.lines.Scan(); left-- {
			if left == 0 {
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, func() { p.Process.Kill() })
			}
			var sign byte
			var i uint32
			if n, _ := fmt.Sscanf(p.lines.Text(), "%c%d", &sign, &i); n == 2 {
				kept[i] = sign == '+'
			}
		}
		p.Wait()
		verifyAfterKill(t, dir, kept)
	}
	if len(kept) < 5 {
		t.Errorf("the children did next to nothing: %d runs", len(kept))
	}
}

func verifyAfterKill(t *testing.T, dir string, kept map[uint32]bool) {
	t.Helper()
	s, err := store.Open(dir, crashOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if err := s.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	found := make(map[uint32]store.RunID)
	err = s.View(func(tx *store.Tx) error {
		return tx.Scan(store.Tasks, nil, func(k, v []byte) error {
			id := store.RunID(binary.BigEndian.Uint64(v))
			found[binary.BigEndian.Uint32(k)] = id
			if !tx.HasRun(id) {
				return fmt.Errorf("task %x names a run that is not on record", k)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Runs != len(found) {
		t.Errorf("%d runs and %d tasks are on record", st.Runs, len(found))
	}
	for i, keep := range kept {
		if _, ok := found[i]; keep && !ok {
			t.Errorf("run %d was acknowledged and is gone", i)
		}
	}
	for i, id := range found {
		mustRead(t, s, id, crashRun(i))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*.new")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	// Half of what is there goes, so that the next round has something to collect.
	err = s.Update(func(tx *store.Tx) error {
		for i, id := range found {
			if i%2 == 0 {
				if err := tx.Delete(store.Tasks, binary.BigEndian.AppendUint32(nil, i)); err != nil {
					return err
				}
				if err := tx.DeleteRun(id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range found {
		if i%2 == 0 {
			kept[i] = false
		}
	}
}

// TestCrashWhileCreating finds what a process leaves that died while it made a store, a
// catalog or a volume.
func TestCrashWhileCreating(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"catalog.db.new", "volumes/000001.db.new"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("half a header"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, store.Options{})
	data := blocks(1, 2, 20_000)
	mustRead(t, s, write(t, s, data), data)
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*.new")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
