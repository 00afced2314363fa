package robustness

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
	"github.com/mrd-io/mr/store/storetest"
)

// running is a round under way.
type running struct {
	*round
	t     *testing.T
	c     *corpus
	sums  *tally
	rng   *rand.Rand
	dir   string
	store string
	log   string // of what the failpoints did
	specs []mr.Spec
	ids   []mr.JobID // as acknowledged; empty before
	kills int
	hurt  bool // a volume was damaged
	bases int  // jobs that ran before the round's
}

func (r *round) run(t *testing.T, c *corpus, sums *tally) {
	dir := t.TempDir()
	u := &running{
		round: r, t: t, c: c, sums: sums, rng: rand.New(rand.NewPCG(r.seed, 9)),
		dir: dir, store: filepath.Join(dir, "store"), log: filepath.Join(dir, "log"),
		ids: make([]mr.JobID, len(r.jobs)),
	}
	sums.add("rounds")
	if r.odd != "" {
		sums.add("processes that " + r.odd)
		r.env = append(r.env, "MR_ODD="+r.odd+":"+filepath.Join(dir, "odd"))
	}
	for i, j := range r.jobs {
		out := filepath.Join(dir, fmt.Sprintf("out%d", i))
		if j.overwrite {
			oldOutput(t, out)
			sums.add("jobs that overwrite")
		}
		sums.add("jobs: " + j.name)
		u.specs = append(u.specs, j.spec(t, c, out))
	}
	if r.base {
		u.runBase()
	}
	if r.bloated {
		storetest.Bloat(t, u.store, 80)
		sums.add("catalogs with much free space")
	}
	for _, l := range r.lives {
		u.live(l)
		u.atKill()
		if t.Failed() {
			return
		}
	}
	u.last()
}

// runBase runs the first job over all files but the last.
func (u *running) runBase() {
	spec := u.specs[0]
	files, err := filepath.Glob(filepath.Join(u.c.dir, "*"))
	if err != nil || len(files) < 2 {
		u.t.Fatal(files, err)
	}
	spec.Inputs, spec.Output, spec.Overwrite, spec.NoCache = files[:len(files)-1], filepath.Join(u.dir, "base"), false, false
	d := start(u.t, launch{store: u.store, flags: u.flags})
	succeed(u.t, d.client(), submit(u.t, d.client(), "base", spec))
	d.kill()
	u.bases++
	u.sums.add("jobs that follow another")
}

