package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// twoVolumes makes a store with one run in each of two volumes and one inline, and
// closes it.
func twoVolumes(t *testing.T) (dir string, ids []store.RunID, data [][][]byte) {
	t.Helper()
	dir = t.TempDir()
	for i := range 3 {
		s := openUnchecked(t, dir, store.Options{VolumeCap: 1}) // every run its own volume
		size := []int{70_000, 60_000, 100}[i]
		data = append(data, blocks(uint64(i), 10, size))
		ids = append(ids, write(t, s, data[i]))
		closeStore(t, s)
	}
	return dir, ids, data
}

func TestDamagedVolumeCostsItsRunsOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(path string, b []byte) error
	}{
		{"deleted", func(p string, b []byte) error { return os.Remove(p) }},
		{"empty", func(p string, b []byte) error { return os.Truncate(p, 0) }},
		{"cut in a header", func(p string, b []byte) error { return os.Truncate(p, 5000) }},
		{"cut in the middle", func(p string, b []byte) error { return os.Truncate(p, 300_000) }},
		{"zeroed", func(p string, b []byte) error { return os.WriteFile(p, make([]byte, len(b)), 0o600) }},
		{"zeroed behind the headers", func(p string, b []byte) error { clear(b[8192:]); return os.WriteFile(p, b, 0o600) }},
		{"structure flipped", func(p string, b []byte) error {
			for at := 8192; at < len(b); at += 4096 {
				for i := range 64 {
					b[at+i] ^= 0xff
				}
			}
			return os.WriteFile(p, b, 0o600)
		}},
		{"another volume in its place", func(p string, b []byte) error {
			other, err := os.ReadFile(filepath.Join(filepath.Dir(p), "000002.db"))
			if err != nil {
				return err
			}
			return os.WriteFile(p, other, 0o600)
		}},
		{"a folder in its place", func(p string, b []byte) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, ids, data := twoVolumes(t)
			path := filepath.Join(dir, "volumes", "000001.db")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.damage(path, b); err != nil {
				t.Fatal(err)
			}
			s := openUnchecked(t, dir, store.Options{})
			err = readRun(s, ids[0], data[0])
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("the damaged run reads with %v", err)
			}
			for _, name := range []string{"000001.db", ids[0].String()} {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%q does not name %s", err, name)
				}
			}
			mustRead(t, s, ids[1], data[1])
			mustRead(t, s, ids[2], data[2])
			mustRead(t, s, write(t, s, data[0]), data[0]) // and it can be written again
			if err := s.Check(context.Background()); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "000001.db") {
				t.Errorf("check says %v", err)
			}
			s.GC(context.Background()) // may fail; must not touch what is whole
			mustRead(t, s, ids[1], data[1])
		})
	}
}

// TestBitFlipsNeverHurtTheProcess flips bits in the newest volume while the store uses
// it: to read, to append, to check, to collect. Only errors may come of it, and the
// other volume and the catalog must stay whole. (That a flip inside the list of
// free pages lets bbolt write over a block is for the block's own checksum to find.)
func TestBitFlipsNeverHurtTheProcess(t *testing.T) {
	t.Parallel()
	dir, ids, data := twoVolumes(t)
	path := filepath.Join(dir, "volumes", "000002.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	hurt := 0
	for range 15 {
		b := bytes.Clone(whole)
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b)/4096)*4096+r.IntN(100)] ^= 1 << r.IntN(8)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openUnchecked(t, dir, store.Options{})
		if err := readRun(s, ids[1], data[1]); err != nil {
			hurt++
			if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, errDiffers) {
				t.Errorf("damage is reported as %v", err)
			}
		}
		mustRead(t, s, ids[0], data[0])
		w := s.CreateRun()
		for _, b := range data[1] {
			if err = w.WriteBlock(b); err != nil {
				break
			}
		}
		if again, serr := w.Seal(context.Background()); err == nil && serr == nil {
			commit(t, s, again)
			readRun(s, again, data[1])
			s.Check(context.Background())
			if err := s.Update(func(tx *store.Tx) error { return tx.DeleteRun(again) }); err != nil {
				t.Fatal(err)
			}
		}
		w.Discard()
		s.GC(context.Background())
		mustRead(t, s, ids[0], data[0])
		closeStore(t, s)
	}
	if hurt == 0 {
		t.Error("no flip had any effect")
	}
}

// TestVolumeCutWhileOpen truncates a volume under an open reader.
func TestVolumeCutWhileOpen(t *testing.T) {
	dir, ids, data := twoVolumes(t)
	s := openUnchecked(t, dir, store.Options{})
	mustRead(t, s, ids[0], data[0])
	r, err := s.OpenRun(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(dir, "volumes", "000001.db"), 8192); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadBlock(9, nil); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("read: %v", err)
	}
	if err := s.Check(context.Background()); err == nil {
		t.Error("check has not noticed")
	}
	mustRead(t, s, ids[1], data[1])
	// New runs are written elsewhere, or to what is left of it with an error.
	w := s.CreateRun()
	defer w.Discard()
	for _, b := range data[0] {
		if err := w.WriteBlock(b); err != nil {
			return
		}
	}
	if id, err := w.Seal(context.Background()); err == nil {
		commit(t, s, id)
		mustRead(t, s, id, data[0])
	} else if fmt.Sprint(id) != "0.0" {
		t.Errorf("a failed seal returned run %v", id)
	}
}

// TestCatalogDamagedWhileOpen overwrites the catalog's pages under an open store: every
// transaction must fail, as damage, and Close must come back.
func TestCatalogDamagedWhileOpen(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(path string) error
	}{
		{"zeroed", func(p string) error {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, 1<<20), 8192)
			return errors.Join(err, f.Close())
		}},
		{"cut", func(p string) error { return os.Truncate(p, 8192) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openUnchecked(t, dir, store.Options{})
			for i := range 50 {
				put(t, s, store.Tasks, fmt.Sprint(i), strings.Repeat("v", 1000))
			}
			if err := c.damage(filepath.Join(dir, "catalog.db")); err != nil {
				t.Fatal(err)
			}
			err := s.View(func(tx *store.Tx) error { tx.Get(store.Tasks, []byte("7")); return nil })
			if mr.KindOf(err) != mr.Damaged {
				t.Errorf("view: %v", err)
			}
			for range 3 {
				err := s.Update(func(tx *store.Tx) error { return tx.Put(store.Tasks, []byte("7"), []byte("v")) })
				if mr.KindOf(err) != mr.Damaged {
					t.Errorf("update: %v", err)
				}
			}
			if err := s.Check(context.Background()); mr.KindOf(err) != mr.Damaged {
				t.Errorf("check: %v", err)
			}
		})
	}
}
