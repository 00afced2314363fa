package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr/store"
)

// TestNothingIsAppendedToAVolumeThatIsDistrusted holds that bytes are kept away from where
// others were lost, while what else is there can be read.
func TestNothingIsAppendedToAVolumeThatIsDistrusted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	data := blocks(1, 3, 20_000)
	var ids []store.RunID
	for range 4 { // all lanes have a volume
		ids = append(ids, write(t, s, data))
	}
	volumes := func() int {
		all, err := filepath.Glob(filepath.Join(dir, "volumes", "*.db"))
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := volumes()
	used := map[uint32]bool{}
	for _, id := range ids {
		n, err := s.VolumeOf(id)
		if err != nil {
			t.Fatal(err)
		}
		used[n] = true
		s.Distrust(id)
	}
	for range 4 {
		id := write(t, s, data)
		if n, err := s.VolumeOf(id); err != nil || used[n] {
			t.Errorf("a run was appended to volume %d (%v)", n, err)
		}
		ids = append(ids, id)
	}
	if volumes() == before {
		t.Error("there is no other volume")
	}
	for _, id := range ids {
		mustRead(t, s, id, data)
	}
	s.Distrust(1 << 40) // of no run
}

// duringMove is a context that calls f when a volume is being emptied, which ends that.
type duringMove struct {
	context.Context
	asked *int
	f     func()
}

func (c duringMove) Err() error {
	if *c.asked++; *c.asked < 2 { // before a volume is chosen
		return nil
	}
	c.f()
	return context.Canceled
}

// TestAVolumeThatIsCollectedIsDistrusted holds that a volume stays distrusted whose damage is found
// while it is being emptied.
func TestAVolumeThatIsCollectedIsDistrusted(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	data := blocks(1, 1, 150_000)
	kept, used := map[uint32]store.RunID{}, map[uint32]bool{}
	for range 30 {
		id := write(t, s, data)
		n, err := s.VolumeOf(id)
		if err != nil {
			t.Fatal(err)
		}
		if used[n] {
			deleteRuns(t, s, id)
			continue
		}
		kept[n], used[n] = id, true
	}
	asked := 0
	ctx := duringMove{t.Context(), &asked, func() {
		for _, id := range kept {
			s.Distrust(id)
		}
	}}
	if _, err := s.Reclaim(ctx, 0); !errors.Is(err, context.Canceled) || asked < 2 {
		t.Fatalf("nothing was moved: %v", err)
	}
	for range 6 {
		if n, err := s.VolumeOf(write(t, s, data)); err != nil || used[n] {
			t.Errorf("a run was appended to volume %d (%v)", n, err)
		}
	}
}

// TestADamagedVolumeTakesWhatItTakes holds that a volume to which nothing can be appended counts for
// the bytes of its file.
func TestADamagedVolumeTakesWhatItTakes(t *testing.T) {
	dir := t.TempDir()
	s := openUnchecked(t, dir, store.Options{})
	data := blocks(1, 3, 100_000)
	write(t, s, data)
	closeStore(t, s)
	path := filepath.Join(dir, "volumes", "000001.db")
	if err := os.Truncate(path, 100_000); err != nil {
		t.Fatal(err)
	}
	s = openUnchecked(t, dir, store.Options{})
	defer closeStore(t, s)
	before := s.DiskBytes()
	mustRead(t, s, write(t, s, data), data)
	volumes, _, err := s.Layout()
	if err != nil || !volumes[1].Full || volumes[1].Bytes != 100_000 && volumes[1].Bytes != 98_304 {
		t.Errorf("the damaged volume: %+v, %v", volumes[1], err)
	}
	if grown := s.DiskBytes() - before; grown < 300_000 || grown > 4<<20 {
		t.Errorf("the store has grown by %d bytes", grown)
	}
}
