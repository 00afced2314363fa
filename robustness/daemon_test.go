package robustness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
	"github.com/mrd-io/mr/store"
)

// build makes the programs once for all tests of the process.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mr-robustness-*")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "../cmd/mrd", "../cmd/mrctl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := build(); err == nil {
		os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	}
	os.Exit(code)
}

func program(t *testing.T, name string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// daemon is a running mrd.
type daemon struct {
	t      *testing.T
	store  string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{}
}

// startDaemon starts mrd on a store and waits until it answers. extra are further flags.
func startDaemon(t *testing.T, dir string, extra ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, store: dir, exited: make(chan struct{})}
	d.cmd = exec.Command(program(t, "mrd"), append([]string{"--store", dir, "--workers", "2"}, extra...)...)
	d.cmd.Stderr = &d.stderr
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

// client dials the daemon, waiting for it to come up.
func (d *daemon) client() *rpcsvc.Client {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
		c, err := rpcsvc.Dial(ctx, "unix:"+filepath.Join(d.store, "mrd.sock"), rpcsvc.ClientOptions{})
		cancel()
		if err == nil {
			d.t.Cleanup(func() { c.Close() }) //nolint:errcheck // going away
			return c
		}
		select {
		case <-d.exited:
			d.t.Fatalf("mrd has exited: %v\n%s", err, d.stderr.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("mrd does not answer: %v\n%s", err, d.stderr.String())
		}
	}
}

// kill is SIGKILL, as a power cut of the process; it waits until it is gone.
func (d *daemon) kill() {
	d.cmd.Process.Signal(syscall.SIGKILL) //nolint:errcheck // it may be gone
	<-d.exited
}

// wait waits for a job's end through a client.
func wait(t *testing.T, c mr.Jobs, id mr.JobID) mr.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var s mr.Status
	var err error
	for !s.State.Done() {
		if s, err = c.Wait(ctx, id, s.Version); err != nil {
			t.Fatalf("waiting for %s: %v", id, err)
		}
	}
	return s
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

// rounds is how often a test repeats: few in go test, MR_CRASH_ROUNDS in make crash.
func rounds(t *testing.T, short int) int {
	t.Helper()
	if s := os.Getenv("MR_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("MR_CRASH_ROUNDS=%s: %v", s, err)
		}
		return n
	}
	return short
}

// seeds returns the seeds of a test's rounds.
func seeds(t *testing.T, short int) (list []uint64) {
	t.Helper()
	if s := os.Getenv("MR_CRASH_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("MR_CRASH_SEED=%s: %v", s, err)
		}
		return []uint64{n}
	}
	base := uint64(1)
	if os.Getenv("MR_CRASH_ROUNDS") != "" {
		base = uint64(time.Now().UnixNano())
	}
	for i := range rounds(t, short) {
		list = append(list, base+uint64(i))
	}
	return list
}
