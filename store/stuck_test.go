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
)

// A damaged volume is left as it is while runs are live in it: that is told once, nobody counts on what it would
// give back, and it keeps no other volume from being collected. Without them it goes.
func TestDamagedVolumeIsPassedOver(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	o := store.Options{VolumeCap: 1 << 20, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	s := openUnchecked(t, dir, o)
	volumes := map[uint32][]store.RunID{}
	for i := range 24 {
		id := write(t, s, blocks(uint64(i), 2, 120_000))
		n, err := s.VolumeOf(id)
		if err != nil {
			t.Fatal(err)
		}
		volumes[n] = append(volumes[n], id)
	}
	for _, runs := range volumes {
		deleteRuns(t, s, runs[1:]...)
	}
	closeStore(t, s)
	const bad = 1 // collected before the others
	path := filepath.Join(dir, "volumes", fmt.Sprintf("%06d.db", bad))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * os.Getpagesize(); i < len(b); i++ {
		b[i] = 0xff
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openUnchecked(t, dir, o)
	defer closeStore(t, s)
	for range 3 {
		gc(t, s)
		if _, err := s.Reclaim(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	layout, _, err := s.Layout()
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range layout {
		if n == bad && f.Gain() != 0 {
			t.Errorf("volume %d is counted on for %d bytes", n, f.Gain())
		}
		if n != bad && f.Gain() > 0 {
			t.Errorf("volume %d was not collected: %+v", n, f)
		}
	}
	if n := strings.Count(log.String(), "is left as it is"); n != 1 {
		t.Errorf("that a volume is left is told %d times", n)
	}
	deleteRuns(t, s, volumes[bad][0])
	gc(t, s)
	if _, err := os.Lstat(path); err == nil {
		t.Error("a damaged volume without a live run is left")
	}
}
