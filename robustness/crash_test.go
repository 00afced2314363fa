package robustness

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestCrash kills the daemon with SIGKILL at random moments of a job's life, several
// times, and starts it again. The job must end by itself with the right output; the
// redone attempts must be no more than were in flight at the kills.
func TestCrash(t *testing.T) {
	c := newCorpus(t, 1, 4, 3<<20)
	for _, seed := range seeds(t, 4) {
		crashRound(t, c, seed)
		if t.Failed() {
			t.Fatalf("replay with MR_CRASH_SEED=%d", seed)
		}
	}
}

func crashRound(t *testing.T, c corpus, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	st, out := filepath.Join(dir, "store"), filepath.Join(dir, "out")
	spec := mr.Spec{
		Job: "wordcount", Inputs: []string{c.dir}, Output: out,
		SplitSize: 256 << 10, Reducers: 1 + rng.IntN(9),
	}
	submit := mr.SubmitID("round")
	d := startDaemon(t, st)
	id, err := d.client().Submit(t.Context(), submit, spec)
	if err != nil {
		t.Fatal(err)
	}
	kills := 1 + rng.IntN(4)
	for range kills {
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		d.kill()
		d = startDaemon(t, st)
	}
	cl := d.client()
	again, err := cl.Submit(t.Context(), submit, spec)
	if err != nil || again != id {
		t.Fatalf("submitting again gave job %s, %v; the first was %s", again, err, id)
	}
	s := wait(t, cl, id)
	if s.State != mr.Succeeded {
		t.Fatalf("seed %d: job %s: %s", seed, s.State, s.Error)
	}
	got, others := parts(t, out)
	if !bytes.Equal(got, c.want) {
		t.Errorf("seed %d: the output differs: %d bytes, want %d", seed, len(got), len(c.want))
	}
	if slices.Sort(others); !slices.Equal(others, []string{"_SUCCESS", "_manifest.json"}) {
		t.Errorf("seed %d: left in the output folder: %v", seed, others)
	}
	for _, p := range []mr.PhaseStatus{s.Map, s.Reduce} {
		if p.Run+p.Cached != p.Tasks {
			t.Errorf("seed %d: %d tasks, but %d ran and %d were cached", seed, p.Tasks, p.Run, p.Cached)
		}
		if inFlight := 3 * kills; p.Attempts > p.Tasks+inFlight {
			t.Errorf("seed %d: %d attempts for %d tasks with %d kills", seed, p.Attempts, p.Tasks, kills)
		}
	}
	if list, err := cl.List(t.Context(), true); err != nil || len(list) != 1 {
		t.Errorf("seed %d: %d jobs on record, want one (%v)", seed, len(list), err)
	}
	d.kill()
	checkStore(t, st)
}
