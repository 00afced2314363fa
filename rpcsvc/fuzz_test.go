package rpcsvc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"io"
	"net"
	"net/rpc"
	"runtime"
	"testing"
	"time"
)

// memConn is a connection whose peer has said everything already.
type memConn struct {
	in      *bytes.Reader
	out     bytes.Buffer
	network string
}

func (m *memConn) Read(p []byte) (int, error)       { return m.in.Read(p) }
func (m *memConn) Write(p []byte) (int, error)      { return m.out.Write(p) }
func (m *memConn) Close() error                     { return nil }
func (m *memConn) LocalAddr() net.Addr              { return memAddr(m.network) }
func (m *memConn) RemoteAddr() net.Addr             { return memAddr(m.network) }
func (m *memConn) SetDeadline(time.Time) error      { return nil }
func (m *memConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memConn) SetWriteDeadline(time.Time) error { return nil }

type memAddr string

func (a memAddr) Network() string { return string(a) }
func (a memAddr) String() string  { return string(a) }

const (
	fuzzBudget = 16 << 10 // bytes a request
	// fuzzAlloc bounds what an input may make the server allocate: some dozens of its
	// budget for each request (an empty string of a list costs one byte on the wire and
	// sixteen in memory), and what a connection and its goroutines cost.
	fuzzAlloc = 8 << 20
)

// converseWith lets a server hear input, to its end.
func converseWith(t *testing.T, input []byte, network string, trusted bool) (decoded uint64, out []byte) {
	t.Helper()
	if len(input) > 64<<10 {
		return 0, nil
	}
	jobs := newFakeJobs()
	jobs.patient = time.Millisecond
	s := NewServer(jobs, ServerOptions{MaxRequest: fuzzBudget, Auth: TokenAuth("secret"), Crew: fuzzCrew{}})
	nc := &memConn{in: bytes.NewReader(input), network: network}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := s.newConn(context.Background(), nc, "fuzz")
	c.greetBy = time.Now().Add(time.Second)
	_ = s.converse(c, trusted, func() {}) // most inputs are wrong
	c.close()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > fuzzAlloc+64*uint64(len(input)) {
		t.Errorf("%d bytes of input made the server allocate %d", len(input), got)
	}
	if n := len(s.slots); n != 0 {
		t.Errorf("%d slots not given back", n)
	}
	return s.decoded.Load(), nc.out.Bytes()
}

