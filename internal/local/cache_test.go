package local

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// noise writes n lines that don't compress, and returns them sorted.
func noise(t *testing.T, path string, seed uint64, n int) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	lines := make([]string, n)
	for i := range lines {
		var b [45]byte
		for k := range b {
			b[k] = byte(rng.Uint32())
		}
		lines[i] = base64.StdEncoding.EncodeToString(b[:]) + "\n"
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// onDisk is what du says of a folder.
func onDisk(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // files come and go
		if err == nil {
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				n += min(info.Size(), blocks(info)*512)
			}
		}
		return nil
	})
	return n
}

func openBounded(t *testing.T, dir string, limit int64) *Node {
	t.Helper()
	n, err := Open(dir, Options{
		Workers: 2, CacheSize: limit,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Five times the bound goes through a store by jobs at the same time, the node is closed
// in the middle of it, and the store never takes more than a tenth over its bound.
func TestStoreStaysWithinItsBound(t *testing.T) {
	const limit, jobs, lines = 16 << 20, 40, 16 << 10 // 1 MB of lines a job, 2 MB stored
	dir := t.TempDir()
	home := filepath.Join(dir, "store")
	n := openBounded(t, home, limit)
	var most atomic.Int64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			most.Store(max(most.Load(), onDisk(filepath.Join(home, "volumes"))+onDisk(filepath.Join(home, "catalog.db"))))
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	var wrote atomic.Int64
	run := func(n *Node, from, to int) {
		var group sync.WaitGroup
		slots := make(chan struct{}, 3)
		for i := from; i < to; i++ {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				in := filepath.Join(dir, fmt.Sprint("in", i))
				want := noise(t, in, uint64(i), lines)
				spec := mr.Spec{Job: "sort", Inputs: []string{in}, SplitSize: 256 << 10, Reducers: 4, Output: filepath.Join(dir, fmt.Sprint("out", i))}
				s := runJob(t, n, spec)
				if s.State != mr.Succeeded || s.Map.Failed+s.Reduce.Failed+s.Map.Recomputed > 0 {
					t.Errorf("job %d: %s %s; %d attempts failed, %d tasks recomputed", i, s.State, s.Error, s.Map.Failed+s.Reduce.Failed, s.Map.Recomputed)
				}
				if got := output(t, spec.Output); sha256.Sum256([]byte(got)) != sha256.Sum256([]byte(want)) {
					t.Errorf("job %d: wrong output of %d bytes", i, len(got))
				}
				wrote.Add(s.Bytes.Intermediate + s.Bytes.Output)
			})
		}
		group.Wait()
	}

	run(n, 0, jobs/2)
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, home)
	n = openBounded(t, home, limit)
	run(n, jobs/2, jobs)
	close(stop)
	<-watched
	if wrote.Load() < 4*limit {
		t.Errorf("only %d bytes went through", wrote.Load())
	}
	if m := most.Load(); m > limit/10*11 {
		t.Errorf("the store took up to %d bytes, %d %% of its bound", m, 100*m/limit)
	} else {
		t.Logf("%d MB through %d MB; at most %d %%", wrote.Load()>>20, limit>>20, 100*m/limit)
	}
	report, err := n.Jobs().(mr.Cache).CacheReport(t.Context())
	if err != nil || report.Evicted == 0 || report.Limit != limit {
		t.Errorf("report %+v, %v", report, err)
	}
	// An evicted output is made again, and the reason is told. Which ones went is a matter of what they cost.
	made := 0
	for i := 0; i < jobs && made == 0; i++ {
		s := runJob(t, n, mr.Spec{
			Job: "sort", Inputs: []string{filepath.Join(dir, fmt.Sprint("in", i))}, SplitSize: 256 << 10, Reducers: 4, Output: filepath.Join(dir, fmt.Sprint("again", i)),
		})
		x, err := n.Jobs().Explain(t.Context(), s.Job, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range x.Rows {
			if r.Phase == "map" && r.State == mr.Succeeded {
				made += r.Tasks
				if !strings.HasPrefix(r.Reason, "evicted ") {
					t.Errorf("job %d made a map output again, and why: %+v", i, r)
				}
			}
		}
		if s.Map.Run != made {
			t.Errorf("job %d: %d maps ran, and reasons are told for %d: %+v", i, s.Map.Run, made, x.Rows)
		}
	}
	if made == 0 {
		t.Error("no map output was made again")
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, home)
}

// What is pinned stays, whatever goes through.
func TestPinsHold(t *testing.T) {
	const limit = 4 << 20
	dir := t.TempDir()
	n := openBounded(t, filepath.Join(dir, "store"), limit)
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	cache := n.Jobs().(mr.Cache)
	job := func(i int, out string) mr.Status {
		in := filepath.Join(dir, fmt.Sprint("in", i))
		if _, err := os.Stat(in); err != nil {
			noise(t, in, uint64(i), 8<<10)
		}
		return runJob(t, n, mr.Spec{Job: "sort", Inputs: []string{in}, Output: filepath.Join(dir, out)})
	}
	pinned := job(0, "pinned")
	p, err := cache.CachePin(t.Context(), filepath.Join(dir, "pinned"), true)
	if err != nil || p.Job != pinned.Job || p.Bytes < 512<<10 {
		t.Fatalf("%+v, %v", p, err)
	}
	for i := 1; i < 16; i++ {
		job(i, fmt.Sprint("out", i))
	}
	if s := job(0, "again"); s.Map.Cached != 1 || s.Reduce.Cached != 1 {
		t.Errorf("the pinned job's outputs were not there: %+v", s.Map)
	}
	if _, err := cache.CachePin(t.Context(), string(pinned.Job), false); err != nil {
		t.Fatal(err)
	}
	freed, err := cache.CacheInvalidate(t.Context(), string(pinned.Job))
	if err != nil || freed.Outputs != 2 {
		t.Errorf("invalidated %+v, %v", freed, err)
	}
	s := job(0, "third")
	x, err := n.Jobs().Explain(t.Context(), s.Job, "")
	if err != nil || s.Map.Run != 1 || !strings.HasPrefix(x.Rows[0].Reason, "invalidated ") {
		t.Errorf("%+v %+v, %v", s.Map, x.Rows, err)
	}
}

// A crash leaves the store with garbage and the catalog whole; the next life is within
// the bound again, and what is on record can be read.
func TestEvictionSurvivesCrashes(t *testing.T) {
	const limit = 4 << 20
	dir := t.TempDir()
	home := filepath.Join(dir, "store")
	s, err := store.Open(home, store.Options{VolumeCap: volumeCap(limit)})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // sealed, never committed: what a crash between the two leaves
		w := s.CreateRun()
		b := make([]byte, 48<<10)
		if err := w.WriteBlock(b); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := onDisk(home); n < 2*limit {
		t.Fatalf("the store has %d bytes", n)
	}
	n := openBounded(t, home, limit)
	for deadline := time.Now().Add(10 * time.Second); onDisk(filepath.Join(home, "volumes")) > limit; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the store still has %d bytes", onDisk(home))
		}
	}
	if err := n.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(t, home)
}

