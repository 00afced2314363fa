package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// Job binaries count against the bound, and those go that were named longest ago, but for
// what unfinished jobs need and what somebody is about to submit.
func TestBinariesAreBounded(t *testing.T) {
	const limit, size = 4 << 20, 100 << 10 // room for four
	home := filepath.Join(t.TempDir(), "store")
	s, err := store.Open(home, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := func(i int) string { return strings.Repeat(fmt.Sprintf("%02x", i), 32) }
	err = s.Update(func(tx *store.Tx) error {
		return tx.Put(store.Jobs, []byte("job_a"), fmt.Appendf(nil, `{"ID":"job_a","State":"RUNNING","Spec":{"Code":{"Kind":1,"Digest":%q,"MapDigest":%q}}}`, name(0), name(1)))
	})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	there := func() (n []int) {
		for i := range 9 {
			if _, err := os.Stat(filepath.Join(bin, name(i))); err == nil {
				n = append(n, i)
			}
		}
		return n
	}
	for i := range 9 {
		path := filepath.Join(bin, name(i))
		if err := os.WriteFile(path, make([]byte, size), 0o500); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(-time.Hour * time.Duration(10-i))
		if i == 2 {
			used = time.Now().Add(-time.Minute)
		}
		if err := os.Chtimes(path, used, used); err != nil {
			t.Fatal(err)
		}
	}
	n, err := Open(home, Options{Workers: 1, CacheSize: -1, Idle: true})
	if err != nil {
		t.Fatal(err)
	}
	cache := n.Jobs().(mr.Cache)
	if r, err := cache.CacheReport(t.Context()); err != nil || r.Binaries != 9 || r.BinaryBytes != 9*size || r.Disk < r.BinaryBytes {
		t.Errorf("report %+v, %v", r, err)
	}
	if f, err := cache.CacheGC(t.Context(), mr.CacheGC{Limit: limit, DryRun: true}); err != nil || f.Binaries != 5 || len(there()) != 9 {
		t.Errorf("a dry run: %+v, %v; there are %v", f, err, there())
	}
	if f, err := cache.CacheGC(t.Context(), mr.CacheGC{Limit: limit}); err != nil || f.Binaries != 5 || f.Disk < 5*size {
		t.Errorf("%+v, %v", f, err)
	}
	if got := fmt.Sprint(there()); got != "[0 1 2 8]" {
		t.Errorf("kept %s, want those of the unfinished job, the one just named, and the latest", got)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A node with a bound does it by itself, whatever it is needed for.
	if n, err = Open(home, Options{Workers: 1, CacheSize: 1 << 20, Idle: true}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); len(there()) > 3 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := fmt.Sprint(there()); got != "[0 1 2]" {
		t.Errorf("kept %s under a smaller bound", got)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A binary that the store has is named, and not written again.
func TestKnownBinaryIsNotCopied(t *testing.T) {
	dir := t.TempDir()
	n, err := Open(filepath.Join(dir, "store"), Options{Workers: 1, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
	path := filepath.Join(dir, "job")
	if err := os.WriteFile(path, []byte("one"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := n.ImportBinary(path)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, p := range []string{first.Path, filepath.Dir(first.Path)} {
		if err := os.Chtimes(p, old, old); err != nil {
			t.Fatal(err)
		}
	}
	again, err := n.ImportBinary(path)
	if err != nil || again != first {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	if info, err := os.Stat(filepath.Dir(first.Path)); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("the folder was written to, %v", err)
	}
	if info, err := os.Stat(first.Path); err != nil || time.Since(info.ModTime()) > time.Minute {
		t.Errorf("the binary was not named anew, %v", err)
	}
	for _, p := range []string{first.Path, filepath.Dir(first.Path)} {
		if err := os.Chmod(p, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(first.Path, []byte("ona"), 0o700); err != nil { // a bit flipped
		t.Fatal(err)
	}
	again, err = n.ImportBinary(path)
	if b, rerr := os.ReadFile(again.Path); err != nil || rerr != nil || again != first || string(b) != "one" {
		t.Errorf("after damage: %+v, %q, %v, %v", again, b, err, rerr)
	}
	if err := os.WriteFile(path, []byte("two"), 0o700); err != nil {
		t.Fatal(err)
	}
	other, err := n.ImportBinary(path)
	if b, rerr := os.ReadFile(other.Path); err != nil || rerr != nil || string(b) != "two" || other.Digest == first.Digest {
		t.Errorf("another binary: %q, %v, %v", b, err, rerr)
	}
}

// What is no file may never end, or never begin: nobody waits for it.
func TestOddBinaries(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
	for _, path := range []string{pipe, "/dev/zero", dir} {
		over := make(chan error, 1)
		go func() {
			_, err := n.ImportBinary(path)
			over <- err
		}()
		select {
		case err := <-over:
			if !errors.Is(err, mr.ErrUsage) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", path, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is still being read", path)
		}
	}
}
