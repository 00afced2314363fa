package robustness

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
)

// TestRot damages the stored runs of a job that is done (a flipped, zeroed, truncated or
// deleted volume) and runs the job again: the daemon lives, the output is right, and no
// more maps are computed again than there are.
func TestRot(t *testing.T) {
	c := newCorpus(t, 2, 4, 3<<20)
	for _, seed := range seeds(t, 8) {
		rotRound(t, c, seed)
		if t.Failed() {
			t.Fatalf("replay with MR_CRASH_SEED=%d", seed)
		}
	}
}

func rotRound(t *testing.T, c corpus, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	dir := t.TempDir()
	st := filepath.Join(dir, "store")
	spec := mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: filepath.Join(dir, "o1"), SplitSize: 512 << 10, Reducers: 3}
	d := startDaemon(t, st)
	cl := d.client()
	id, err := cl.Submit(t.Context(), "first", spec)
	if err != nil {
		t.Fatal(err)
	}
	if s := wait(t, cl, id); s.State != mr.Succeeded {
		t.Fatal(s.Error)
	}
	d.kill()
	what := damage(t, rng, filepath.Join(st, "volumes"))

	d = startDaemon(t, st)
	cl = d.client()
	spec.Output, spec.Reducers = filepath.Join(dir, "o2"), 4 // other ranges: the runs are read
	if id, err = cl.Submit(t.Context(), "second", spec); err != nil {
		t.Fatal(err)
	}
	s := wait(t, cl, id)
	if s.State != mr.Succeeded {
		t.Fatalf("seed %d: %s: %s: %s", seed, what, s.State, s.Error)
	}
	if got, _ := parts(t, spec.Output); !bytes.Equal(got, c.want) {
		t.Errorf("seed %d: %s: the output differs", seed, what)
	}
	if s.Map.Recomputed > s.Map.Tasks || s.Map.Run+s.Map.Cached != s.Map.Tasks {
		t.Errorf("seed %d: %s: %+v", seed, what, s.Map)
	}
	t.Logf("seed %d: %s: %d of %d maps computed again", seed, what, s.Map.Recomputed, s.Map.Tasks)
	select {
	case <-d.exited:
		t.Errorf("seed %d: %s: the daemon died\n%s", seed, what, d.stderr.String())
	default:
	}
}

// damage spoils one volume and says how.
func damage(t *testing.T, rng *rand.Rand, volumes string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(volumes, "*.db"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no volumes: %v", err)
	}
	path := files[rng.IntN(len(files))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := max(len(bytes.TrimRight(b, "\x00")), 1) // volumes grow ahead of their contents
	what := ""
	switch rng.IntN(5) {
	case 0, 1:
		what = "flipped bits"
		for range 1 + rng.IntN(20) {
			b[rng.IntN(used)] ^= 1 << rng.IntN(8)
		}
	case 2:
		what = "zeroed pages"
		at := rng.IntN(used) &^ 4095
		clear(b[at:min(at+4096*(1+rng.IntN(50)), len(b))])
	case 3:
		what = "truncated"
		b = b[:rng.IntN(used)]
	case 4:
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return "deleted"
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return what
}
