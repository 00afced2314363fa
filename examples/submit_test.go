// Package examples_test runs the examples that are programs of other kinds than a main
// with tests of its own.
package examples_test

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
)

// engine takes one job and has it done at once.
type engine struct {
	mr.Jobs
	specs    chan mr.Spec
	stopping atomic.Int32 // so many polls are told that the daemon is stopping
}

func (e *engine) Submit(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	if spec.Job != "wordcount" {
		return "", mr.Errorf(mr.Usage, "there is no job %q", spec.Job)
	}
	e.specs <- spec
	return "job_1", nil
}

func (e *engine) Wait(ctx context.Context, job mr.JobID, since uint64) (mr.Status, error) {
	if e.stopping.Add(-1) >= 0 {
		return mr.Status{}, mr.Errorf(mr.Unreachable, "the daemon is stopping; ask again")
	}
	return mr.Status{Job: job, State: mr.Succeeded, Output: "/out", Version: since + 1}, nil
}

// serve starts a server and returns the addresses of its socket and its port, and
// the folder of keys.
func serve(t *testing.T, e *engine) (socket, port, keys string) {
	t.Helper()
	dir := t.TempDir()
	socket, keys = filepath.Join(dir, "s"), filepath.Join(dir, "keys")
	if err := rpcsvc.InitAuth(keys, rpcsvc.AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	auth, err := rpcsvc.LoadServerAuth(keys)
	if err != nil {
		t.Fatal(err)
	}
	unix, err := rpcsvc.Listen("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := rpcsvc.ListenAuth("tcp:127.0.0.1:0", auth)
	if err != nil {
		t.Fatal(err)
	}
	s := rpcsvc.NewServer(e, rpcsvc.ServerOptions{Auth: auth})
	served := make(chan error, 2)
	for _, l := range []net.Listener{unix, tcp} {
		go func() { served <- s.Serve(context.Background(), l) }()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := s.Shutdown(ctx)
		if err := errors.Join(err, <-served, <-served); err != nil {
			t.Error(err)
		}
	})
	return socket, tcp.Addr().String(), keys
}

func (e *engine) took(t *testing.T, want ...string) {
	t.Helper()
	select {
	case spec := <-e.specs:
		if got := append([]string{spec.Output}, spec.Inputs...); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("submitted %q; want %q", got, want)
		}
	default:
		t.Error("nothing was submitted")
	}
}

func TestSubmitStock(t *testing.T) {
	e := &engine{specs: make(chan mr.Spec, 1)}
	socket, _, _ := serve(t, e)
	out, err := exec.Command("go", "run", "./submit-stock", socket, "/out", "/in/a", "/in/b").CombinedOutput()
	if err != nil || string(out) != "job_1\n" {
		t.Fatalf("%s%v", out, err)
	}
	e.took(t, "/out", "/in/a", "/in/b")
}

// TestSubmitPython runs submit.py where there is a python3.
func TestSubmitPython(t *testing.T) {
	script, err := filepath.Abs("submit.py")
	if err != nil {
		t.Fatal(err)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("no python3 here: submit.py was not run")
		return
	}
	e := &engine{specs: make(chan mr.Spec, 1)}
	socket, port, keys := serve(t, e)
	for _, flags := range [][]string{
		{"--addr", "unix:" + socket},
		{"--addr", "tcp:" + port, "--keys", filepath.Join(keys, "client")},
	} {
		e.stopping.Store(2)
		args := append(append([]string{script}, flags...), "--output", "/out", "wordcount", "/in/a")
		out, err := exec.Command(python, args...).CombinedOutput()
		if err != nil || string(out) != "job_1\nSUCCEEDED /out\n" {
			t.Fatalf("%v: %s%v", flags, out, err)
		}
		e.took(t, "/out", "/in/a")
	}
	out, err := exec.Command(python, script, "--addr", "unix:"+socket, "--output", "/out", "nothing", "/in").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `usage: there is no job "nothing"`) {
		t.Errorf("an unknown job: %s%v", out, err)
	}
}
