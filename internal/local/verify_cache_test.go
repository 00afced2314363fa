package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
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

// Where verifying has found wrong bytes, nothing more is put.
func TestNothingIsAppendedWhereVerifyingFoundDamage(t *testing.T) {
	dir := t.TempDir()
	n := openBounded(t, filepath.Join(dir, "store"), -1)
	volumes := func(job int) (used map[uint32]bool, line []byte) {
		in, out := filepath.Join(dir, fmt.Sprint("in", job)), filepath.Join(dir, fmt.Sprint("out", job))
		line = []byte(noise(t, in, uint64(job), 2000)[20:60])
		s := runJob(t, n, mr.Spec{Job: "sort", Inputs: []string{in}, Output: out})
		used = map[uint32]bool{}
		err := n.Store().View(func(tx *store.Tx) error {
			return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
				if o.Job == s.Job && o.Made.Run != 0 {
					v, err := n.Store().VolumeOf(store.RunID(o.Made.Run))
					used[v] = true
					return err
				}
				return nil
			})
		})
		if err != nil || s.State != mr.Succeeded {
			t.Fatal(s.Error, err)
		}
		return used, line
	}
	_, line := volumes(0)
	for job := range 6 {
		volumes(1 + job)
	}
	var bad uint32
	files, err := filepath.Glob(filepath.Join(dir, "store", "volumes", "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, line); at >= 0 {
			b[at] ^= 1
			if _, err := fmt.Sscanf(filepath.Base(path), "%06d.db", &bad); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt(b[at:at+1], int64(at))
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	v, err := n.Jobs().(mr.Cache).CacheVerify(t.Context())
	if bad == 0 || err != nil || len(v.Damaged) == 0 || !v.Damaged[0].Forgotten {
		t.Fatalf("volume %d of %v: %+v, %v", bad, files, v, err)
	}
	for job := range 6 {
		if used, _ := volumes(10 + job); used[bad] {
			t.Errorf("job %d has put a run into volume %d", job, bad)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "store", "volumes", fmt.Sprintf("%06d.db", bad))); err != nil {
		t.Error("the test is void: ", err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
