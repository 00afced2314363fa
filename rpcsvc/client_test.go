package rpcsvc

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

var someSpec = mr.Spec{
	Job:  "wordcount",
	Code: mr.Code{Kind: mr.Binary, Path: "/bin/wc", Digest: mr.Digest{1, 2, 3}, Source: "./wc"},
	Args: []string{"--lower"}, Inputs: []string{"/in/*.txt"}, Output: "/out",
	InputFormat: mr.Format{Kind: mr.Fixed, N: 100}, OutputFormat: "text",
	Reducers: 3, SplitSize: 1 << 20, RecordLimit: 5, Overwrite: true, NoCache: true,
}

func TestClientIsJobs(t *testing.T) {
	jobs := newFakeJobs()
	s, addr := start(t, jobs, ServerOptions{Version: "v1", StoreDir: "/store"})
	c := connect(t, addr, ClientOptions{})
	ctx := t.Context()

	if h := c.Hello(); h.Version != "v1" || h.Store != "/store" || h.Epoch != s.epoch || h.Wire != WireVersion {
		t.Errorf("hello: %+v", h)
	}
	job, err := c.Submit(ctx, "id1", someSpec)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Submit(ctx, "id1", someSpec); err != nil || again != job {
		t.Errorf("same id, same spec: %v, %v; want %v", again, err, job)
	}
	if _, err := c.Submit(ctx, "id1", mr.Spec{Job: "other"}); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("same id, other spec: %v; want refused", err)
	}
	local, _ := jobs.Status(ctx, job)
	if st, err := c.Status(ctx, job); err != nil || !reflect.DeepEqual(st, local) {
		t.Errorf("status:\n%+v, %v\nwant\n%+v", st, err, local)
	}
	_, far := c.Status(ctx, "job_x")
	_, near := jobs.Status(ctx, "job_x")
	if !errors.Is(far, mr.ErrNotFound) || far.Error() != near.Error() {
		t.Errorf("unknown job: %v; want %v", far, near)
	}
	if l, err := c.List(ctx, false); err != nil || len(l) != 1 {
		t.Errorf("list: %v, %v", l, err)
	}
	if st, err := c.Wait(ctx, job, 0); err != nil || st.Version != 1 {
		t.Errorf("wait since 0: %+v, %v", st, err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		c.Kill(context.Background(), job)
	}()
	if st, err := c.Wait(ctx, job, 1); err != nil || st.State != mr.Killed {
		t.Errorf("wait since 1: %+v, %v", st, err)
	}
	if l, err := c.List(ctx, false); err != nil || len(l) != 0 {
		t.Errorf("list after kill: %v, %v", l, err)
	}
	checkEqual(t, "logs", func(j mr.Jobs) (any, error) { return j.Logs(ctx, "x") }, jobs, c)
	checkEqual(t, "explain", func(j mr.Jobs) (any, error) { return j.Explain(ctx, "x", "y") }, jobs, c)
	checkEqual(t, "dryrun", func(j mr.Jobs) (any, error) { return j.DryRun(ctx, someSpec) }, jobs, c)
	checkEqual(t, "lineage", func(j mr.Jobs) (any, error) { return j.Lineage(ctx, "/out", -1) }, jobs, c)
	checkEqual(t, "impact", func(j mr.Jobs) (any, error) { return j.Impact(ctx, "/f") }, jobs, c)
	checkEqual(t, "cachestats", func(j mr.Jobs) (any, error) { return j.CacheStats(ctx) }, jobs, c)
}

func checkEqual(t *testing.T, what string, call func(mr.Jobs) (any, error), near, far mr.Jobs) {
	t.Helper()
	want, err := call(near)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := call(far); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
	}
}

func TestNoDaemon(t *testing.T) {
	began := time.Now()
	_, err := Dial(t.Context(), "unix:"+t.TempDir()+"/none", ClientOptions{})
	if !errors.Is(err, mr.ErrUnreachable) {
		t.Errorf("got %v; want unreachable", err)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("took %v to say so", d)
	}
}

