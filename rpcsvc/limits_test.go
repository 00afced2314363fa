package rpcsvc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

func dialUnix(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("unix", strings.TrimPrefix(addr, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// closedWithin checks that the server closes nc in time, and not much too early.
func closedWithin(t *testing.T, nc net.Conn, least, most time.Duration) {
	t.Helper()
	began := time.Now()
	nc.SetReadDeadline(began.Add(most))
	_, err := io.Copy(io.Discard, nc)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("still open after %v", most)
	} else if d := time.Since(began); d < least {
		t.Errorf("closed after %v already", d)
	}
}

func TestPanicIsThatCallsError(t *testing.T) {
	jobs := newFakeJobs()
	_, addr := start(t, jobs, ServerOptions{})
	c := connect(t, addr, ClientOptions{})
	jobs.hook = func(ctx context.Context, method string) error { panic("boom " + method) }
	if _, err := c.CacheStats(t.Context()); !errors.Is(err, mr.ErrFailed) || !strings.Contains(err.Error(), "boom CacheStats") {
		t.Errorf("got %v", err)
	}
	jobs.mu.Lock()
	jobs.hook = nil
	jobs.mu.Unlock()
	if _, err := c.CacheStats(t.Context()); err != nil {
		t.Errorf("the call after it: %v", err)
	}
}

func TestRequestBudget(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{MaxRequest: 4096})
	big := mr.Spec{Job: strings.Repeat("x", 10_000)}
	c := connect(t, addr, ClientOptions{})
	if _, err := c.Submit(t.Context(), "a", big); !errors.Is(err, mr.ErrUsage) || !strings.Contains(err.Error(), "4096") {
		t.Errorf("our client: %v; want a usage error that names the limit", err)
	}
	if _, err := c.Submit(t.Context(), "b", mr.Spec{Job: "small"}); err != nil {
		t.Errorf("a small one after it: %v", err)
	}
	stock := rpc.NewClient(dialUnix(t, addr))
	err := stock.Call("Jobs.Submit", SubmitRequest{Spec: specToWire(big)}, &SubmitReply{})
	if err == nil || !strings.Contains(err.Error(), "byte budget") {
		t.Errorf("a stock client: %v", err)
	}
}

func TestAnnouncedGigabyteIsRefused(t *testing.T) {
	fr := newFrameReader(bufio.NewReader(bytes.NewReader([]byte{0xfc, 0x40, 0, 0, 0, 1, 2, 3})))
	fr.grant(1 << 20)
	if _, err := fr.ReadByte(); !errors.Is(err, errTooLarge) || cap(fr.frame) > 1024 {
		t.Errorf("got %v, with %d bytes allocated", err, cap(fr.frame))
	}
	var stream bytes.Buffer
	if err := gob.NewEncoder(&stream).Encode(&rpc.Request{ServiceMethod: "Jobs.List", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	s, addr := start(t, newFakeJobs(), ServerOptions{})
	nc := dialUnix(t, addr)
	nc.Write(append(stream.Bytes(), 0xfc, 0x40, 0, 0, 0))
	closedWithin(t, nc, 0, 5*time.Second)
	if s.decoded.Load() == 0 {
		t.Error("the request's header was not read")
	}
}

func TestEndlessTypesAreRefused(t *testing.T) {
	var stream bytes.Buffer
	for i := range maxTypes + 1 {
		id := uint16((64+i)<<1 - 1) // −(64+i)
		// A slice of strings: {2: {1: {}, 2: 6}}.
		stream.Write([]byte{10, 0xfe, byte(id >> 8), byte(id), 2, 1, 0, 1, 12, 0, 0})
	}
	fr := newFrameReader(bufio.NewReader(&stream))
	fr.grant(1 << 20)
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{fr}); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestSlowLorisIsDropped(t *testing.T) {
	var first bytes.Buffer
	if err := gob.NewEncoder(&first).Encode(&rpc.Request{ServiceMethod: "Jobs.List", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	o := ServerOptions{RequestTime: 150 * time.Millisecond, GreetingTime: 150 * time.Millisecond, IdleTime: time.Minute}
	_, addr := start(t, newFakeJobs(), o)
	auth := TokenAuth("secret")
	o.Auth = auth
	_, where := startTCP(t, newFakeJobs(), o)
	for _, tc := range []struct {
		name, stream string
		dial         func() (net.Conn, error)
	}{
		{"gob", first.String(), func() (net.Conn, error) { return net.Dial("unix", addr[5:]) }},
		{"json", `{"method":"Jobs.List","params":[{"all":true}],"id":1}`, func() (net.Conn, error) { return net.Dial("unix", addr[5:]) }},
		{"http", "POST /rpc HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 500), func() (net.Conn, error) { return net.Dial("unix", addr[5:]) }},
		{"greeting", "mr/1 token=" + strings.Repeat("y", 500), func() (net.Conn, error) { return net.Dial("tcp", where) }},
		{"silence", "", func() (net.Conn, error) { return net.Dial("tcp", where) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			nc, err := tc.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			stop := make(chan struct{})
			var trickle sync.WaitGroup
			trickle.Add(1)
			go func() {
				defer trickle.Done()
				for _, b := range []byte(tc.stream) {
					if _, err := nc.Write([]byte{b}); err != nil {
						return
					}
					select {
					case <-time.After(20 * time.Millisecond):
					case <-stop:
						return
					}
				}
			}()
			closedWithin(t, nc, 100*time.Millisecond, 5*time.Second)
			close(stop)
			trickle.Wait()
		})
	}
}

func TestIdleIsDroppedButWaitingIsNot(t *testing.T) {
	jobs := newFakeJobs()
	jobs.patient = 400 * time.Millisecond
	_, addr := start(t, jobs, ServerOptions{IdleTime: 100 * time.Millisecond})
	c := rpc.NewClient(dialUnix(t, addr))
	var sub SubmitReply
	if err := c.Call("Jobs.Submit", SubmitRequest{SubmitID: "a"}, &sub); err != nil {
		t.Fatal(err)
	}
	if err := c.Call("Jobs.Wait", WaitRequest{Job: sub.Job, Since: 1}, &StatusReply{}); err != nil {
		t.Errorf("a poll longer than the idle time: %v", err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := c.Call("Jobs.List", ListRequest{}, &ListReply{}); err == nil {
		t.Error("an idle connection stayed open")
	}
}

func TestPeerThatDoesNotReadIsDropped(t *testing.T) {
	jobs := newFakeJobs()
	s, addr := start(t, jobs, ServerOptions{WriteTime: 100 * time.Millisecond})
	id, _ := jobs.Submit(t.Context(), "a", mr.Spec{Job: strings.Repeat("x", 1<<20)})
	nc := dialUnix(t, addr)
	over := make(chan struct{})
	defer close(over)
	c := rpc.NewClientWithCodec(deaf{newCodec(nc, new(atomic.Int64)), over})
	for range 20 {
		c.Go("Jobs.Status", &JobRequest{Job: string(id)}, &StatusReply{}, make(chan *rpc.Call, 1))
	}
	for s.decoded.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		n := len(s.conns)
		s.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a peer that never reads holds its connection")
		}
	}
}

// TestUnreadRepliesStopNobody has a client that asks and never reads. Its replies wait for it;
// whoever else asks does not.
func TestUnreadRepliesStopNobody(t *testing.T) {
	jobs := newFakeJobs()
	s, addr := start(t, jobs, ServerOptions{MaxInFlight: 4, MaxPerConn: 64, WriteTime: time.Minute})
	id, _ := jobs.Submit(t.Context(), "a", mr.Spec{Job: strings.Repeat("x", 1<<20)})
	var answered atomic.Int32
	jobs.hook = func(_ context.Context, method string) error {
		if method == "Status" {
			answered.Add(1)
		}
		return nil
	}
	over := make(chan struct{})
	defer close(over)
	for range 3 {
		silent := rpc.NewClientWithCodec(deaf{newCodec(dialUnix(t, addr), new(atomic.Int64)), over})
		for range 20 {
			silent.Go("Jobs.Status", &JobRequest{Job: string(id)}, &StatusReply{}, make(chan *rpc.Call, 1))
		}
		silent.Go("Jobs.NoSuchMethod", &JobRequest{}, &StatusReply{}, make(chan *rpc.Call, 1))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	other := connect(t, addr, ClientOptions{})
	for answered.Load() < 3*20 {
		if _, err := other.List(ctx, true); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); len(s.slots) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d slots are held by replies that nobody reads", len(s.slots))
		}
	}
}

// TestUnreadRepliesAreFew has a client that asks for long replies and does not read them: few are made.
func TestUnreadRepliesAreFew(t *testing.T) {
	jobs := newFakeJobs()
	s, addr := start(t, jobs, ServerOptions{WriteTime: time.Minute})
	for range 4 {
		if _, err := jobs.Submit(t.Context(), mr.SubmitID(rand.Text()), mr.Spec{Job: strings.Repeat("x", 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	over := make(chan struct{})
	defer close(over)
	silent := rpc.NewClientWithCodec(deaf{newCodec(dialUnix(t, addr), new(atomic.Int64)), over})
	for range 100 {
		silent.Go("Jobs.List", &ListRequest{All: true}, &ListReply{}, make(chan *rpc.Call, 1))
	}
	const most = longPerConn + 1 // the last one waits
	for end := time.Now().Add(5 * time.Second); s.decoded.Load() < most; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d requests are looked at", s.decoded.Load())
		}
	}
	time.Sleep(100 * time.Millisecond) // for more than there should be
	if n := s.decoded.Load(); n > most {
		t.Errorf("%d requests of a client that reads nothing are looked at", n)
	}
	// Who reads gets them all, however many at a time.
	other := connect(t, addr, ClientOptions{})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if list, err := other.List(t.Context(), true); err != nil || len(list) != 4 {
				t.Errorf("%d jobs, %v", len(list), err)
			}
		})
	}
	all.Wait()
}

// TestManyConnections opens far more connections than the server takes. MR_RPC_IDLE
// sets how many; the long form is 10,000.
func TestManyConnections(t *testing.T) {
	n := 1000
	if v := os.Getenv("MR_RPC_IDLE"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	const most = 50
	s, addr := start(t, newFakeJobs(), ServerOptions{MaxConns: most})
	var held []net.Conn
	for range n {
		nc, err := net.Dial("unix", addr[5:])
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, nc)
	}
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	if open > most {
		t.Errorf("%d connections open; the limit is %d", open, most)
	}
	if _, err := Dial(t.Context(), addr, ClientOptions{}); !errors.Is(err, mr.ErrUnreachable) || !strings.Contains(err.Error(), "it has too many") {
		t.Errorf("beyond the limit: %v; want unreachable, and why", err)
	}
	for _, nc := range held {
		nc.Close()
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := Dial(t.Context(), addr, ClientOptions{})
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after they left: %v", err)
		}
	}
}

// TestTimePassesBusyRequestsBy fills every slot, and asks for the time.
func TestTimePassesBusyRequestsBy(t *testing.T) {
	jobs := newFakeJobs()
	release := make(chan struct{})
	jobs.hook = func(ctx context.Context, method string) error {
		if method == "CacheStats" {
			<-release
		}
		return nil
	}
	s, addr := start(t, jobs, ServerOptions{MaxInFlight: 4})
	busy := rpc.NewClient(dialUnix(t, addr))
	done := make(chan *rpc.Call, 10)
	for range 10 {
		busy.Go("Jobs.CacheStats", CacheStatsRequest{}, &CacheStatsReply{}, done)
	}
	for len(s.slots) < 4 {
		time.Sleep(time.Millisecond)
	}
	other := rpc.NewClient(dialUnix(t, addr))
	if err := other.Call("Time.Now", clock.Request{Nonce: 1}, &clock.Reply{}); err != nil {
		t.Error(err)
	}
	if len(done) != 0 {
		t.Error("a busy call was answered")
	}
	close(release)
	for range 10 {
		if call := <-done; call.Error != nil {
			t.Error(call.Error)
		}
	}
	for end := time.Now().Add(5 * time.Second); len(s.slots) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d slots were not given back", len(s.slots))
		}
	}
}

func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	jobs := newFakeJobs()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	jobs.hook = func(ctx context.Context, method string) error {
		if method == "CacheStats" {
			entered <- struct{}{}
			<-release
		}
		return nil
	}
	s, addr := start(t, jobs, ServerOptions{})
	c := rpc.NewClient(dialUnix(t, addr))
	idle := dialUnix(t, addr)
	call := c.Go("Jobs.CacheStats", CacheStatsRequest{}, &CacheStatsReply{}, make(chan *rpc.Call, 1))
	<-entered
	var sub SubmitReply
	if err := c.Call("Jobs.Submit", SubmitRequest{SubmitID: "a"}, &sub); err != nil {
		t.Fatal(err)
	}
	poll := c.Go("Jobs.Wait", WaitRequest{Job: sub.Job, Since: 1}, &StatusReply{}, make(chan *rpc.Call, 1))
	for len(s.polls) == 0 {
		time.Sleep(time.Millisecond)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if err := (<-poll.Done).Error; err == nil || err.Error() != "unreachable: "+drainingText {
		t.Errorf("a long poll: %v", err)
	}
	closedWithin(t, idle, 0, 5*time.Second)
	select {
	case err := <-stopped:
		t.Errorf("Shutdown did not wait: %v", err)
	default:
	}
	close(release)
	if err := (<-call.Done).Error; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsOffInTheEnd(t *testing.T) {
	jobs := newFakeJobs()
	entered := make(chan struct{}, 1)
	jobs.hook = func(ctx context.Context, method string) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	s, addr := start(t, jobs, ServerOptions{})
	c := rpc.NewClient(dialUnix(t, addr))
	call := c.Go("Jobs.CacheStats", CacheStatsRequest{}, &CacheStatsReply{}, make(chan *rpc.Call, 1))
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if (<-call.Done).Error == nil {
		t.Error("the call was answered")
	}
}

// deaf is a client codec that never reads.
type deaf struct {
	*clientCodec
	over chan struct{}
}

func (d deaf) ReadResponseHeader(*rpc.Response) error {
	<-d.over
	return io.EOF
}

// TestDrainAnswersHTTP has a long poll over HTTP under way when the server stops.
func TestDrainAnswersHTTP(t *testing.T) {
	jobs := newFakeJobs()
	s, addr := start(t, jobs, ServerOptions{})
	job, err := jobs.Submit(t.Context(), "a", mr.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	client := func() *http.Client {
		hc := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", addr[5:]) }}}
		t.Cleanup(hc.CloseIdleConnections)
		return hc
	}
	idle, hc := client(), client()
	if status, _ := post(t, idle, "http://mr/rpc", "", `{"method":"Jobs.List"}`); status != 200 {
		t.Fatalf("list: %d", status)
	}
	stopped := make(chan error, 1)
	go func() {
		for len(s.polls) == 0 {
			time.Sleep(time.Millisecond)
		}
		stopped <- s.Shutdown(context.Background())
	}()
	status, reply := post(t, hc, "http://mr/rpc", "", `{"method":"Jobs.Wait","params":{"job":"`+string(job)+`","since":1}}`)
	if status != 503 || reply.Error.Kind != "unreachable" {
		t.Errorf("the long poll: %d, %+v", status, reply)
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the drain does not end")
	}
}

// slowReader takes 64 KiB at a time, and its time for it.
type slowReader struct{ net.Conn }

func (s slowReader) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return s.Conn.Read(p[:min(len(p), 64<<10)])
}

// A peer that takes a long reply slowly, but takes it, gets all of it.
func TestSlowReaderGetsItsReply(t *testing.T) {
	jobs := newFakeJobs()
	const n = 256
	for i := range n {
		if _, err := jobs.Submit(t.Context(), mr.SubmitID(strconv.Itoa(i)), mr.Spec{Args: []string{strings.Repeat("x", 64<<10)}}); err != nil {
			t.Fatal(err)
		}
	}
	_, addr := start(t, jobs, ServerOptions{WriteTime: 2 * time.Second})
	c := rpc.NewClient(slowReader{dialUnix(t, addr)})
	defer c.Close()
	var reply ListReply
	if err := c.Call("Jobs.List", &ListRequest{All: true}, &reply); err != nil || len(reply.Jobs) != n {
		t.Errorf("%d jobs, %v", len(reply.Jobs), err)
	}
}
