package local

import (
	"os"
	"path/filepath"
	"testing"
)

// The folder for spills is emptied at start, and stays: on a full disk it could not be made again.
// What somebody has linked to in its place is not touched.
func TestSweep(t *testing.T) {
	t.Parallel()
	home, other := filepath.Join(t.TempDir(), "store"), t.TempDir()
	tmp, kept := filepath.Join(home, "tmp"), filepath.Join(other, "kept")
	cycle := func() os.FileInfo {
		n, err := Open(home, Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(tmp)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := cycle()
	held, err := os.Open(tmp) // or another folder might get its inode
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // read only
	if err := os.MkdirAll(filepath.Join(tmp, "left", "behind"), 0o700); err != nil {
		t.Fatal(err)
	}
	if after := cycle(); !os.SameFile(before, after) {
		t.Error("the folder is another")
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(tmp); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, tmp); err != nil {
		t.Fatal(err)
	}
	if info := cycle(); !info.IsDir() {
		t.Errorf("the store's folder for spills is %s", info.Mode())
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// Binaries that a crash has left half copied go, also where the store's path reads like a pattern.
func TestHalfCopiedBinariesGo(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "a[b]c", "bin")
	half, whole := filepath.Join(bin, "import-1"), filepath.Join(bin, "whole")
	cycle := func() {
		n, err := Open(filepath.Dir(bin), Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cycle() // what is there before becomes no store
	if err := os.MkdirAll(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{half, whole} {
		if err := os.WriteFile(path, nil, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	if _, err := os.Lstat(half); err == nil {
		t.Error("a binary that was half copied is left")
	}
	if _, err := os.Lstat(whole); err != nil {
		t.Error(err)
	}
}
