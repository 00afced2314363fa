package rpcsvc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// cutter is a proxy on a unix socket that cuts connections: after so many bytes
// towards the server, or towards the client.
type cutter struct {
	addr, to string

	mu   sync.Mutex
	cuts []cut // one a connection, in order; then none
	conn sync.WaitGroup
}

type cut struct{ up, down int64 } // bytes let through; < 0: all

func startCutter(t testing.TB, to string) *cutter {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	k := &cutter{addr: "unix:" + path, to: to[len("unix:"):]}
	k.conn.Add(1)
	go func() {
		defer k.conn.Done()
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			k.conn.Add(1)
			go k.carry(near)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		k.conn.Wait()
	})
	return k
}

func (k *cutter) carry(near net.Conn) {
	defer k.conn.Done()
	defer near.Close()
	k.mu.Lock()
	c := cut{-1, -1}
	if len(k.cuts) > 0 {
		c, k.cuts = k.cuts[0], k.cuts[1:]
	}
	k.mu.Unlock()
	far, err := net.Dial("unix", k.to)
	if err != nil {
		return
	}
	defer far.Close()
	over := make(chan struct{}, 2)
	pipe := func(dst, src net.Conn, n int64) {
		if n < 0 {
			io.Copy(dst, src)
		} else {
			io.CopyN(dst, src, n)
		}
		over <- struct{}{}
	}
	go pipe(far, near, c.up)
	go pipe(near, far, c.down)
	<-over
	near.Close()
	far.Close()
	<-over
}