// gobStream is what a stock client sends for these calls.
func gobStream(t testing.TB, calls ...any) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := gob.NewEncoder(&out)
	for i := 0; i < len(calls); i += 2 {
		if err := enc.Encode(&rpc.Request{ServiceMethod: calls[i].(string), Seq: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		if err := enc.Encode(calls[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// fuzzCrew takes everybody, calls once, and reads streams to their end.
type fuzzCrew struct{}

func (fuzzCrew) Join(context.Context, JoinRequest) (JoinReply, error) { return JoinReply{Seat: 1}, nil }

func (fuzzCrew) Work(_ context.Context, _ uint64, c *rpc.Client, gone <-chan struct{}) {
	c.Go("Worker.RunTask", &JoinRequest{Name: "order"}, &HelloReply{}, make(chan *rpc.Call, 1))
	<-gone
}

func (fuzzCrew) Stream(_ context.Context, _ uint64, conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

func (fuzzCrew) Leave(uint64) {}

func FuzzGob(f *testing.F) {
	answers := gobStream(f, "Workers.Join", JoinRequest{Name: "w"})
	f.Add(append(answers, gobStream(f, "Worker.RunTask", HelloReply{Version: "x", Features: []string{"a"}})...))
	f.Add(append(gobStream(f, "Workers.Stream", StreamRequest{Seat: 1}), "bytes"...))
	f.Add(gobStream(f, "Jobs.Submit", SubmitRequest{SubmitID: "a", Spec: specToWire(someSpec)}, "Jobs.List", ListRequest{All: true}))
	f.Add(gobStream(f, "Jobs.Wait", WaitRequest{Job: "x", Since: 3}, "Meta.Hello", HelloRequest{Wire: 9}))
	f.Add(gobStream(f, "Jobs.None", map[string][]any{"a": {1, "b"}}, "Jobs.Kill", []string{"a"}))
	f.Add(gobStream(f, "Jobs.Submit", SubmitRequest{Spec: Spec{Inputs: make([]string, 5000)}}))
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 || dialectOf(input[0]) != gobDialect {
			return
		}
		converseWith(t, input, "unix", true)
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"method":"Jobs.Submit","params":[{"submit_id":"a","spec":{"job":"w","inputs":["a","b"]}}],"id":1}` + "\n" + `{"method":"Jobs.List","params":[{}],"id":2}`))
	f.Add([]byte(`{"method":"Jobs.Wait","params":{"job":"x","since":18446744073709551615},"id":{"a":[1]}}`))
	f.Add([]byte(`{"method":"Time.Now","params":[{"nonce":1e99}]} [[[[[[`))
	f.Fuzz(func(t *testing.T, input []byte) {
		converseWith(t, append([]byte("{"), input...), "unix", true)
		converseWith(t, input, "unix", true)
	})
}

func FuzzHTTP(f *testing.F) {
	f.Add([]byte("POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{\"method\":\"Jobs.List\"}"))
	f.Add([]byte("POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n{"))
	f.Add(append([]byte("CONNECT /_goRPC_ HTTP/1.0\n\n"), gobStream(f, "Jobs.List", ListRequest{All: true})...))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 || dialectOf(input[0]) != httpDialect {
			return
		}
		converseWith(t, input, "unix", true)
	})
}

// FuzzStranger lets anybody say anything first, TLS garbage included: nothing of it
// may reach a decoder.
func FuzzStranger(f *testing.F) {
	f.Add(gobStream(f, "Jobs.List", ListRequest{All: true}))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	f.Add([]byte("mr/1 token=guess\n{\"method\":\"Jobs.List\"}"))
	f.Add([]byte("mr/1\nmr/1 token=\n."))
	f.Add([]byte("POST /rpc HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"))
	server, _ := makeKeys(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		if bytes.Contains(input, []byte("secret")) {
			return
		}
		for _, network := range []string{"unix", "tcp"} {
			if decoded, out := converseWith(t, input, network, false); decoded != 0 {
				t.Errorf("over %s, %d requests reached a decoder; the answer was %q", network, decoded, out)
			}
		}
		s := NewServer(newFakeJobs(), ServerOptions{Auth: server})
		c := s.newConn(context.Background(), &memConn{in: bytes.NewReader(input), network: "tcp"}, "fuzz")
		c.greetBy = time.Now().Add(time.Second)
		if err := s.converse(c, false, func() {}); err == nil && s.decoded.Load() != 0 {
			t.Error("a request reached a decoder")
		}
		c.close()
	})
}

// FuzzFrame checks that the frame reader hands the decoder exactly the bytes of whole
// messages, within the budget.
func FuzzFrame(f *testing.F) {
	f.Add(gobStream(f, "Jobs.List", ListRequest{All: true}), int64(1000))
	f.Add([]byte{0xff, 0x80, 1, 2}, int64(3))
	f.Add([]byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, int64(1<<40))
	f.Fuzz(func(t *testing.T, input []byte, budget int64) {
		fr := newFrameReader(bufio.NewReader(bytes.NewReader(input)))
		fr.grant(budget)
		got, _ := io.ReadAll(struct{ io.Reader }{fr})
		if _, err := fr.ReadByte(); err == nil {
			t.Error("the reader went on after its end")
		}
		if !bytes.HasPrefix(input, got) {
			t.Errorf("the frames are not the input's beginning")
		}
		if int64(len(got)) > max(budget, 0) {
			t.Errorf("%d bytes handed out of a budget of %d", len(got), budget)
		}
		if fr.err == nil {
			t.Error("the reader ended without an error")
		}
	})
}
