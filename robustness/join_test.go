package robustness

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
)

// joined is a running mrd worker.
type joined struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr lockedBuffer
	exited chan struct{}
}

// join starts a worker with room for two tasks.
func join(t *testing.T, addr, name string, env []string, flags ...string) *joined {
	t.Helper()
	w := &joined{t: t, exited: make(chan struct{})}
	args := append([]string{"worker", "--join", addr, "--name", name, "--workers", "2", "--cache", filepath.Join(t.TempDir(), "cache")}, flags...)
	w.cmd = exec.Command(program(t, "mrd"), args...)
	w.cmd.Stderr = &w.stderr
	w.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		w.cmd.Wait() //nolint:errcheck // the tests kill it
		close(w.exited)
	}()
	t.Cleanup(w.kill)
	return w
}

func (w *joined) signal(s syscall.Signal) {
	w.cmd.Process.Signal(s) //nolint:errcheck // it may be gone
}

func (w *joined) kill() {
	w.signal(syscall.SIGKILL)
	<-w.exited
}

// crewed waits until a daemon's workers are as they should be.
func crewed(t *testing.T, c mr.Fleet, what string, good func(w mr.Worker) bool) mr.Worker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		list, err := c.Workers(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		for _, w := range list {
			if w.Lease > 0 && good(w) {
				return w
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func there(w mr.Worker) bool { return w.State != mr.WorkerSilent }
func busy(w mr.Worker) bool  { return w.State == mr.WorkerBusy }

// slowSeal keeps the map attempts of a worker in flight for long enough to be met there.
const slowSeal = "MR_FAILPOINTS=worker/before-seal=sleep:300ms"

// rightOnce holds that a job has the right output, and counted every record once.
func rightOnce(t *testing.T, c *corpus, s mr.Status, out string) {
	t.Helper()
	if got, others := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) || len(others) != 2 {
		t.Errorf("the output differs, or more than it is left: %v", others)
	}
	if n := counter(s, "map_input_records"); n != int64(c.lines) {
		t.Errorf("%d records were counted, and there are %d", n, c.lines)
	}
	if s.Map.Run != s.Map.Tasks || s.Reduce.Run != s.Reduce.Tasks {
		t.Errorf("tasks were committed more or less than once: %+v %+v", s.Map, s.Reduce)
	}
	if s.Merge.Run == 0 {
		t.Error("no inner node of a merge was kept")
	}
}

func joinSpec(c *corpus, out string) mr.Spec {
	return mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, SplitSize: 128 << 10, Reducers: 5, Incremental: true}
}

func socket(d *daemon) string { return "unix:" + filepath.Join(d.store, "mrd.sock") }

// TestStoppedWorker stops a worker that has tasks for twice its lease, and continues it:
// its attempts are fenced, the job ends without it, and what it says afterwards is dropped
// and logged. Then it works again.
func TestStoppedWorker(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	const lease = time.Second
	d := startDaemon(t, filepath.Join(dir, "store"), "--silence", lease.String())
	cl := d.client()
	w := join(t, socket(d), "zombie", []string{slowSeal})
	crewed(t, cl, "a worker", there)
	out := filepath.Join(dir, "out")
	id := submit(t, cl, "stopped", joinSpec(c, out))
	crewed(t, cl, "a task on the worker", busy)
	w.signal(syscall.SIGSTOP)
	stopped := time.Now()
	crewed(t, cl, "the end of the lease", func(w mr.Worker) bool { return w.State == mr.WorkerSilent })
	s := succeed(t, cl, id)
	rightOnce(t, c, s, out)
	if log := logText(t, cl, id); !strings.Contains(log, "worker zombie was silent for more than 1s: its attempt is fenced") {
		t.Errorf("the log does not say that an attempt was fenced:\n%s", log)
	}
	time.Sleep(time.Until(stopped.Add(2 * lease)))
	w.signal(syscall.SIGCONT)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(d.stderr.String(), "the fenced attempt on worker zombie has answered after all"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was heard of the zombie:\n%s\n%s", d.stderr.String(), w.stderr.String())
		}
	}
	crewed(t, cl, "the worker's return", there)
	again := succeed(t, cl, id)
	rightOnce(t, c, again, out)
	d.alive()
	d.kill()
	checkStore(t, d.store)
}

// TestWorkerOfTheSameName starts a worker under the name of another: the older one is told,
// and ends; the job goes on with the newer.
func TestWorkerOfTheSameName(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	d := startDaemon(t, filepath.Join(dir, "store"))
	cl := d.client()
	old := join(t, socket(d), "twin", []string{slowSeal})
	first := crewed(t, cl, "a worker", there)
	out := filepath.Join(dir, "out")
	id := submit(t, cl, "twice", joinSpec(c, out))
	crewed(t, cl, "a task on the worker", busy)
	young := join(t, socket(d), "twin", nil)
	crewed(t, cl, "the newer worker", func(w mr.Worker) bool { return w.PID != first.PID })
	select {
	case <-old.exited:
	case <-time.After(20 * time.Second):
		t.Fatalf("the older worker goes on:\n%s", old.stderr.String())
	}
	if status := old.cmd.ProcessState.ExitCode(); status != 5 || !strings.Contains(old.stderr.String(), `a worker named "twin" was started later`) {
		t.Errorf("the older worker ended with status %d and said\n%s", status, old.stderr.String())
	}
	rightOnce(t, c, succeed(t, cl, id), out)
	list, err := cl.Workers(t.Context())
	if err != nil || len(list) != 2 || list[1].PID != young.cmd.Process.Pid {
		t.Errorf("workers: %+v, %v", list, err)
	}
}

