package worker

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRemotePartBegunAnew: an attempt that finds on the way that its part can't be made of an earlier one
// begins it anew, under the same name.
func TestRemotePartBegunAnew(t *testing.T) {
	c := newCounter(t)
	path := filepath.Join(t.TempDir(), "_temporary", "job", "part")
	c.held[7] = path
	for i := range 200 {
		f, err := c.remote.Parts().Create(7, path)
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		if _, err := f.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		f.Discard()
		if _, err := os.Lstat(path); err == nil {
			t.Fatalf("part %d is there after it was discarded", i)
		}
	}
}