// TestOneJobASubmitID cuts connections at every class of byte, and kills the server in
// between, while clients submit: whatever happens, an id makes one job. MR_RPC_TRIALS
// sets how many submissions; the long form is 1,000.
func TestOneJobASubmitID(t *testing.T) {
	trials := 30
	if v := os.Getenv("MR_RPC_TRIALS"); v != "" {
		var err error
		if trials, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	jobs := newFakeJobs() // what is durable: it outlives the servers
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	serve := func() (kill func()) {
		l, err := Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		s := NewServer(jobs, ServerOptions{})
		over := make(chan struct{})
		go func() {
			defer close(over)
			if err := s.Serve(context.Background(), l); err != nil {
				t.Error(err)
			}
		}()
		return func() {
			cut, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(cut) // at once: nothing in flight is answered
			<-over
		}
	}
	kill := serve()
	proxy := startCutter(t, addr)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range trials {
		// Hello takes some 600 bytes up and 400 down; a submission some 500 and 100.
		cuts := []cut{{-1, -1}}
		for range 1 + r.IntN(3) {
			cuts = append(cuts, [...]cut{{0, -1}, {-1, 0}, {r.Int64N(1500), -1}, {-1, r.Int64N(800)}}[r.IntN(4)])
		}
		proxy.mu.Lock()
		proxy.cuts = nil
		proxy.mu.Unlock()
		c, err := Dial(t.Context(), proxy.addr, ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		proxy.mu.Lock()
		proxy.cuts = cuts[1:]
		proxy.mu.Unlock()
		c.mu.Lock()
		c.link.codec.Close() // the next attempt meets the first cut
		c.mu.Unlock()
		if r.IntN(8) == 0 {
			kill()
			restarted := make(chan struct{})
			go func() {
				time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
				kill = serve()
				close(restarted)
			}()
			defer func() { <-restarted }()
			submitTwice(t, c, i)
			<-restarted
		} else {
			submitTwice(t, c, i)
		}
		c.Close()
	}
	kill()
	if jobs.made != trials {
		t.Errorf("%d jobs of %d submit ids", jobs.made, trials)
	}
	t.Logf("%d submissions arrived for %d ids", jobs.calls, trials)
}

func submitTwice(t *testing.T, c *Client, i int) {
	t.Helper()
	id := mr.SubmitID("trial-" + strconv.Itoa(i))
	first, err := c.Submit(t.Context(), id, someSpec)
	if err != nil {
		t.Fatalf("trial %d: %v", i, err)
	}
	again, err := c.Submit(t.Context(), id, someSpec)
	if err != nil || again != first {
		t.Fatalf("trial %d: %v, then %v, %v", i, first, again, err)
	}
}

func TestCallsHonourTheirContext(t *testing.T) {
	jobs := newFakeJobs()
	release := make(chan struct{})
	jobs.hook = func(ctx context.Context, method string) error {
		if method == "Status" {
			<-release
		}
		return nil
	}
	_, addr := start(t, jobs, ServerOptions{})
	c := connect(t, addr, ClientOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.Status(ctx, "job_x")
	if !errors.Is(err, mr.ErrInterrupted) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	close(release)
	jobs.mu.Lock()
	jobs.hook = nil
	jobs.mu.Unlock()
	if _, err := c.CacheStats(t.Context()); err != nil {
		t.Errorf("the call after it: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.CacheStats(gone); !errors.Is(err, mr.ErrInterrupted) {
		t.Errorf("with a context that ended: %v", err)
	}
}

func TestHandlersEndWithTheirConnection(t *testing.T) {
	jobs := newFakeJobs()
	entered, ended := make(chan struct{}), make(chan struct{})
	jobs.hook = func(ctx context.Context, method string) error {
		close(entered)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	_, addr := start(t, jobs, ServerOptions{})
	c := rpc.NewClient(dialUnix(t, addr))
	c.Go("Jobs.Status", JobRequest{Job: "x"}, &StatusReply{}, make(chan *rpc.Call, 1))
	<-entered
	c.Close()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the handler still runs")
	}
}

func TestRetryEnds(t *testing.T) {
	jobs := newFakeJobs()
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	l, err := Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(jobs, ServerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	go func() { over <- s.Serve(ctx, l) }()
	c := connect(t, addr, ClientOptions{RetryFor: 100 * time.Millisecond})
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if _, err := c.CacheStats(t.Context()); !errors.Is(err, mr.ErrUnreachable) {
		t.Errorf("got %v; want unreachable", err)
	}
	c.Close()
	if _, err := c.CacheStats(t.Context()); !errors.Is(err, mr.ErrInterrupted) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAsynchronousTwins(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{})
	c := connect(t, addr, ClientOptions{})
	want, err := c.Submit(t.Context(), "one", someSpec)
	if err != nil {
		t.Fatal(err)
	}
	call := <-c.Go(t.Context(), "one", someSpec, nil).Done
	if call.Error != nil || call.Reply.(*SubmitReply).Job != string(want) {
		t.Errorf("Go: %+v, %v; want %v", call.Reply, call.Error, want)
	}
	done := make(chan *rpc.Call, 8)
	for range 8 {
		c.Go(t.Context(), "", someSpec, done)
	}
	seen := map[string]bool{}
	for range 8 {
		call := <-done
		if call.Error != nil {
			t.Fatal(call.Error)
		}
		seen[call.Reply.(*SubmitReply).Job] = true
	}
	if len(seen) != 8 {
		t.Errorf("8 submissions without an id made %d jobs", len(seen))
	}
	call = <-c.Go(t.Context(), "one", mr.Spec{Job: "other"}, nil).Done
	if !errors.Is(call.Error, mr.ErrRefused) {
		t.Errorf("Go, refused: %v", call.Error)
	}
	type answer struct {
		job mr.JobID
		err error
	}
	answers := make(chan answer, 1)
	c.SubmitFunc(t.Context(), "one", someSpec, func(job mr.JobID, err error) { answers <- answer{job, err} })
	if a := <-answers; a.job != want || a.err != nil {
		t.Errorf("SubmitFunc: %+v", a)
	}
}

func TestTimeConnRedials(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{})
	x, err := DialTime(t.Context(), addr, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	a, err := x.Exchange(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	x.wire.Close()
	if _, err := x.Exchange(t.Context(), 2); !errors.Is(err, mr.ErrUnreachable) {
		t.Errorf("on a broken connection: %v", err)
	}
	b, err := x.Exchange(t.Context(), 3)
	if err != nil || b.Conn == a.Conn || b.Reply.Nonce != 3 || b.Reply.Epoch != a.Reply.Epoch {
		t.Errorf("after it: %+v, %v", b, err)
	}
}
