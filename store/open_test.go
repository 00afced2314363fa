package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// childHold opens the store and holds it until it is killed.
func childHold(dir string, readOnly bool) error {
	if _, err := store.Open(dir, store.Options{ReadOnly: readOnly}); err != nil {
		return err
	}
	fmt.Println("open")
	time.Sleep(time.Minute)
	return errors.New("nobody killed the holder")
}

// refused opens the store and returns the refusal's text.
func refused(t *testing.T, dir string, o store.Options, kind mr.Kind) string {
	t.Helper()
	start := time.Now()
	s, err := store.Open(dir, o)
	if err == nil {
		s.Close()
		t.Fatalf("open of %s is not refused", dir)
	}
	if e, ok := errors.AsType[*mr.Error](err); !ok || e.Kind != kind {
		t.Errorf("refused with kind %d and not %d: %v", mr.KindOf(err), kind, err)
	}
	if !strings.Contains(err.Error(), dir) {
		t.Errorf("refusal does not name the store: %v", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("refused after %v", d)
	}
	return err.Error()
}

func TestSecondOpener(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode   string
		second store.Options
	}{
		{"hold", store.Options{LockWait: 50 * time.Millisecond}},
		{"hold", store.Options{ReadOnly: true}},
		{"read", store.Options{LockWait: 50 * time.Millisecond}},
	} {
		t.Run(fmt.Sprintf("%s, then readonly=%v", c.mode, c.second.ReadOnly), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			closeStore(t, open(t, dir, store.Options{}))
			p := spawn(t, c.mode, dir)
			if !p.lines.Scan() {
				t.Fatal("the child has not opened the store")
			}
			msg := refused(t, dir, c.second, mr.Unreachable)
			if _, err := os.Stat("/proc/locks"); err == nil || c.mode == "hold" {
				if pid := "process " + strconv.Itoa(p.Process.Pid); !strings.Contains(msg, pid) {
					t.Errorf("%q does not name %s", msg, pid)
				}
				if reads := strings.Contains(msg, "which reads it"); reads != (c.mode == "read") {
					t.Errorf("%q says what the holder does not do", msg)
				}
			}
			p.kill() // its pid is still in the lock file
			s := openUnchecked(t, dir, store.Options{})
			if err := s.Update(func(tx *store.Tx) error { return tx.Put(store.Meta, []byte("k"), []byte("v")) }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadersShare(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	data := blocks(1, 3, 50_000)
	id := write(t, s, data)
	small := write(t, s, blocks(2, 1, 10))
	refused(t, dir, store.Options{LockWait: time.Millisecond}, mr.Unreachable) // in one process, too
	closeStore(t, s)
	a := openUnchecked(t, dir, store.Options{ReadOnly: true})
	b := openUnchecked(t, dir, store.Options{ReadOnly: true})
	for _, s := range []*store.Store{a, b} {
		mustRead(t, s, id, data)
		mustRead(t, s, small, blocks(2, 1, 10))
		if s.Epoch() != 1 {
			t.Errorf("epoch %d", s.Epoch())
		}
	}
	if err := a.Update(func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("update: %v", err)
	}
	if err := a.View(func(tx *store.Tx) error { return tx.Put(store.Jobs, []byte("k"), nil) }); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("put: %v", err)
	}
	if err := a.CreateRun().WriteBlock([]byte("x")); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("write: %v", err)
	}
	if _, err := a.GC(t.Context()); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("gc: %v", err)
	}
}

func TestOpenRefusals(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, file, store.Options{}, mr.Unreachable)
	refused(t, filepath.Join(file, "below"), store.Options{}, mr.Unreachable)
	refused(t, filepath.Join(dir, "none"), store.Options{ReadOnly: true}, mr.Unreachable)
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, empty, store.Options{ReadOnly: true}, mr.Unreachable)
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("a refused reader left %v, %v", entries, err)
	}
	if fresh := filepath.Join(dir, "a", "b"); true {
		closeStore(t, open(t, fresh, store.Options{}))
		if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("a new store's folder: %v, %v", info.Mode(), err)
		}
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	closeStore(t, openUnchecked(t, dir, store.Options{}))
	db, err := bolt.Open(filepath.Join(dir, "catalog.db"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(b *bolt.Tx) error { return b.Bucket([]byte("store")).Put([]byte("format"), []byte{0, 0, 0, 9}) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, ro := range []bool{false, true} {
		if msg := refused(t, dir, store.Options{ReadOnly: ro}, mr.Damaged); !strings.Contains(msg, "format 9") {
			t.Errorf("the refusal does not name the format: %s", msg)
		}
	}
}

func TestDamagedCatalogIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(path string, b []byte) error
	}{
		{"empty", func(p string, b []byte) error { return os.Truncate(p, 0) }},
		{"one page", func(p string, b []byte) error { return os.Truncate(p, 4096) }},
		{"headers only", func(p string, b []byte) error { return os.Truncate(p, 2*4096) }},
		{"zeroed", func(p string, b []byte) error { return os.WriteFile(p, make([]byte, len(b)), 0o600) }},
		{"text", func(p string, b []byte) error { return os.WriteFile(p, []byte(strings.Repeat("text ", 9999)), 0o600) }},
		{"pages zeroed", func(p string, b []byte) error { clear(b[2*4096:]); return os.WriteFile(p, b, 0o600) }},
		{"pages flipped", func(p string, b []byte) error {
			for i := 2 * 4096; i < len(b); i++ {
				b[i] ^= 0xff
			}
			return os.WriteFile(p, b, 0o600)
		}},
		{"a folder", func(p string, b []byte) error {
			return errors.Join(os.Remove(p), os.MkdirAll(filepath.Join(p, "below"), 0o700))
		}},
		{"a pipe", func(p string, b []byte) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) }},
		{"missing beside its volumes", func(p string, b []byte) error { return os.Remove(p) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openUnchecked(t, dir, store.Options{})
			write(t, s, blocks(1, 2, 20_000))
			closeStore(t, s)
			path := filepath.Join(dir, "catalog.db")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.damage(path, b); err != nil {
				t.Fatal(err)
			}
			if msg := refused(t, dir, store.Options{}, mr.Damaged); !strings.Contains(msg, "move the store's folder away") {
				t.Errorf("the refusal does not say what to do: %s", msg)
			}
			refused(t, dir, store.Options{}, mr.Damaged) // and it holds no lock
			refused(t, dir, store.Options{ReadOnly: true}, mr.Damaged)
		})
	}
}