// A daemon that is killed while a client waits for its hello has not too many connections: there is none.
func TestDaemonKilledWhileConnecting(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		where := "127.0.0.1:0"
		if network == "unix" {
			where = t.TempDir() + "/s"
		}
		l, err := net.Listen(network, where)
		if err != nil {
			t.Fatal(err)
		}
		killed := make(chan error, 1)
		go func() {
			nc, err := l.Accept()
			if err == nil {
				_, err = nc.Read(make([]byte, 1)) // the client has begun to talk
				l.Close()
				nc.Close()
			}
			killed <- err
		}()
		_, err = Dial(t.Context(), network+":"+l.Addr().String(), ClientOptions{Auth: &Auth{token: "t"}})
		if !errors.Is(err, mr.ErrUnreachable) || !strings.Contains(err.Error(), "the daemon ended before it answered") || strings.Contains(err.Error(), "too many") {
			t.Errorf("%s: %v", network, err)
		}
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
	}
}

// What counts for RetryFor is how long the daemon has been away, and not how long the call took before it went.
func TestLongCallIsMadeAgain(t *testing.T) {
	const patience = 100 * time.Millisecond
	jobs := newFakeJobs()
	s, addr := start(t, jobs, ServerOptions{})
	calls := 0
	jobs.hook = func(context.Context, string) error {
		if calls++; calls > 1 {
			return nil
		}
		time.Sleep(2 * patience)
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.close()
		}
		return nil
	}
	if _, err := connect(t, addr, ClientOptions{RetryFor: patience}).CacheStats(t.Context()); err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// A connection that something on the way has lost is noticed by who waits on it for a job's end.
func TestWaitOnALostConnection(t *testing.T) {
	jobs := newFakeJobs()
	_, addr := start(t, jobs, ServerOptions{})
	job, err := jobs.Submit(t.Context(), "sub", someSpec)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var lost atomic.Bool
	go func() { // the first connection takes what is sent, and brings nothing, from when it is lost
		for first := true; ; first = false {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
			if err != nil {
				return
			}
			go func() {
				io.Copy(far, near)
				far.Close()
			}()
			go func() {
				buf := make([]byte, 4096)
				for {
					n, err := far.Read(buf)
					if err != nil {
						near.Close()
						return
					}
					if !first || !lost.Load() {
						near.Write(buf[:n])
					}
				}
			}()
		}
	}()
	c := connect(t, "unix:"+l.Addr().String(), ClientOptions{PollTime: 100 * time.Millisecond})
	lost.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if st, err := c.Wait(ctx, job, 0); err != nil || st.Job != job {
		t.Errorf("got %v, %v", st.Job, err)
	}
}

// One that listens and hangs up has its reasons, and they are not that it ended.
func TestDaemonHangsUp(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.Close()
		}
	}()
	if _, err := Dial(t.Context(), "unix:"+l.Addr().String(), ClientOptions{}); !errors.Is(err, mr.ErrUnreachable) || !strings.Contains(err.Error(), "has too many") {
		t.Errorf("got %v", err)
	}
}

// Callers that wait for one dial learn together that it has failed: each of them keeps its time, however many they are.
func TestCallersShareAFailedDial(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // and nobody accepts
	const dial = 200 * time.Millisecond
	c := &Client{addr: "unix:" + l.Addr().String(), o: ClientOptions{RetryFor: dial, DialTime: dial}}
	began := time.Now()
	var asking sync.WaitGroup
	for range 30 {
		asking.Go(func() {
			if _, err := c.CacheStats(t.Context()); !errors.Is(err, mr.ErrUnreachable) || !strings.Contains(err.Error(), "no answer within") {
				t.Errorf("got %v", err)
			}
		})
	}
	asking.Wait()
	if d := time.Since(began); d > 20*dial {
		t.Errorf("30 callers took %v to learn that nobody answers within %v", d, dial)
	}
}
