package robustness

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestCrash draws rounds from seeds. A round is one or two jobs on one store, and several
// lives of a daemon that end badly: killed at a failpoint or at any moment, after it was
// perhaps stopped for a while, with volumes damaged while it ran or between two lives.
// The last life is left alone, and then everything must be right: see round.verify.
//
// The failpoints are taken in turn, so that as many rounds as there are of them reach
// each; make crash ROUNDS=500 prints how often each thing was done.
func TestCrash(t *testing.T) {
	t.Parallel()
	points := failpoints(t)
	c := shared(t)
	sums := newTally()
	t.Run("rounds", func(t *testing.T) {
		for _, s := range seeds(t, 6) {
			t.Run(fmt.Sprintf("seed=%d", s.n), func(t *testing.T) {
				t.Parallel()
				r := drawRound(s, points)
				r.run(t, c, sums)
				if t.Failed() {
					t.Logf("replay with MR_CRASH_SEED=%d: %+v", s.n, r)
				}
			})
		}
	})
	sums.print(t)
	if rounds := sums.of("rounds"); rounds >= 4*len(points) {
		for _, p := range points {
			if sums.of("killed at "+p) == 0 {
				t.Errorf("no daemon was killed at failpoint %s in %d rounds", p, rounds)
			}
		}
	}
}

// round is what one seed does.
type round struct {
	seed    uint64
	jobs    []plannedJob
	lives   []life
	flags   []string
	env     []string
	bloated bool   // most of the catalog is free pages when the first life begins
	base    bool   // the first job follows one over most of its input, whose parts it builds on
	gc      bool   // collect garbage as soon as the jobs are done
	cuts    int    // so many of a life's connections are cut
	odd     string // what a process of a job binary does, once
}

// plannedJob is one job of a round.
type plannedJob struct {
	name      string // of the built-in, or "binary", or "odd"
	reducers  int
	split     int64
	overwrite bool
	noCache   bool
}

// life is one life of the daemon that ends badly.
type life struct {
	point string        // the failpoint to be killed at; "": at any moment
	hit   int           // which hit of it
	after time.Duration // until the kill, if not at a failpoint
	stop  time.Duration // stopped for so long half-way, and continued
	live  bool          // a volume is damaged while it runs
	rest  bool          // a volume is damaged after its end
}

// drawRound draws a round. Some failpoints are only reached by certain jobs.
func drawRound(s seed, points []string) *round {
	rng := rand.New(rand.NewPCG(s.n, 1))
	r := &round{seed: s.n}
	point := points[s.index%len(points)]
	jobs := []string{"wordcount", "sort", "index", "binary", "odd"}
	if rng.IntN(3) == 0 {
		r.cuts = 1 + rng.IntN(6)
	}
	for range 1 + rng.IntN(2) {
		r.jobs = append(r.jobs, plannedJob{
			name: jobs[rng.IntN(len(jobs))], reducers: 1 + rng.IntN(7), split: 256 << 10 << rng.IntN(3),
			overwrite: rng.IntN(2) == 0, noCache: rng.IntN(8) == 0,
		})
	}
	for _, j := range r.jobs {
		if j.name == "odd" {
			r.odd = []string{"exit", "panic", "error", "oom", "hangup", "babble"}[rng.IntN(6)]
		}
	}
	first := life{point: point, hit: 1}
	if rng.IntN(3) == 0 {
		first.hit += rng.IntN(4)
	}
	switch point {
	case "engine/publish-exchange":
		r.jobs[0].overwrite, first.hit = true, 1
	case "local/binary-written":
		r.jobs[0].name, first.hit = "binary", 1
	case "worker/merge-spill":
		r.jobs[0] = plannedJob{name: "sort", reducers: 1, split: 128 << 10}
		r.flags, first.hit = []string{"--memory", "12MiB"}, 1
	case "store/gc-retired", "store/gc-copied", "store/gc-moved", "store/gc-before-unlink", "store/gc-unlinked",
		"store/reclaim-chosen", "engine/evict-forgetting", "engine/evict-forgot":
		r.jobs[0].noCache, r.jobs[0].split = false, 256<<10
		r.flags = []string{"--cache-size", "16MiB"} // and so volumes of a sixteenth
		r.gc, first.hit = true, 1
	case "store/catalog-made":
		first.hit = 1
	case "store/catalog-compacted":
		r.bloated, first.hit = true, 1
	}
	r.base = point != "store/catalog-made" && r.jobs[0].name != "odd" && rng.IntN(3) == 0
	r.lives = append(r.lives, first)
	for range rng.IntN(3) {
		l := life{after: time.Duration(rng.IntN(700)) * time.Millisecond}
		if rng.IntN(3) == 0 {
			l.point, l.hit = points[rng.IntN(len(points))], 1+rng.IntN(3)
		}
		if rng.IntN(3) == 0 {
			l.stop = time.Duration(rng.IntN(200)) * time.Millisecond
		}
		if rng.IntN(4) == 0 {
			l.live = true
		} else if rng.IntN(4) == 0 {
			l.rest = true
		}
		r.lives = append(r.lives, l)
	}
	return r
}

// spec is a job of the round in a folder.
func (p plannedJob) spec(t *testing.T, c *corpus, out string) mr.Spec {
	s := mr.Spec{
		Job: p.name, Inputs: []string{c.dir}, Output: out, SplitSize: p.split, Reducers: p.reducers,
		Overwrite: p.overwrite, NoCache: p.noCache, Incremental: true,
	}
	if p.name == "odd" {
		s.Job, s.Code = "", mr.Code{Kind: mr.Binary, Path: program(t, "odd"), Source: "odd"}
	}
	if p.name == "binary" {
		s.Job, s.Code = "", mr.Code{Kind: mr.Binary, Path: program(t, "job"), Source: "job"}
	}
	return s
}

// want is what the job must put out.
func (p plannedJob) want(c *corpus) []byte {
	if p.name == "binary" || p.name == "odd" {
		return c.want["wordcount"]
	}
	return c.want[p.name]
}

// oldOutput is the folder that an overwriting job finds.
func oldOutput(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range oldFiles() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func oldFiles() map[string]string {
	return map[string]string{"part-r-00000": "old\t1\n", "part-r-00001": "older\t2\n", "notes": "of the user\n", "_SUCCESS": ""}
}
