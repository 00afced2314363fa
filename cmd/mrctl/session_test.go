package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	mr "github.com/mrd-io/mr"
)

// holding is a system whose store is held, and whose daemon is stopped, or is just starting: nobody listens
// before it is ready, and is then stopped.
type holding struct {
	fakeSystem
	ready time.Time
}

func (h holding) Dial(ctx context.Context, addr, _ string) (connection, error) {
	if time.Now().Before(h.ready) {
		return nil, mr.Errorf(mr.Unreachable, "connecting to %s: %w", addr, syscall.ECONNREFUSED)
	}
	<-ctx.Done()
	return nil, mr.Errorf(mr.Interrupted, "connecting to %s: %w", addr, ctx.Err())
}

func (h holding) Open(dir string, _ nodeOptions) (node, error) {
	time.Sleep(time.Second) // for the lock
	return nil, mr.Errorf(mr.Unreachable, "store %s is in use by process 4711", dir)
}

// Each try to connect to a stopped daemon takes as long as one may take: there is one, or time for one.
func TestStoppedDaemonIsToldSoon(t *testing.T) {
	store := t.TempDir()
	if err := os.WriteFile(filepath.Join(store, "mrd.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, starting := range map[string]time.Duration{"stopped": 0, "stopped after its start": 1200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			a := app{system: holding{ready: began.Add(starting)}, store: store, dir: "/", env: func(string) string { return "" }}
			_, err := a.open(t.Context(), toRead, nodeOptions{})
			if took := time.Since(began); took > dialTimeout+1500*time.Millisecond || !errors.Is(err, mr.ErrUnreachable) || !strings.Contains(err.Error(), "4711") {
				t.Errorf("%s: %v after %v", what, err, took)
			}
		})
	}
}

// distant is a system whose daemon takes its time to answer.
type distant struct{ fakeSystem }

func (distant) Dial(ctx context.Context, addr, _ string) (connection, error) {
	if !sleep(ctx, 3*time.Second) {
		return nil, mr.Errorf(mr.Interrupted, "connecting to %s: %w", addr, ctx.Err())
	}
	return nil, nil
}

// A daemon at the other end of a slow line is no stopped one.
func TestDistantDaemonIsReached(t *testing.T) {
	for addr, want := range map[string]error{"tcp:far:7070": nil, "unix:/near": mr.ErrUnreachable} {
		synctest.Test(t, func(t *testing.T) {
			a := app{system: distant{}, store: t.TempDir(), addr: addr, dir: "/", env: func(string) string { return "" }}
			if _, err := a.open(t.Context(), toDaemon, nodeOptions{}); !errors.Is(err, want) {
				t.Errorf("%s: %v", addr, err)
			}
		})
	}
}

// A daemon that has been stopped accepts connections, and does not answer: it can't be reached, and
// nobody has interrupted the command.
func TestStoppedDaemonIsUnreachable(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	addr := "unix:" + l.Addr().String()
	a := app{system: realSystem{}, store: t.TempDir(), addr: addr, dir: "/", env: func(string) string { return "" }}
	for r, what := range map[reach]string{toRead: "a question", toRun: "a job", toDaemon: "a submission"} {
		if _, err := a.open(t.Context(), r, nodeOptions{}); !errors.Is(err, mr.ErrUnreachable) || errors.Is(err, mr.ErrInterrupted) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// endedSystem has a node whose engine ends by itself.
type endedSystem struct {
	fakeSystem
	why error
}

func (e endedSystem) Open(string, nodeOptions) (node, error) { return endedNode{why: e.why}, nil }

type endedNode struct {
	fakeNode
	why error
}

func (e endedNode) Close(context.Context) error { return e.why }

// What a command says of an engine in its own process that has ended is why it did.
func TestEndOfTheEngineSaysWhy(t *testing.T) {
	stopped, used := mr.Errorf(mr.Unreachable, "the engine has stopped"), mr.Errorf(mr.Usage, "no such thing")
	damaged, plain := mr.Errorf(mr.Damaged, "the catalog is damaged"), errors.New("input/output error")
	for _, c := range []struct{ said, why, want error }{
		{stopped, damaged, damaged}, {stopped, nil, stopped}, {used, damaged, used}, {nil, damaged, damaged}, {nil, nil, nil},
	} {
		a := app{system: endedSystem{why: c.why}, store: t.TempDir(), dir: "/", env: func(string) string { return "" }}
		if err := a.with(t.Context(), toRun, nodeOptions{}, func(*session) error { return c.said }); err != c.want {
			t.Errorf("%v, and the end is %v: %v", c.said, c.why, err)
		}
	}
	a := app{system: endedSystem{why: plain}, store: t.TempDir(), dir: "/", env: func(string) string { return "" }}
	err := a.with(t.Context(), toRun, nodeOptions{}, func(*session) error { return stopped })
	if !errors.Is(err, plain) || mr.KindOf(err) != mr.Unreachable {
		t.Errorf("an end of no kind: %v", err)
	}
	a = app{system: endedSystem{}, store: t.TempDir(), dir: "/", env: func(string) string { return "" }}
	err = a.with(t.Context(), toRun, nodeOptions{}, func(*session) error { return plain })
	if e, told := errors.AsType[*mr.Error](err); !told || e.Kind != mr.Failed || !errors.Is(err, plain) {
		t.Errorf("an error of no kind: %v, which main takes for wrong usage", err)
	}
}
