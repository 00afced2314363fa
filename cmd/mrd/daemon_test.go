package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/where"
	"github.com/mrd-io/mr/rpcsvc"
)

// With MRD_MAIN set the test's program is mrd.
func TestMain(m *testing.M) {
	if os.Getenv("MRD_MAIN") != "" {
		os.Exit(mainStatus())
	}
	os.Exit(m.Run())
}

// serving starts mrd and returns its log when it has said that it serves.
func serving(t *testing.T) (mrd *exec.Cmd, log *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	mrd = exec.Command(os.Args[0], "--store", socketDir(t))
	mrd.Env, mrd.Stderr = append(os.Environ(), "MRD_MAIN=1"), w
	if err := mrd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(errors.Join(err, mrd.Wait()))
	}
	return mrd, r
}

// A daemon outlives whoever reads its log, as in mrd 2>&1 | tee log.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	mrd, log := serving(t)
	log.Close()
	if err := errors.Join(mrd.Process.Signal(syscall.SIGTERM), mrd.Wait()); err != nil {
		t.Error(err)
	}
}

// A daemon whose terminal is closed ends as it does when it is told to.
func TestHangUp(t *testing.T) {
	t.Parallel()
	mrd, log := serving(t)
	defer log.Close()
	if err := errors.Join(mrd.Process.Signal(syscall.SIGHUP), mrd.Wait()); err != nil {
		t.Error(err)
	}
}

// noJobs has the methods of mr.Jobs that no test here calls.
type noJobs struct{ mr.Jobs }

// fakeEngine is an engine with one job.
type fakeEngine struct {
	noJobs
	run    error // what Run fails with at once; nil: it runs until its context ends
	closed error

	logs func() // called by Logs
}

func (e *fakeEngine) Crew() rpcsvc.Crew { return nil }
func (e *fakeEngine) Jobs() mr.Jobs     { return e }

func (e *fakeEngine) List(context.Context, bool) ([]mr.Status, error) {
	return []mr.Status{{Job: "job_1", State: mr.Running}}, nil
}

func (e *fakeEngine) Logs(context.Context, mr.JobID) ([]mr.LogLine, error) {
	e.logs()
	return nil, nil
}

func (e *fakeEngine) Run(ctx context.Context) error {
	if e.run != nil {
		return e.run
	}
	<-ctx.Done()
	return ctx.Err()
}

func (e *fakeEngine) Close(context.Context) error { return e.closed }

// lockedBuffer is stderr of a daemon whose parts log at the same time.
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

// socketDir is a folder whose name is short enough for a socket in it.
func socketDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "mrd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// start runs a daemon over e. end stops it and returns its exit status and what it wrote to stderr.
func start(t *testing.T, e *fakeEngine, openErr error, args ...string) (end func() (int, string)) {
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &lockedBuffer{}
	d := &daemon{out: &bytes.Buffer{}, err: stderr, env: func(string) string { return "" }, dir: "/", version: "v1"}
	d.open = func(string, options, *slog.Logger) (engine, error) { return e, openErr }
	status := make(chan int, 1)
	go func() { status <- d.main(ctx, args) }()
	return func() (int, string) {
		cancel()
		select {
		case s := <-status:
			return s, stderr.String()
		case <-time.After(20 * time.Second):
			t.Fatal("the daemon does not stop")
			return 0, ""
		}
	}
}

func dial(t *testing.T, addr string) *rpcsvc.Client {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := rpcsvc.Dial(t.Context(), addr, rpcsvc.ClientOptions{RetryFor: -1})
		if err == nil {
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody serves %s: %v", addr, err)
		}
	}
}