// live is one life of the daemon, and its end.
func (u *running) live(l life) {
	env := append([]string{"MR_FAILPOINTS_LOG=" + u.log}, u.env...)
	if l.point != "" {
		env = append(env, fmt.Sprintf("MR_FAILPOINTS=%s=kill@%d", l.point, l.hit))
	}
	d := start(u.t, launch{store: u.store, flags: u.flags, env: env})
	ctx, cancel := context.WithTimeout(u.t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		select {
		case <-d.exited:
			cancel() // calls under way end with their daemon
		case <-ctx.Done():
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.work(ctx, d)
	}()
	if l.stop > 0 {
		time.Sleep(l.after / 2)
		d.signal(syscall.SIGSTOP)
		time.Sleep(l.stop)
		d.signal(syscall.SIGCONT)
		u.sums.add("stopped and continued")
	}
	if l.live {
		time.Sleep(l.after / 2)
		u.damage("while running: ")
	}
	switch {
	case l.point != "":
		<-done // of itself, or because it was killed
	default:
		select {
		case <-done:
		case <-time.After(l.after):
		}
	}
	byItself := false
	select {
	case <-d.exited:
		byItself = true
	default:
	}
	d.kill()
	cancel()
	<-done
	u.kills++
	u.reap(d, byItself, l)
	if l.rest {
		u.damage("at rest: ")
	}
}

// work is a client's part in a life: it submits, as often as there is a daemon, and
// waits. Every call may fail, since the daemon may die under it.
func (u *running) work(ctx context.Context, d *daemon) {
	c, err := d.dial()
	if err == nil && u.cuts > 0 {
		c.Close() //nolint:errcheck // it has shown that the daemon answers
		c, err = d.dialVia(ctx, newWire(u.t, u.dir, u.store, rand.New(rand.NewPCG(u.seed, uint64(u.kills))), u.cuts, u.sums))
	}
	if err != nil {
		return
	}
	defer c.Close() //nolint:errcheck // its daemon is gone
	for i, spec := range u.specs {
		id, err := c.Submit(ctx, mr.SubmitID(fmt.Sprintf("round-%d", i)), spec)
		if err != nil {
			if ctx.Err() == nil {
				u.t.Errorf("submitting job %d: %v", i, err)
			}
			return
		}
		if u.ids[i] != "" && u.ids[i] != id {
			u.t.Errorf("submitting job %d again gave %s, and %s before", i, id, u.ids[i])
		}
		u.ids[i] = id
	}
	for _, id := range u.ids {
		if _, err := waitUntil(ctx, c, id, func(s mr.Status) bool { return s.State.Done() }); err != nil {
			return
		}
	}
	if u.gc {
		for _, keep := range []int64{3 << 20, 2 << 20, 1 << 20, 512 << 10, 256 << 10, 1} {
			if _, err := c.CacheGC(ctx, mr.CacheGC{Limit: keep}); err != nil {
				return
			}
		}
	}
}

// reap notes how a life ended: what the failpoints did, and that a daemon which ended by
// itself was killed there.
func (u *running) reap(d *daemon, byItself bool, l life) {
	b, err := os.ReadFile(u.log)
	if err == nil {
		err = os.Remove(u.log)
	}
	if err != nil && !os.IsNotExist(err) {
		u.t.Error(err)
	}
	at := strings.Fields(string(b))
	switch {
	case len(at) == 2 && at[1] == "kill":
		u.sums.add("killed at " + at[0])
	case byItself && !l.live:
		u.t.Errorf("the daemon has ended by itself: %s\n%s", d.cmd.ProcessState, d.stderr.String())
	case byItself:
		u.t.Errorf("the daemon has ended because a volume was damaged: %s\n%s", d.cmd.ProcessState, d.stderr.String())
	default:
		u.sums.add("killed at random")
	}
	if left := orphans(u.t, u.store); len(left) > 0 {
		u.t.Errorf("processes outlive their daemon: %v", left)
	}
}

func (u *running) damage(when string) {
	files, _ := filepath.Glob(filepath.Join(u.store, "volumes", "*.db"))
	if len(files) == 0 {
		return
	}
	what := spoil(u.t, u.rng, files[u.rng.IntN(len(files))])
	u.hurt = true
	u.sums.add("damaged " + when + what)
}

// atKill holds what must be true of the outputs at any moment: an old one is whole until
// the new one is there, and what has _SUCCESS is right.
func (u *running) atKill() {
	for i, spec := range u.specs {
		if _, err := os.Lstat(filepath.Join(spec.Output, "_manifest.json")); err == nil || !u.jobs[i].overwrite {
			if _, err := os.Lstat(filepath.Join(spec.Output, "_SUCCESS")); err == nil {
				got, _ := parts(u.t, spec.Output)
				if !bytes.Equal(got, u.jobs[i].want(u.c)) {
					u.t.Errorf("output %d has _SUCCESS and is wrong: %d bytes", i, len(got))
				}
			}
			continue
		}
		if diff := differs(spec.Output, oldFiles()); diff != "" {
			u.t.Errorf("the old output %d is not whole: %s", i, diff)
		}
	}
}

// differs compares a folder with what should be in it. Attempts of the job that will
// replace it may be below _temporary.
func differs(dir string, want map[string]string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok && e.Name() != "_temporary" {
			return "it holds " + e.Name()
		}
	}
	for name, text := range want {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != text {
			return fmt.Sprintf("%s holds %q, %v", name, b, err)
		}
	}
	return ""
}

