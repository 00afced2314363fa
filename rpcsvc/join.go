package rpcsvc

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"net"
	"net/rpc"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
)

// A worker dials in like any client, and proves who it is like any client. Then one call of
// net/rpc decides what its connection is for:
//
//   - Workers.Join: the roles change. The worker serves net/rpc's service Worker on the
//     connection, and the server calls it. The gob streams of both directions begin anew.
//   - Workers.Stream: net/rpc is over, and the connection carries the frames of package worker.
//
// That call is the last request of its connection. A failed call ends it.

// Crew takes workers. Package internal/local has one.
type Crew interface {
	// Join admits a worker, or says why not. Its errors are the worker's to read.
	Join(ctx context.Context, w JoinRequest) (JoinReply, error)
	// Work is given the worker's service; it returns when the worker is to go, or after
	// gone is closed: then its connection is over, and all that it answered was delivered.
	// ctx ends when the server stops, and not with the connection.
	Work(ctx context.Context, seat uint64, c *rpc.Client, gone <-chan struct{})
	// Stream serves a stream until it ends.
	Stream(ctx context.Context, seat uint64, conn net.Conn) error
	// Leave ends a membership whose connection broke before Work.
	Leave(seat uint64)
}

// handsOver says which methods take their connection over.
func handsOver(method string) bool { return method == "Workers.Join" || method == "Workers.Stream" }

// taken gives a request the connection that it came on, if that can be taken over.
type taken struct{ conn *conn }

func (t *taken) bindConn(c *conn) { t.conn = c }

// workersService is net/rpc's service Workers.
type workersService struct{ s *Server }

func (w *workersService) crew(c *conn) (Crew, error) {
	switch {
	case w.s.o.Crew == nil:
		return nil, mr.Errorf(mr.Refused, "this daemon takes no workers")
	case c == nil:
		return nil, mr.Errorf(mr.Usage, "workers join over net/rpc in gob")
	}
	return w.s.o.Crew, nil
}

// Join takes a worker in.
func (w *workersService) Join(req *JoinRequest, rep *JoinReply) (err error) {
	defer w.s.done(&req.bound, "Workers.Join", &err)
	crew, err := w.crew(req.conn)
	if err != nil {
		return err
	}
	if req.Wire != WireVersion {
		return mr.Errorf(mr.Refused, "worker %q speaks wire version %d, and the daemon %d; run the same program on both", req.Name, req.Wire, WireVersion)
	}
	if req.Version != w.s.o.Version {
		return mr.Errorf(mr.Refused, "worker %q is of version %s, and the daemon of %s; run the same program on both", req.Name, req.Version, w.s.o.Version)
	}
	if *rep, err = crew.Join(req.context(), *req); err != nil {
		return err
	}
	c, seat := req.conn, rep.Seat
	c.successor = func() error {
		gone := make(chan struct{})
		codec := newCodec(newOutbox(&afterConn{Conn: c.nc, c: c}), new(atomic.Int64))
		codec.over = gone
		client := rpc.NewClientWithCodec(codec)
		defer client.Close() // ErrShutdown, if it is over already
		ctx, over := w.s.untilStopping(c.life)
		defer over()
		crew.Work(ctx, seat, client, gone)
		return nil
	}
	context.AfterFunc(c.ctx, func() { crew.Leave(seat) })
	return nil
}

// Stream turns its connection into a stream of a worker.
func (w *workersService) Stream(req *StreamRequest, _ *Empty) (err error) {
	defer w.s.done(&req.bound, "Workers.Stream", &err)
	crew, err := w.crew(req.conn)
	if err != nil {
		return err
	}
	c, seat := req.conn, req.Seat
	c.successor = func() error { return crew.Stream(c.ctx, seat, &afterConn{Conn: c.nc, c: c}) }
	return nil
}

// List lists the workers.
func (w *workersService) List(req *WorkersRequest, rep *WorkersReply) (err error) {
	defer w.s.done(&req.bound, "Workers.List", &err)
	f, err := w.s.fleet()
	if err != nil {
		return err
	}
	list, err := f.Workers(req.context())
	rep.Workers = each(list, workerToWire)
	return err
}

// succeed lets a connection be what it was taken over for, until that ends or the server
// stops. It takes no client's place any more: a worker with many cores has more streams than there may be
// clients.
func (s *Server) succeed(c *conn) error {
	c.leaveDeadlines()
	s.forget(c)
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-s.stopping:
			c.close()
		case <-over:
		}
	}()
	defer c.close()
	return c.successor()
}

// afterConn is a connection that was taken over: what was read ahead comes first, and a
// write that the peer does not take ends it.
type afterConn struct {
	net.Conn
	c *conn
}