// Whether a job fails at a record that is too long for it does not depend on what jobs that take
// longer ones have left.
func TestRecordLimitHoldsForOutputsOnRecord(t *testing.T) {
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	in := filepath.Join(dir, "in")
	if err := os.WriteFile(in, []byte("short\na line of 18 bytes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	jobs := 0
	for _, c := range []struct {
		limit  int64
		state  mr.State
		cached int
		why    string
	}{
		{10, mr.FailedJob, 0, ""},
		{0, mr.Succeeded, 0, "new input"},
		{10, mr.FailedJob, 0, ""},
		{0, mr.Succeeded, 1, ""},
		{100 << 20, mr.Succeeded, 1, ""},
		{18, mr.Succeeded, 0, "records up to 67108864 bytes were let pass when it was made, and --record-limit is 18"},
		{18, mr.Succeeded, 1, ""},
		{17, mr.FailedJob, 0, ""},
		{0, mr.Succeeded, 1, ""},
	} {
		jobs++
		s := runJob(t, n, mr.Spec{Job: "wordcount", Inputs: []string{in}, RecordLimit: c.limit, Output: filepath.Join(dir, fmt.Sprint("o", jobs))})
		x, err := n.Jobs().Explain(t.Context(), s.Job, "")
		if err != nil {
			t.Fatal(err)
		}
		if why := x.Rows[0].Reason; s.State != c.state || s.Map.Cached != c.cached || c.why != "" && why != c.why {
			t.Errorf("job %d, with a limit of %d: %s, %d cached, because: %s; want %+v", jobs, c.limit, s.State, s.Map.Cached, why, c)
		}
	}
}