// A catalog that is missing beside its snapshot is not a store that is new, even if no volume has
// been needed yet.
func TestMissingCatalogBesideItsSnapshot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openUnchecked(t, dir, store.Options{})
	if err := s.Snapshot(0); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if err := os.Remove(filepath.Join(dir, "catalog.db")); err != nil {
		t.Fatal(err)
	}
	for _, ro := range []bool{true, false} {
		if msg := refused(t, dir, store.Options{ReadOnly: ro}, mr.Damaged); !strings.Contains(msg, "mrctl store restore") {
			t.Errorf("the refusal does not say what to do: %s", msg)
		}
	}
}

// A store with volumes whose catalog is missing is not taken for a new one, whatever its folder is called.
func TestMissingCatalogBesideVolumes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"store", "st[ore", "[s]tore*"} {
		dir := filepath.Join(t.TempDir(), name)
		s := openUnchecked(t, dir, store.Options{})
		write(t, s, blocks(1, 3, 20_000))
		closeStore(t, s)
		if err := os.Remove(filepath.Join(dir, "catalog.db")); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, store.Options{}, mr.Damaged)
	}
}

// The snapshot, and a catalog that was set aside, are a part of what the store takes.
func TestCopiesOfTheCatalogCount(t *testing.T) {
	t.Parallel()
	dir, _ := restorable(t)
	for _, copies := range []int{1, 2} {
		s := openUnchecked(t, dir, store.Options{ReadOnly: true})
		files, err := filepath.Glob(filepath.Join(dir, "catalog.*"))
		var want int64
		for _, path := range files {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			want += min(info.Size(), info.Sys().(*syscall.Stat_t).Blocks*512)
		}
		if got := s.DiskBytes(); err != nil || len(files) != 1+copies || got != want || s.CatalogBytes() != want {
			t.Errorf("%d bytes on disk and not %d, of %v; %v", got, want, files, err)
		}
		closeStore(t, s)
		if _, err := store.Restore(dir, true, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A snapshot from before the clock was set back is no younger for it.
func TestSnapshotFromTheFuture(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{0, 24 * time.Hour} {
		dir := t.TempDir()
		s := openUnchecked(t, dir, store.Options{})
		if err := s.Snapshot(0); err != nil {
			t.Fatal(err)
		}
		path, later := filepath.Join(dir, "catalog.snapshot"), time.Now().AddDate(1, 0, 0)
		put := s.Update(func(tx *store.Tx) error { return tx.Put(store.Meta, []byte("since"), []byte("v")) })
		if err := errors.Join(put, os.Chtimes(path, later, later), s.Snapshot(age)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.ModTime().After(time.Now().Add(time.Hour)) {
			t.Errorf("age %s: no snapshot was taken (%v)", age, err)
		}
		closeStore(t, s)
	}
}

// restorable makes a store whose snapshot lacks the record that was put last.
func restorable(t *testing.T) (dir, catalog string) {
	t.Helper()
	dir = t.TempDir()
	s := openUnchecked(t, dir, store.Options{})
	if err := s.Snapshot(0); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(tx *store.Tx) error { return tx.Put(store.Meta, []byte("since"), []byte("v")) }); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	return dir, filepath.Join(dir, "catalog.db")
}

// since says whether the store in dir has the record that its snapshot lacks.
func since(t *testing.T, dir string) (there bool) {
	t.Helper()
	s := openUnchecked(t, dir, store.Options{ReadOnly: true})
	defer closeStore(t, s)
	if err := s.View(func(tx *store.Tx) error { there = tx.Get(store.Meta, []byte("since")) != nil; return nil }); err != nil {
		t.Fatal(err)
	}
	return there
}

// A catalog without damage is newer than its snapshot, and stays.
func TestRestoreRefusesASoundCatalog(t *testing.T) {
	t.Parallel()
	dir, path := restorable(t)
	refuse := func(kind mr.Kind) {
		t.Helper()
		_, err := store.Restore(dir, false, nil)
		if mr.KindOf(err) != kind || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--force") {
			t.Errorf("kind %d: %v", mr.KindOf(err), err)
		}
		if kept, _ := filepath.Glob(path + ".*"); len(kept) > 0 {
			t.Errorf("a refusal left %v", kept)
		}
	}
	refuse(mr.Refused)
	if !since(t, dir) {
		t.Error("a refusal lost a record")
	}
	setFormat := func(v byte) {
		t.Helper()
		db, err := bolt.Open(path, 0, nil)
		if err == nil {
			err = db.Update(func(b *bolt.Tx) error { return b.Bucket([]byte("store")).Put([]byte("format"), []byte{0, 0, 0, v}) })
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	setFormat(9)
	refuse(mr.Refused)
	setFormat(1)

	away := filepath.Join(t.TempDir(), "catalog.db") // on a disk that is not there for now
	if err := errors.Join(os.Rename(path, away), os.Symlink(away+"-", path)); err != nil {
		t.Fatal(err)
	}
	refuse(mr.Unreachable)
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}

	first, err := store.Restore(dir, true, nil)
	if err != nil || since(t, dir) {
		t.Errorf("by force: %+v, %v", first, err)
	}
	second, err := store.Restore(dir, true, nil)
	if err != nil || second.Kept == first.Kept {
		t.Errorf("again: %+v after %+v, %v", second, first, err)
	}
	for _, kept := range []string{first.Kept, second.Kept} {
		if _, err := os.Stat(kept); err != nil {
			t.Error(err)
		}
	}
}

// Damage that a command would meet later, in a page that it does not need, is damage, too.
func TestRestoreFindsDamage(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"a folder": func(p string) error { return errors.Join(os.Remove(p), os.MkdirAll(filepath.Join(p, "below"), 0o700)) },
		"a pipe":   func(p string) error { return errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o600)) },
		"missing":  os.Remove,
		"a page below the root": func(p string) error {
			db, err := bolt.Open(p, 0, nil)
			if err != nil {
				return err
			}
			var at uint64
			err = db.Update(func(b *bolt.Tx) error { // large enough for a page of its own
				meta := b.Bucket([]byte(store.Meta))
				return meta.Put([]byte("page"), make([]byte, 3000))
			})
			if err == nil {
				err = db.View(func(b *bolt.Tx) error { at = uint64(b.Bucket([]byte(store.Meta)).Root()); return nil })
			}
			if err := errors.Join(err, db.Close()); err != nil {
				return err
			}
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, os.Getpagesize()), int64(at)*int64(os.Getpagesize()))
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, path := restorable(t)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			r, err := store.Restore(dir, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(r.Kept); (err != nil) != (name == "missing") {
				t.Errorf("%+v: %v", r, err)
			}
			if since(t, dir) {
				t.Error("that is not the snapshot")
			}
		})
	}
}