func TestServesAndDrains(t *testing.T) {
	store := socketDir(t)
	other := "unix:" + filepath.Join(store, "other.sock")
	end := start(t, &fakeEngine{}, nil, "--store", store, "--listen", other, "--log-format", "json")
	for _, addr := range []string{"unix:" + filepath.Join(store, where.Socket), other} {
		jobs, err := dial(t, addr).List(t.Context(), true)
		if err != nil || len(jobs) != 1 || jobs[0].Job != "job_1" {
			t.Errorf("%s: %v, %v", addr, jobs, err)
		}
	}
	status, stderr := end()
	if status != 0 {
		t.Errorf("exit status %d after a drain:\n%s", status, stderr)
	}
	var words []string
	for line := range strings.Lines(stderr) {
		var entry struct{ Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("not a JSON log line: %q", line)
		}
		words = append(words, entry.Msg)
	}
	if got := strings.Join(words, " "); !strings.HasPrefix(got, "serving") || !strings.HasSuffix(got, "stopped") || !strings.Contains(got, "draining") {
		t.Errorf("the log says %q", got)
	}
	if _, err := os.Lstat(filepath.Join(store, where.Socket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// Where the system is to choose the port, the log says which one it is.
func TestChosenPort(t *testing.T) {
	store := socketDir(t)
	keys := filepath.Join(store, "keys")
	if err := rpcsvc.InitAuth(keys, rpcsvc.AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	end := start(t, &fakeEngine{}, nil, "--store", store, "--listen", "tcp:127.0.0.1:0", "--auth", keys)
	dial(t, "unix:"+filepath.Join(store, where.Socket))
	if _, stderr := end(); !regexp.MustCompile(`tcp:127\.0\.0\.1:[1-9]`).MatchString(stderr) {
		t.Error(stderr)
	}
}

func TestEnds(t *testing.T) {
	busy := filepath.Join(socketDir(t), "busy.sock")
	l, err := net.Listen("unix", busy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		name   string
		engine fakeEngine
		open   error
		args   []string
		status int
		words  string
	}{
		{name: "held", open: mr.Errorf(mr.Unreachable, "the store is held by process 4711"), status: 3, words: "mrd: the store is held by process 4711\n"},
		{name: "damaged", open: mr.Errorf(mr.Damaged, "the store is of version 9"), status: 4, words: "version 9"},
		{name: "engine fails", engine: fakeEngine{run: mr.Errorf(mr.Damaged, "the catalog is damaged")}, status: 4, words: "mrd: the catalog is damaged"},
		{name: "busy socket", args: []string{"--listen", "unix:" + busy}, status: 3, words: "another process is listening there"},
		{name: "open to the world", args: []string{"--listen", "tcp:0.0.0.0:0"}, status: 5, words: "needs keys for TLS"},
		{name: "close fails", engine: fakeEngine{run: mr.Errorf(mr.Damaged, "first"), closed: errors.New("second")}, status: 4, words: "mrd: first\n"},
		{name: "unknown flag", args: []string{"--prot", "1"}, status: 2, words: "unknown flag: --prot; see mrd --help"},
		{name: "argument", args: []string{"wordcount"}, status: 2, words: `got "wordcount"; jobs are given to`},
		{name: "memory", args: []string{"--memory", "much"}, status: 2, words: "no unit that is known"},
		{name: "workers", args: []string{"--workers", "-1"}, status: 2, words: "--workers -1"},
		{name: "log format", args: []string{"--log-format", "xml"}, status: 2, words: `--log-format "xml"`},
		{name: "long path", args: []string{"--listen", "unix:/" + strings.Repeat("p", 103)}, status: 2, words: "mrd: --listen: the path of socket"},
		{name: "long store", args: []string{"--store", "/" + strings.Repeat("p", 99)}, status: 2, words: "mrd: --store /ppp"},
		{name: "no port", args: []string{"--listen", "tcp:[::1"}, status: 2, words: "mrd: --listen: address"},
		{name: "address", args: []string{"--listen", "nowhere"}, status: 2, words: `--listen: address "nowhere"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			stderr := &lockedBuffer{}
			d := &daemon{out: &bytes.Buffer{}, err: stderr, env: func(string) string { return "" }, dir: "/"}
			d.open = func(string, options, *slog.Logger) (engine, error) { return &c.engine, c.open }
			if got := d.main(ctx, append([]string{"--store", socketDir(t)}, c.args...)); got != c.status || !strings.Contains(stderr.String(), c.words) {
				t.Errorf("exit status %d, want %d, with %q in:\n%s", got, c.status, c.words, stderr)
			}
		})
	}
}

// A request that waits for what never comes keeps no daemon from ending.
func TestStuckRequest(t *testing.T) {
	store := socketDir(t)
	asked, never := make(chan struct{}), make(chan struct{})
	defer close(never)
	end := start(t, &fakeEngine{logs: func() { close(asked); <-never }}, nil, "--store", store)
	c := dial(t, "unix:"+filepath.Join(store, where.Socket))
	go c.Logs(t.Context(), "job_1") //nolint:errcheck // it is cut off
	<-asked
	began := time.Now()
	if status, stderr := end(); status != 0 || !strings.Contains(stderr, "cut off") || time.Since(began) > 8*time.Second {
		t.Errorf("exit status %d after %v:\n%s", status, time.Since(began), stderr)
	}
}

// An engine that cannot drain in time is cut off, and that is no failure: its tasks run again.
func TestCutOffIsNoFailure(t *testing.T) {
	store := socketDir(t)
	end := start(t, &fakeEngine{closed: context.DeadlineExceeded}, nil, "--store", store)
	dial(t, "unix:"+filepath.Join(store, where.Socket))
	if status, stderr := end(); status != 0 || !strings.Contains(stderr, "cut off") {
		t.Errorf("exit status %d:\n%s", status, stderr)
	}
}

func TestWords(t *testing.T) {
	for flag, want := range map[string]string{"--help": "--log-format FORMAT", "--version": "mrd v1\n"} {
		var out bytes.Buffer
		d := &daemon{out: &out, err: &out, env: func(string) string { return "" }, version: "v1"}
		if got := d.main(t.Context(), []string{flag}); got != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit status %d and %q", flag, got, out.String())
		}
	}
}
