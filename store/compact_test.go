package store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr/store"
	"github.com/mrd-io/mr/store/storetest"
)

// A catalog from which most has gone is written anew at the next opening for writing, with all that is
// left in it.
func TestCatalogIsWrittenAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openUnchecked(t, dir, store.Options{})
	blocks := blocks(3, 5, 100_000)
	id, err := writeRun(s, blocks)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string][]byte{}
	err = s.Update(func(tx *store.Tx) error {
		for i := range 5000 {
			k, v := fmt.Sprintf("%d", i), bytes.Repeat([]byte{byte(i)}, i%700)
			records[k] = v
			if err := tx.Put(store.Tasks, []byte(k), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	epoch := s.Epoch()
	closeStore(t, s)
	catalog := filepath.Join(dir, "catalog.db")
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(catalog)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}

	storetest.Bloat(t, dir, 20) // less than is worth it
	small := size()
	closeStore(t, openUnchecked(t, dir, store.Options{}))
	if got := size(); got != small || got < 20<<20 {
		t.Errorf("a catalog of %d bytes, little of them free, has %d", small, got)
	}

	storetest.Bloat(t, dir, 80)
	bloated := size()
	var log bytes.Buffer
	s = open(t, dir, store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if got := size(); got > 16<<20 || !strings.Contains(log.String(), "written anew") {
		t.Errorf("a catalog of %d bytes, most of them free, has %d; the log: %s", bloated, got, log.String())
	}
	if s.Epoch() != epoch+4 {
		t.Errorf("epoch %d after %d", s.Epoch(), epoch)
	}
	if err := readRun(s, id, blocks); err != nil {
		t.Error(err)
	}
	err = s.View(func(tx *store.Tx) error {
		n := 0
		err := tx.Scan(store.Tasks, nil, func(k, v []byte) error {
			if n++; !bytes.Equal(v, records[string(k)]) {
				t.Errorf("record %s has %d bytes, want %d", k, len(v), len(records[string(k)]))
			}
			return nil
		})
		if n != len(records) {
			t.Errorf("%d records, want %d", n, len(records))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(catalog + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A bloated catalog with a damaged page is not replaced by what could be read of it, also where bbolt sees
// nothing wrong.
func TestDamagedCatalogIsNotWrittenAnew(t *testing.T) {
	marker := []byte("a record that lies on a page of its own")
	for name, damage := range map[string]func(b []byte) []byte{
		"a page's kind and how many records it has": func(b []byte) []byte {
			page := bytes.LastIndex(b, marker) &^ (os.Getpagesize() - 1)
			for i := range 8 {
				b[page+8+i] ^= 0xff
			}
			return b
		},
		"a key": func(b []byte) []byte {
			return bytes.ReplaceAll(b, append([]byte("01000"), marker...), append([]byte("00998"), marker...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			s := openUnchecked(t, dir, store.Options{})
			err := s.Update(func(tx *store.Tx) error {
				for i := range 2000 {
					if err := tx.Put(store.Tasks, fmt.Appendf(nil, "%05d", i), bytes.Repeat(marker, 4)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			storetest.Bloat(t, dir, 80)
			catalog := filepath.Join(dir, "catalog.db")
			b, err := os.ReadFile(catalog)
			if err != nil {
				t.Fatal(err)
			}
			b = damage(b)
			if err := os.WriteFile(catalog, b, 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			if s, err := store.Open(dir, store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}); err == nil {
				closeStore(t, s)
			}
			if !strings.Contains(log.String(), "could not be written anew") {
				t.Errorf("the log: %s", log.String())
			}
			info, err := os.Stat(catalog)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() != int64(len(b)) {
				t.Errorf("the damaged catalog of %d bytes was replaced by %d", len(b), info.Size())
			}
			if left, _ := filepath.Glob(catalog + ".*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A catalog of which less than half is free stays, however much that is: to copy the rest would take long.
func TestFullCatalogStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openUnchecked(t, dir, store.Options{})
	for i := range 110 { // MiB
		err := s.Update(func(tx *store.Tx) error {
			return tx.Put(store.Tasks, fmt.Appendf(nil, "%03d", i), make([]byte, 1<<20))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	storetest.Bloat(t, dir, 55) // which takes some 78 MiB of pages
	catalog := filepath.Join(dir, "catalog.db")
	before, err := os.Stat(catalog)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	closeStore(t, openUnchecked(t, dir, store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
	if after, err := os.Stat(catalog); err != nil || !os.SameFile(before, after) || log.Len() > 0 {
		t.Errorf("the catalog of %d bytes was written anew: %v; %s", before.Size(), err, log.String())
	}
}
