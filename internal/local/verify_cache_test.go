package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
)

// A volume that can't be opened for now, as where its permissions are missing, is not a damaged one:
// verifying names it, and forgets nothing.
func TestVerifyForgetsNothingThatMayBeThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	home, in := filepath.Join(dir, "store"), filepath.Join(dir, "in")
	var text bytes.Buffer
	for i := range 30_000 {
		fmt.Fprintln(&text, i*7919%30_011)
	}
	if err := os.WriteFile(in, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() (*Node, mr.Cache) {
		n, err := Open(home, Options{Workers: 1, Builtin: builtin.Lookup()})
		if err != nil {
			t.Fatal(err)
		}
		return n, n.Jobs().(mr.Cache)
	}
	n, _ := open()
	id, err := n.Jobs().Submit(t.Context(), "verified", mr.Spec{Job: "sort", Inputs: []string{in}, Output: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	for s := (mr.Status{}); !s.State.Done(); {
		if s, err = n.Jobs().Wait(t.Context(), id, s.Version); err != nil || s.Error != "" {
			t.Fatalf("%s, %v", s.Error, err)
		}
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	volumes, err := filepath.Glob(filepath.Join(home, "volumes", "*.db"))
	if err != nil || len(volumes) == 0 {
		t.Fatalf("volumes %v, %v", volumes, err)
	}
	for _, path := range volumes {
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, path); err != nil { // to itself: root, too, can't open it
			t.Fatal(err)
		}
	}
	n, cache := open()
	v, err := cache.CacheVerify(t.Context())
	if mr.KindOf(err) != mr.Unreachable || len(v.Damaged) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, path := range volumes {
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	n, cache = open()
	if v, err := cache.CacheVerify(t.Context()); err != nil || v.Runs == 0 || v.Bytes == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
