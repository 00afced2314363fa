package rpcsvc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// fakeCrew takes one worker, and echoes streams.
type fakeCrew struct {
	joined chan JoinRequest
	client chan *rpc.Client
	left   chan uint64
	ended  chan struct{} // one a Work that has returned
}

func newFakeCrew() *fakeCrew {
	return &fakeCrew{make(chan JoinRequest, 1), make(chan *rpc.Client, 1), make(chan uint64, 9), make(chan struct{}, 9)}
}

func (f *fakeCrew) Join(_ context.Context, w JoinRequest) (JoinReply, error) {
	if w.Name == "bad" {
		return JoinReply{}, mr.Errorf(mr.Refused, "no room for %s", w.Name)
	}
	f.joined <- w
	return JoinReply{Seat: 77, Lease: int64(time.Second)}, nil
}

func (f *fakeCrew) Work(ctx context.Context, seat uint64, c *rpc.Client, gone <-chan struct{}) {
	f.client <- c
	select {
	case <-gone:
	case <-ctx.Done():
	}
	f.ended <- struct{}{}
}

func (f *fakeCrew) Stream(_ context.Context, seat uint64, conn net.Conn) error {
	if seat != 77 {
		return errors.New("no such seat")
	}
	_, err := io.Copy(conn, conn)
	return err
}

func (f *fakeCrew) Leave(seat uint64) { f.left <- seat }

// Far is a worker's service.
type Far struct{}

// Add is what the server calls.
func (Far) Add(in *[2]int, out *int) error {
	if in[0] < 0 {
		return errors.New("too little")
	}
	*out = in[0] + in[1]
	return nil
}

func crewServer(t *testing.T) (*fakeCrew, string, *Server) {
	crew := newFakeCrew()
	s, addr := start(t, newFakeJobs(), ServerOptions{Crew: crew, Version: "v1"})
	return crew, addr, s
}