// TestKilledWorker kills a worker that has tasks: they run elsewhere.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	d := startDaemon(t, filepath.Join(dir, "store"))
	cl := d.client()
	w := join(t, socket(d), "victim", []string{slowSeal})
	crewed(t, cl, "a worker", there)
	out := filepath.Join(dir, "out")
	id := submit(t, cl, "killed", joinSpec(c, out))
	crewed(t, cl, "a task on the worker", busy)
	w.kill()
	s := succeed(t, cl, id)
	rightOnce(t, c, s, out)
	if s.Map.Failed > 0 {
		t.Errorf("a worker's death counts as failure: %+v", s.Map)
	}
	d.kill()
	checkStore(t, d.store)
}

// TestDaemonDiesUnderWorkers kills the daemon while a worker has tasks: the worker joins
// the next life, and the attempts of the former are nobody's.
func TestDaemonDiesUnderWorkers(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	// The daemon's own workers are slow as well, so that the job outlives all lives but the last.
	slow := launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=worker/split-read=sleep:400ms"}}
	d := start(t, slow)
	w := join(t, socket(d), "faithful", []string{slowSeal})
	cl := d.client()
	crewed(t, cl, "a worker", there)
	out := filepath.Join(dir, "out")
	id := submit(t, cl, "died", joinSpec(c, out))
	for range 3 {
		crewed(t, cl, "a task on the worker", busy)
		d.kill()
		d = start(t, slow)
		cl = d.client()
		crewed(t, cl, "the worker's return", there)
	}
	rightOnce(t, c, succeed(t, cl, id), out)
	select {
	case <-w.exited:
		t.Errorf("the worker has ended:\n%s", w.stderr.String())
	default:
	}
	d.kill()
	checkStore(t, d.store)
}

// TestWorkerBeyondTheHost joins over TCP with TLS and keys, fetches the job's binary, and
// does all of the job's work; without keys it is refused.
func TestWorkerBeyondTheHost(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := rpcsvc.InitAuth(keys, rpcsvc.AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := "tcp:" + l.Addr().String()
	l.Close() //nolint:errcheck // its number is what was wanted
	// Attempts on the daemon's own worker take so long that the other one does the job.
	d := start(t, launch{store: filepath.Join(dir, "store"), flags: []string{"--listen", addr, "--auth", keys}, env: []string{"MR_FAILPOINTS=worker/split-read=sleep:400ms"}})
	cl := d.client()
	stranger := join(t, addr, "stranger", nil)
	select {
	case <-stranger.exited:
	case <-time.After(20 * time.Second):
		t.Fatal("a worker without keys goes on")
	}
	if status := stranger.cmd.ProcessState.ExitCode(); status != 5 {
		t.Errorf("a worker without keys ended with status %d:\n%s", status, stranger.stderr.String())
	}
	join(t, addr, "far", nil, "--auth", filepath.Join(keys, "client"))
	crewed(t, cl, "a worker with a synchronised clock", func(w mr.Worker) bool { return w.Bound > 0 })
	out := filepath.Join(dir, "out")
	spec := joinSpec(c, out)
	spec.Job, spec.Code = "", mr.Code{Kind: mr.Binary, Path: program(t, "job"), Source: "job"}
	id := submit(t, cl, "far", spec)
	s := succeed(t, cl, id)
	rightOnce(t, c, s, out)
	times, err := cl.Timeline(t.Context(), id)
	if err != nil || len(times) != s.Map.Tasks+s.Reduce.Tasks {
		t.Fatalf("%d attempts in the timeline, of %+v %+v; %v", len(times), s.Map, s.Reduce, err)
	}
	far := map[string]int{}
	for _, x := range times {
		far[x.Worker+x.Task[:1]]++
		if x.Worker == "daemon" && x.BeganBound != 0 || x.Worker == "far" && (x.BeganBound <= 0 || x.EndedBound <= 0) || !x.Known {
			t.Errorf("%+v", x)
		}
		if x.Began.Before(s.Submitted.Add(-x.BeganBound)) || x.Ended.After(s.Ended.Add(x.EndedBound)) {
			t.Errorf("%+v is not within the job's time, from %s to %s", x, s.Submitted, s.Ended)
		}
	}
	if far["farm"] == 0 || far["farr"] == 0 {
		t.Errorf("who did what: %v", far)
	}
	// What the worker has made is as good as any other for the next job.
	spec.Output, spec.Reducers = filepath.Join(dir, "out2"), 3
	s = succeed(t, cl, submit(t, cl, "far again", spec))
	if s.Map.Cached != s.Map.Tasks {
		t.Errorf("%+v", s.Map)
	}
}
