package robustness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
	"github.com/mrd-io/mr/store"
)

// daemon is a running mrd.
type daemon struct {
	t      *testing.T
	store  string
	cmd    *exec.Cmd
	stderr lockedBuffer
	exited chan struct{}
}

// lockedBuffer is read while the daemon writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch says how to start mrd.
type launch struct {
	store string
	flags []string
	env   []string // besides PATH
	uid   uint32   // 0: that of the test
}

// workers is how many tasks a daemon of these tests runs at once; the engine leases one
// attempt more.
const workers, inFlight = 2, workers + 1

// startDaemon starts mrd on a store.
func startDaemon(t *testing.T, dir string, flags ...string) *daemon {
	t.Helper()
	return start(t, launch{store: dir, flags: flags})
}

func start(t *testing.T, l launch) *daemon {
	t.Helper()
	d := &daemon{t: t, store: l.store, exited: make(chan struct{})}
	d.cmd = exec.Command(program(t, "mrd"), append([]string{"--store", l.store, "--workers", fmt.Sprint(workers)}, l.flags...)...)
	d.cmd.Stderr = &d.stderr
	d.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, l.env...)
	if l.uid != 0 {
		d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: l.uid, Gid: l.uid}}
		d.cmd.Dir = "/"
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.cmd.Wait() //nolint:errcheck // the tests kill it
		close(d.exited)
	}()
	t.Cleanup(d.kill)
	return d
}

var errExited = errors.New("mrd has exited")

// dial waits for the daemon to answer, and gives up when it has exited.
func (d *daemon) dial() (*rpcsvc.Client, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
		c, err := rpcsvc.Dial(ctx, "unix:"+filepath.Join(d.store, "mrd.sock"), rpcsvc.ClientOptions{})
		cancel()
		if err == nil {
			return c, nil
		}
		select {
		case <-d.exited:
			return nil, errExited
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("mrd does not answer: %w\n%s", err, d.stderr.String())
		}
	}
}

// client is dial for a daemon that must live.
func (d *daemon) client() *rpcsvc.Client {
	d.t.Helper()
	c, err := d.dial()
	if err != nil {
		d.t.Fatalf("%v\n%s", err, d.stderr.String())
	}
	d.t.Cleanup(func() { c.Close() }) //nolint:errcheck // going away
	return c
}

func (d *daemon) signal(s syscall.Signal) {
	d.cmd.Process.Signal(s) //nolint:errcheck // it may be gone
}

// kill is SIGKILL, as a power cut of the process; it waits until it is gone.
func (d *daemon) kill() {
	d.signal(syscall.SIGKILL)
	<-d.exited
}

// alive fails the test if the daemon has ended.
func (d *daemon) alive() {
	d.t.Helper()
	select {
	case <-d.exited:
		d.t.Fatalf("the daemon has ended: %s\n%s", d.cmd.ProcessState, d.stderr.String())
	default:
	}
}

// ended waits for the daemon to exit by itself, and returns its status.
func (d *daemon) ended(within time.Duration) int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(within):
		d.t.Fatalf("the daemon did not end within %s\n%s", within, d.stderr.String())
	}
	return d.cmd.ProcessState.ExitCode()
}

// wait waits for a job's end through a client.
func wait(t *testing.T, c mr.Jobs, id mr.JobID) mr.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := waitUntil(ctx, c, id, func(s mr.Status) bool { return s.State.Done() })
	if err != nil {
		t.Fatalf("waiting for %s: %v; it is %s, %s, %+v, %+v", id, err, s.State, s.Phase, s.Map, s.Reduce)
	}
	return s
}

// waitUntil waits until a job's status is as it should be.
func waitUntil(ctx context.Context, c mr.Jobs, id mr.JobID, good func(mr.Status) bool) (s mr.Status, err error) {
	if s, err = c.Status(ctx, id); err != nil {
		return s, err
	}
	for !good(s) {
		now, err := c.Wait(ctx, id, s.Version)
		if err != nil {
			return s, err
		}
		s = now
	}
	return s, nil
}

// succeed waits for a job's end, which must be a good one.
func succeed(t *testing.T, c mr.Jobs, id mr.JobID) mr.Status {
	t.Helper()
	s := wait(t, c, id)
	if s.State != mr.Succeeded {
		t.Fatalf("job %s: %s: %s", id, s.State, s.Error)
	}
	return s
}

// submit gives a job to a daemon.
func submit(t *testing.T, c mr.Jobs, id mr.SubmitID, spec mr.Spec) mr.JobID {
	t.Helper()
	job, err := c.Submit(t.Context(), id, spec)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// logText is a job's log, a line each.
func logText(t *testing.T, c mr.Jobs, id mr.JobID) string {
	t.Helper()
	lines, err := c.Logs(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %s\n", l.Task, l.Text)
	}
	return b.String()
}

// checkStore opens a store that nobody serves and checks all of it.
func checkStore(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("store %s: %v", dir, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// parts reads an output folder: its parts in order, and what else is in it.
func parts(t *testing.T, dir string) (data []byte, others []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if m, _ := filepath.Match("part-*", e.Name()); !m {
			others = append(others, e.Name())
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, b...)
	}
	return data, others
}