func (a *afterConn) Read(p []byte) (int, error)  { return a.c.br.Read(p) }
func (a *afterConn) Write(p []byte) (int, error) { return a.c.Write(p) }

// Membership is a worker's side of having joined.
type Membership struct {
	JoinReply
	conn net.Conn
	br   *bufio.Reader
	gone chan struct{}
}

// Join dials a daemon and joins it as a worker.
func Join(ctx context.Context, addr string, auth *Auth, req JoinRequest) (*Membership, error) {
	m := &Membership{gone: make(chan struct{})}
	req.Wire = WireVersion
	var err error
	m.conn, m.br, err = takeOver(ctx, addr, auth, "Workers.Join", &req, &m.JoinReply)
	return m, err
}

// Serve serves srv to the daemon until the connection has ended and all calls are answered.
func (m *Membership) Serve(srv *rpc.Server) {
	codec := newServeCodec(m.conn, m.br)
	codec.gone = m.gone
	srv.ServeCodec(codec)
}

// Gone is closed when the connection has ended, while calls may still be served.
func (m *Membership) Gone() <-chan struct{} { return m.gone }

// Close ends the membership.
func (m *Membership) Close() error { return m.conn.Close() }

// OpenStream dials another connection of a membership, for the frames of package worker.
func OpenStream(ctx context.Context, addr string, auth *Auth, seat uint64) (net.Conn, error) {
	nc, br, err := takeOver(ctx, addr, auth, "Workers.Stream", &StreamRequest{Seat: seat}, &Empty{})
	if err != nil {
		return nil, err
	}
	return &readAhead{nc, br}, nil
}

// readAhead is a connection of which something was read already.
type readAhead struct {
	net.Conn
	br *bufio.Reader
}

func (r *readAhead) Read(p []byte) (int, error) { return r.br.Read(p) }

// takeOver makes the one call that takes a connection over. It is made without rpc.Client,
// which would go on reading.
func takeOver(ctx context.Context, addr string, auth *Auth, method string, req, rep any) (net.Conn, *bufio.Reader, error) {
	nc, err := dial(ctx, addr, auth)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	br := bufio.NewReaderSize(nc, 64<<10)
	err = callOnce(nc, br, method, req, rep)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		if text, ok := errors.AsType[rpc.ServerError](err); ok {
			return nil, nil, fromWire(text)
		}
		return nil, nil, dialError(ctx, addr, err)
	}
	return nc, br, nil
}

func callOnce(nc net.Conn, br *bufio.Reader, method string, req, rep any) error {
	w := bufio.NewWriter(nc)
	enc := gob.NewEncoder(w)
	if err := errors.Join(enc.Encode(&rpc.Request{ServiceMethod: method, Seq: 1}), enc.Encode(req), w.Flush()); err != nil {
		return err
	}
	fr := newFrameReader(br)
	fr.grant(maxJoinReply)
	dec := gob.NewDecoder(fr)
	var resp rpc.Response
	if err := dec.Decode(&resp); err != nil {
		return err
	}
	if resp.Error != "" {
		return rpc.ServerError(resp.Error)
	}
	return dec.Decode(rep)
}

const maxJoinReply = 64 << 10

// serveCodec is a worker's end of the connection on which the daemon calls it.
type serveCodec struct {
	nc  net.Conn
	fr  *frameReader
	dec *gob.Decoder
	w   *bufio.Writer
	enc *gob.Encoder

	gone chan struct{} // closed at the first error of reading
}

func newServeCodec(nc net.Conn, br *bufio.Reader) *serveCodec {
	fr, w := newFrameReader(br), bufio.NewWriter(nc)
	return &serveCodec{nc: nc, fr: fr, dec: gob.NewDecoder(fr), w: w, enc: gob.NewEncoder(w)}
}

func (k *serveCodec) ReadRequestHeader(r *rpc.Request) error {
	k.fr.grant(maxReply)
	err := k.dec.Decode(r)
	if err != nil {
		close(k.gone)
		return io.EOF // net/rpc reads no more, and logs nothing
	}
	return nil
}

func (k *serveCodec) ReadRequestBody(body any) error { return k.dec.Decode(body) }

func (k *serveCodec) WriteResponse(r *rpc.Response, body any) error {
	err := k.nc.SetWriteDeadline(time.Now().Add(writeTime))
	if err == nil {
		err = k.enc.Encode(r)
	}
	if err == nil {
		err = k.enc.Encode(body)
	}
	if err == nil {
		err = k.w.Flush()
	}
	if err != nil {
		k.nc.Close() // net/rpc drops the error
	}
	return err
}

func (k *serveCodec) Close() error { return k.nc.Close() }