// last is the life that is left alone.
func (u *running) last() {
	d := start(u.t, launch{store: u.store, flags: u.flags, env: u.env})
	c := d.client()
	if u.cuts > 0 {
		ctx, cancel := context.WithTimeout(u.t.Context(), 20*time.Second)
		defer cancel()
		via, err := d.dialVia(ctx, newWire(u.t, u.dir, u.store, rand.New(rand.NewPCG(u.seed, 10)), u.cuts, u.sums))
		if err != nil {
			u.t.Fatal(err)
		}
		defer via.Close() //nolint:errcheck // the daemon is gone
		c = via
	}
	if u.gc { // what the collection has left must still serve
		spec := u.specs[0]
		spec.Output, spec.Overwrite = filepath.Join(u.dir, "again"), false
		spec.Reducers++
		u.specs, u.jobs, u.ids = append(u.specs, spec), append(slices.Clone(u.jobs), u.jobs[0]), append(u.ids, "")
	}
	for i, spec := range u.specs {
		id := submit(u.t, c, mr.SubmitID(fmt.Sprintf("round-%d", i)), spec)
		if u.ids[i] != "" && u.ids[i] != id {
			u.t.Errorf("submitting job %d again gave %s, and %s before", i, id, u.ids[i])
		}
		u.ids[i] = id
	}
	var tasks, attempts, twins, odd int
	for i, id := range u.ids {
		s := succeed(u.t, c, id)
		u.verify(i, s)
		u.sums.plus("earlier parts and nodes read", s.Merge.Cached)
		for _, p := range []mr.PhaseStatus{s.Map, s.Reduce} {
			tasks, attempts, twins, odd = tasks+p.Tasks, attempts+p.Attempts, twins+p.Speculative, odd+p.Failed
		}
	}
	// An attempt that waits for another task's output is one in flight, too, and a job
	// has as many of them as are computed for it.
	u.sums.plus("tasks", tasks)
	u.sums.plus("attempts beyond one a task", attempts-tasks)
	if !u.hurt && (u.odd == "" && odd > 0 || odd > 1) { // a damaged page may fail the attempt that appends to it
		u.t.Errorf("%d attempts failed, with %q in their processes", odd, u.odd)
	}
	if most := tasks + twins + odd + inFlight*u.kills*len(u.specs); attempts > most && !u.hurt {
		u.t.Errorf("%d attempts for %d tasks with %d kills and %d twins", attempts, tasks, u.kills, twins)
	}
	if list, err := c.List(u.t.Context(), true); err != nil || len(list) != len(u.specs)+u.bases {
		u.t.Errorf("%d jobs on record for %d submissions (%v)", len(list), len(u.specs)+u.bases, err)
	}
	d.alive()
	d.signal(syscall.SIGTERM) // until then processes of job binaries wait for more, each in a folder
	if status := d.ended(20 * time.Second); status != 0 {
		u.t.Errorf("the last daemon ended with status %d\n%s", status, d.stderr.String())
	}
	u.leftovers()
	if !u.hurt {
		checkStore(u.t, u.store)
	}
}

// verify holds that a job that has succeeded is right in all that can be seen of it.
func (u *running) verify(i int, s mr.Status) {
	t, spec := u.t, u.specs[i]
	got, others := parts(t, spec.Output)
	want := u.jobs[i].want(u.c)
	if !bytes.Equal(got, want) {
		t.Errorf("output %d differs: %d bytes, want %d", i, len(got), len(want))
	}
	if slices.Sort(others); !slices.Equal(others, []string{"_SUCCESS", "_manifest.json"}) {
		t.Errorf("left in output %d: %v", i, others)
	}
	m, err := engine.ReadManifest(spec.Output)
	if err != nil || m.Job != s.Job || len(m.Parts) != s.Reduce.Tasks {
		t.Errorf("the manifest of output %d: %+v, %v", i, m, err)
	}
	for _, p := range []mr.PhaseStatus{s.Map, s.Reduce} {
		if p.Run+p.Cached != p.Tasks || p.Running != 0 {
			t.Errorf("job %d: %d tasks, %d ran, %d were cached, %d are running", i, p.Tasks, p.Run, p.Cached, p.Running)
		}
	}
	// A task that committed twice would count twice.
	for name, want := range map[string]int64{
		"map_input_records": int64(u.c.lines), "reduce_output_records": int64(bytes.Count(want, []byte("\n"))),
	} {
		if n := counter(s, name); n != want && !u.hurt {
			t.Errorf("job %d: counter %s is %d, want %d", i, name, n, want)
		}
	}
}

func counter(s mr.Status, name string) int64 {
	for _, c := range s.Counters {
		if c.Group == "mr" && c.Name == name {
			return c.Value
		}
	}
	return 0
}

// leftovers holds that nothing temporary is left beside the outputs and in the store.
func (u *running) leftovers() {
	for _, pattern := range []string{
		filepath.Join(u.dir, ".*"), filepath.Join(u.store, "tmp", "*"), filepath.Join(u.store, "bin", "import-*"),
		filepath.Join(u.store, "volumes", "*.new"), filepath.Join(u.store, "*.new"),
	} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			u.t.Errorf("left over: %v", left)
		}
	}
}

// orphans are the processes of job binaries of a store.
func orphans(t *testing.T, store string) (left []string) {
	t.Helper()
	for range 100 {
		left = nil
		exes, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, exe := range exes {
			if path, err := os.Readlink(exe); err == nil && strings.HasPrefix(path, store) {
				left = append(left, exe)
			}
		}
		if len(left) == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond) // their parent's end is just reaching them
	}
	return left
}