// TestJoin: after Workers.Join the server calls and the worker serves, on one connection;
// Workers.Stream makes another one carry bytes; and the end of a worker is noticed.
func TestJoin(t *testing.T) {
	crew, addr, _ := crewServer(t)
	m, err := Join(t.Context(), addr, nil, JoinRequest{Name: "w", Slots: 3, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	if w := <-crew.joined; w.Name != "w" || w.Slots != 3 || m.Seat != 77 {
		t.Errorf("%+v joined, as %+v", w, m.JoinReply)
	}
	srv := rpc.NewServer()
	if err := srv.RegisterName("Worker", Far{}); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		m.Serve(srv)
		close(served)
	}()
	c := <-crew.client
	for i := range 100 {
		var sum int
		if err := c.Call("Worker.Add", &[2]int{i, 1}, &sum); err != nil || sum != i+1 {
			t.Fatalf("%d, %v", sum, err)
		}
	}
	if err := c.Call("Worker.Add", &[2]int{-1, 1}, new(int)); err == nil || err.Error() != "too little" {
		t.Errorf("an error came as %v", err)
	}
	s, err := OpenStream(t.Context(), addr, nil, m.Seat)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("bytes ", 100_000)
	go io.WriteString(s, text) //nolint:errcheck // the reader notices
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != text {
		t.Errorf("the stream gave other bytes, %v", err)
	}
	s.Close()
	m.Close()
	<-served
	select {
	case <-crew.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not notice that the worker is gone")
	}
	if seat := <-crew.left; seat != 77 {
		t.Errorf("seat %d was left", seat)
	}
}

func TestJoinIsRefused(t *testing.T) {
	_, addr, _ := crewServer(t)
	for _, c := range []struct {
		req  JoinRequest
		says string
	}{
		{JoinRequest{Name: "old", Version: "v0"}, "of version v0, and the daemon of v1"},
		{JoinRequest{Name: "bad", Version: "v1"}, "no room for bad"},
	} {
		_, err := Join(t.Context(), addr, nil, c.req)
		if !errors.Is(err, mr.ErrRefused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.req.Name, err)
		}
	}
	if s, err := OpenStream(t.Context(), addr, nil, 5); err == nil {
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a stream of nobody reads %v", err)
		}
	}
	res, err := httpOver(addr).Post("http://mrd/rpc", "application/json", strings.NewReader(`{"method":"Workers.Join","params":{"name":"w","version":"v1"}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 400 || !strings.Contains(string(b), "workers join over net/rpc") {
		t.Errorf("over HTTP: %s %s", res.Status, b)
	}
	_, plain := start(t, newFakeJobs(), ServerOptions{})
	if _, err := Join(t.Context(), plain, nil, JoinRequest{Name: "w"}); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("a server without a crew: %v", err)
	}
}

// TestStoppedWorkerHoldsNobodyUp: calls to a worker that does not read return at once.
func TestStoppedWorkerHoldsNobodyUp(t *testing.T) {
	crew, addr, _ := crewServer(t)
	m, err := Join(t.Context(), addr, nil, JoinRequest{Name: "w", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c := <-crew.client
	done := make(chan struct{})
	calls := make(chan *rpc.Call, 100)
	go func() {
		defer close(done)
		for range 10 {
			c.Go("Worker.Take", &JoinRequest{Name: strings.Repeat("x", 1<<20)}, &Empty{}, calls)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("a call waits for the worker to read")
	}
	go m.Serve(rpc.NewServer()) // now it reads, and knows no such method
	for range 10 {
		if call := <-calls; call.Error == nil || !strings.Contains(call.Error.Error(), "can't find service") {
			t.Errorf("%v", call.Error)
		}
	}
}

// lasting is a crew that looks whether its work goes on after its connection has ended.
type lasting struct {
	*fakeCrew
	after chan error
}

func (l lasting) Work(ctx context.Context, _ uint64, c *rpc.Client, gone <-chan struct{}) {
	l.client <- c
	<-gone
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
	l.after <- ctx.Err()
}

// What a worker has left behind is dealt with in peace, also where the server was just writing to it when it went.
func TestWorkOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	crew := lasting{newFakeCrew(), make(chan error, 1)}
	s, addr := start(t, newFakeJobs(), ServerOptions{Crew: crew})
	m, err := Join(t.Context(), addr, nil, JoinRequest{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	<-crew.joined
	c := <-crew.client
	c.Go("Worker.Take", &JoinRequest{Name: strings.Repeat("x", 8<<20)}, &Empty{}, make(chan *rpc.Call, 1))
	time.Sleep(50 * time.Millisecond) // it is being written
	m.Close()
	if err := <-crew.after; err != nil {
		t.Errorf("the work ended with the connection: %v", err)
	}
	m, err = Join(t.Context(), addr, nil, JoinRequest{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	<-crew.client
	go s.Shutdown(t.Context()) //nolint:errcheck // its end is what is waited for
	if err := <-crew.after; err == nil {
		t.Error("the work outlives the server")
	}
}

// TestOutboxIsBounded: what waits for a peer that does not read has an end.
func TestOutboxIsBounded(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	o := newOutbox(here)
	defer o.Close()
	mega := make([]byte, 1<<20)
	var err error
	for n := 0; err == nil && n <= 2*maxOutbox>>20+1; n++ { // as much again may be at the connection
		_, err = o.Write(mega)
	}
	if !errors.Is(err, errOutbox) {
		t.Errorf("so much was taken: %v", err)
	}
}

// TestStreamsTakeNoClientsPlace: a worker may have more streams than there may be clients, and keeps none of them out.
func TestStreamsTakeNoClientsPlace(t *testing.T) {
	crew := newFakeCrew()
	_, addr := start(t, newFakeJobs(), ServerOptions{Crew: crew, MaxConns: 2})
	m, err := Join(t.Context(), addr, nil, JoinRequest{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	<-crew.client
	for i := range 5 {
		s, err := OpenStream(t.Context(), addr, nil, m.Seat)
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		defer s.Close()
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil { // it serves as a stream now
			t.Fatal(err)
		}
	}
	if _, err := connect(t, addr, ClientOptions{}).List(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// A worker on a slow line gets what is long, such as the block of a huge record, in whatever time that takes.
func TestSlowWorkerGetsLongBlocks(t *testing.T) {
	t.Parallel()
	crew := newFakeCrew()
	_, addr := start(t, newFakeJobs(), ServerOptions{Crew: blocks{crew}, WriteTime: 2 * time.Second})
	m, err := Join(t.Context(), addr, nil, JoinRequest{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	<-crew.client
	s, err := OpenStream(t.Context(), addr, nil, m.Seat)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n, err := io.Copy(struct{ io.Writer }{io.Discard}, slowReader{s}); n != longBlock || err != nil {
		t.Errorf("%d bytes of %d came, %v", n, longBlock, err)
	}
}

const longBlock = 8 << 20

// blocks is a crew that writes a long block to each stream.
type blocks struct{ *fakeCrew }

func (b blocks) Stream(_ context.Context, _ uint64, conn net.Conn) error {
	_, err := conn.Write(make([]byte, longBlock))
	return err
}

// TestShutdownEndsWorkers: a worker's connection does not hold up a server that stops.
func TestShutdownEndsWorkers(t *testing.T) {
	crew, addr, s := crewServer(t)
	m, err := Join(t.Context(), addr, nil, JoinRequest{Name: "w", Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	go m.Serve(rpc.NewServer())
	<-crew.client
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	<-m.Gone()
}

// TestDialHTTP: net/rpc's own HTTP dialler works where the peer is known by its user.
func TestDialHTTP(t *testing.T) {
	_, addr := start(t, newFakeJobs(), ServerOptions{Version: "v1"})
	c, err := rpc.DialHTTP("unix", strings.TrimPrefix(addr, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	var hello HelloReply
	if err := c.Call("Meta.Hello", &HelloRequest{Client: "stock"}, &hello); err != nil || hello.Version != "v1" {
		t.Errorf("%+v, %v", hello, err)
	}
	if _, err := rpc.DialHTTPPath("unix", strings.TrimPrefix(addr, "unix:"), "/debug/rpc"); err == nil {
		t.Error("another path was connected")
	}
	tcp, where := startTCP(t, newFakeJobs(), ServerOptions{Auth: TokenAuth("secret")})
	if _, err := rpc.DialHTTP("tcp", where); err == nil || tcp.decoded.Load() != 0 {
		t.Errorf("a stranger was connected: %v", err)
	}
}

// httpOver is an HTTP client for a unix socket.
func httpOver(addr string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(addr, "unix:"))
	}}}
}
