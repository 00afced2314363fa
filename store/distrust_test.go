package store_test

import (
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
