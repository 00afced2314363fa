package robustness

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
	"github.com/mrd-io/mr/store"
)

// TestRot damages a volume that holds the map outputs of a job that is done, at rest or
// while another job reduces them into other ranges. The daemon lives, the output is
// right, and the maps that are computed again are those whose stored bytes were hit: at
// rest exactly those.
func TestRot(t *testing.T) {
	t.Parallel()
	c := shared(t)
	sums := newTally()
	t.Run("rounds", func(t *testing.T) {
		for _, s := range seeds(t, 8) {
			t.Run(fmt.Sprintf("seed=%d", s.n), func(t *testing.T) {
				t.Parallel()
				rotRound(t, c, s, sums)
			})
		}
	})
	sums.print(t)
}

// mapped is a store in which a wordcount is done.
type mapped struct {
	dir string
	job mr.JobID
}

var mappedStore struct {
	once sync.Once
	mapped
}

const rotSplit = 512 << 10

// makeMapped makes the store that the rounds copy.
func makeMapped(t *testing.T, c *corpus) mapped {
	t.Helper()
	mappedStore.once.Do(func() {
		bin, err := build()
		if err != nil {
			t.Fatal(err)
		}
		m := &mappedStore.mapped
		m.dir = filepath.Join(bin, "mapped")
		d := startDaemon(t, m.dir)
		cl := d.client()
		m.job = submit(t, cl, "first", mr.Spec{
			Job: "wordcount", Inputs: []string{c.dir}, Output: filepath.Join(bin, "mapped-out"), SplitSize: rotSplit, Reducers: 3,
		})
		succeed(t, cl, m.job)
		d.kill()
	})
	if mappedStore.job == "" {
		t.Fatal("the job that the rounds build on failed")
	}
	return mappedStore.mapped
}

func rotRound(t *testing.T, c *corpus, s seed, sums *tally) {
	first := makeMapped(t, c)
	rng := rand.New(rand.NewPCG(s.n, 2))
	dir := t.TempDir()
	st := filepath.Join(dir, "store")
	copyStore(t, first.dir, st)
	spec := mr.Spec{
		Job: "wordcount", Inputs: []string{c.dir}, Output: filepath.Join(dir, "out"), SplitSize: rotSplit, Reducers: 4 + rng.IntN(5),
		OutputFormat: "raw", // so that no part of the first job serves, and every block is read
	}
	volumes, err := filepath.Glob(filepath.Join(st, "volumes", "*.db"))
	if err != nil || len(volumes) == 0 {
		t.Fatalf("no volumes: %v", err)
	}
	volume := volumes[rng.IntN(len(volumes))]
	resting := s.index%2 == 0
	what, hit := "", 0
	env := []string{}
	if resting {
		what = "at rest: " + spoil(t, rng, volume)
		hit = unreadable(t, st, first.job)
	} else { // slow enough to be met in the middle
		env = append(env, "MR_FAILPOINTS=worker/part-made=sleep:60ms;engine/cut=sleep:60ms")
	}
	d := start(t, launch{store: st, env: env})
	cl := d.client()
	id := submit(t, cl, "second", spec)
	if !resting {
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		what = "while reducing: " + spoil(t, rng, volume)
	}
	status := succeed(t, cl, id)
	d.alive()
	d.kill()
	if !resting {
		hit = unreadable(t, st, first.job)
	}
	if got, _ := parts(t, spec.Output); !bytes.Equal(got, rawForm(c.want["wordcount"])) {
		t.Errorf("%s: the output differs", what)
	}
	m := status.Map
	if m.Recomputed > hit || resting && m.Recomputed != hit || m.Run+m.Cached != m.Tasks || m.Run != m.Recomputed {
		t.Errorf("%s: %d maps were hit, and %+v, %+v, %d ranges", what, hit, m, status.Reduce, spec.Reducers)
	}
	sums.add("damaged " + what)
	sums.plus("map outputs hit", hit)
	sums.plus("maps computed again", m.Recomputed)
	if t.Failed() {
		t.Logf("replay with MR_CRASH_SEED=%d\n%s", s.n, d.stderr.String())
	}
}

// rawForm is text output as the format raw has it: nothing between keys and values.
func rawForm(text []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\t"), nil), []byte("\n"), nil)
}

// unreadable counts the map tasks of a job whose runs can't be read to the end.
func unreadable(t *testing.T, dir string, job mr.JobID) (n int) {
	t.Helper()
	s, err := store.Open(dir, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // read only
	var ids []store.RunID
	err = s.View(func(tx *store.Tx) error {
		return lineage.ScanTasks(tx, job, plan.Map, func(_ int, task *lineage.Task) error {
			ids = append(ids, store.RunID(task.Made.Run))
			return nil
		})
	})
	if err != nil || len(ids) == 0 {
		t.Fatalf("the job has %d map tasks on record: %v", len(ids), err)
	}
	for _, id := range ids {
		r, err := s.OpenRun(id)
		if err == nil {
			err = run.Verify(r, r.Blobs())
			r.Close()
		}
		if err != nil {
			n++
		}
	}
	return n
}

// spoil damages a volume and says how.
func spoil(t *testing.T, rng *rand.Rand, path string) string {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it is being destroyed
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := max(len(bytes.TrimRight(b, "\x00")), 1) // volumes grow ahead of their contents
	write := func(at, n int) {
		if _, err := f.WriteAt(b[at:at+n], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	switch rng.IntN(6) {
	case 0, 1:
		for range 1 + rng.IntN(20) {
			at := rng.IntN(used)
			b[at] ^= 1 << rng.IntN(8)
			write(at, 1)
		}
		return "flipped bits"
	case 2:
		at := rng.IntN(used) &^ 4095
		n := min(4096*(1+rng.IntN(50)), len(b)-at)
		clear(b[at : at+n])
		write(at, n)
		return "zeroed pages"
	case 3:
		at := rng.IntN(used)
		n := min(1+rng.IntN(64<<10), len(b)-at)
		for i := range b[at : at+n] {
			b[at+i] = byte(rng.Uint32())
		}
		write(at, n)
		return "overwritten"
	case 4:
		if err := f.Truncate(int64(rng.IntN(used))); err != nil {
			t.Fatal(err)
		}
		return "truncated"
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return "deleted"
}

// copyStore copies a store that nobody serves, holes and all.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	for _, sub := range []string{"", "volumes"} {
		if err := os.Mkdir(filepath.Join(to, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(from, sub, "*.db"))
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(to, sub, filepath.Base(path))
			if err := os.WriteFile(to, bytes.TrimRight(b, "\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(to, int64(len(b))); err != nil {
				t.Fatal(err)
			}
		}
	}
}
