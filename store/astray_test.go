package store_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr/store"
)

// TestAppendIsNotLedAstray damages the pages that the next append of an open volume follows,
// so that bbolt would free billions of pages, or cuts them off: the append fails instead, soon,
// and what is written then is elsewhere.
func TestAppendIsNotLedAstray(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"leaves that claim more": claimMore,
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path, 8192); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { appendTo(t, damage) })
	}
}

func appendTo(t *testing.T, damage func(t *testing.T, path string)) {
	dir := t.TempDir()
	s := openUnchecked(t, dir, store.Options{})
	data := blocks(1, 3, 20_000)
	for range 4 { // all lanes have a volume
		write(t, s, data)
	}
	files, err := filepath.Glob(filepath.Join(dir, "volumes", "*.db"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no volumes: %v", err)
	}
	for _, path := range files {
		damage(t, path)
	}
	within(t, "appending", func() {
		failed := 0
		for range 2 * len(files) { // each lane meets the damage once
			if _, err := writeRun(s, data); err != nil {
				failed++
			}
		}
		if failed == 0 || failed > len(files) {
			t.Errorf("%d of %d volumes are found damaged", failed, len(files))
		}
	})
	mustRead(t, s, write(t, s, data), data)
}

// within fails the test at once if f does not end: then nothing else would.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		panic(what + " does not end")
	}
}

// TestALostHeaderStopsNobody takes the header of a volume away under its readers: bbolt would
// panic with locks held that the others need, and all of them would wait for ever.
func TestALostHeaderStopsNobody(t *testing.T) {
	dir := t.TempDir()
	s := openUnchecked(t, dir, store.Options{})
	data := blocks(1, 3, 20_000)
	id := write(t, s, data)
	var readers []*store.RunReader
	for range 4 {
		r, err := s.OpenRun(id)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	n, err := s.VolumeOf(id)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "volumes", fmt.Sprintf("%06d.db", n)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 8192), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "reading", func() {
		for range 3 {
			for _, r := range readers {
				if _, err := r.ReadBlock(0, nil); !errors.Is(err, store.ErrDamaged) {
					t.Errorf("a block was read: %v", err)
				}
			}
		}
		for _, r := range readers {
			r.Close()
		}
		for range 8 { // one lane has the volume
			if _, err := writeRun(s, data); err == nil {
				return
			}
		}
		t.Error("nothing can be written any more")
	})
}

// claimMore makes each leaf of a volume say that it goes on over a billion pages.
func claimMore(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is being destroyed
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page, leaf = 4096, 2
	n := 0
	for at := 2 * page; at+16 <= len(b); at += page {
		if binary.LittleEndian.Uint64(b[at:]) != uint64(at/page) || binary.LittleEndian.Uint16(b[at+8:]) != leaf {
			continue
		}
		binary.LittleEndian.PutUint32(b[at+12:], 1<<30)
		if _, err := f.WriteAt(b[at+12:at+16], int64(at+12)); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		t.Fatalf("%s has no leaf", path)
	}
}
