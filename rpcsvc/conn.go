package rpcsvc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection as the server sees it: deadlines by what the peer is doing, and
// a count of its requests in flight. Reads come from one goroutine, writes from one at a time.
type conn struct {
	srv    *Server
	nc     net.Conn // the transport; a *tls.Conn after a handshake
	br     *bufio.Reader
	peer   string          // for the log
	life   context.Context // of the listener
	ctx    context.Context // of the connection
	cancel context.CancelFunc

	// Owned by the reading goroutine.
	greetBy time.Time // the greeting must be over by then; zero once it is
	begun   time.Time // of the present request's first byte, or when it was admitted; zero between requests
	readBy  time.Time // the read deadline as set
	slot    func()    // gives back the slot of the request whose body comes next; nil: it has none

	writeBy time.Time // the write deadline as set; owned by the writer

	inFlight chan struct{} // one element a request in flight, but for long polls
	waiting  chan struct{} // one element a long poll
	long     chan struct{} // one element a request in flight whose reply may be long
	instant  atomic.Int32  // of these, the ones that are answered at once

	successor func() error // what the connection is for once net/rpc is over on it; see join.go

	mu       sync.Mutex // also held to replace nc
	draining bool       // reads are over
	foreign  bool       // net/http sets the deadlines and drains
}

func (s *Server) newConn(ctx context.Context, nc net.Conn, peer string) *conn {
	c := &conn{srv: s, nc: nc, peer: peer, life: ctx}
	c.inFlight, c.waiting = make(chan struct{}, s.o.MaxPerConn), make(chan struct{}, pollsPerRequest*s.o.MaxPerConn)
	c.long = make(chan struct{}, longPerConn)
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.br = bufio.NewReader(c)
	return c
}

// wrap continues on another transport over the same socket.
func (c *conn) wrap(nc net.Conn) {
	c.mu.Lock()
	c.nc = nc
	c.mu.Unlock()
	c.br = bufio.NewReader(c)
	c.readBy, c.writeBy = time.Time{}, time.Time{}
}

// startRequest is called before the first byte of a request is asked for.
func (c *conn) startRequest() {
	c.begun = time.Time{}
	if c.br.Buffered() > 0 {
		c.begun = time.Now()
	}
}

// admitted is called when a request that was partly read may be served: how long it was kept waiting is not
// the fault of who sends it.
func (c *conn) admitted() {
	if !c.begun.IsZero() {
		c.begun = time.Now()
	}
}

// Read is the transport's Read with the deadline that the moment calls for: a peer
// may be silent between requests, but not inside one, however slowly it trickles.
func (c *conn) Read(p []byte) (int, error) {
	for {
		if err := c.armRead(); err != nil {
			return 0, err
		}
		n, err := c.nc.Read(p)
		if n > 0 && c.begun.IsZero() {
			c.begun = time.Now()
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			if c.isDraining() {
				return 0, io.EOF
			}
			if c.begun.IsZero() && c.greetBy.IsZero() && len(c.inFlight)+len(c.waiting) > 0 {
				continue // silent because it waits for us
			}
		}
		return n, err
	}
}

func (c *conn) armRead() error {
	var by time.Time
	switch now := time.Now(); {
	case !c.greetBy.IsZero():
		by = c.greetBy
	case !c.begun.IsZero():
		by = c.begun.Add(c.srv.o.RequestTime)
	default:
		by = now.Add(c.srv.o.IdleTime)
		if ahead := c.readBy.Sub(now); ahead > c.srv.o.IdleTime/8*7 && ahead <= c.srv.o.IdleTime {
			by = c.readBy // near enough: a deadline costs as much as a small read
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return io.EOF
	}
	if c.foreign || by.Equal(c.readBy) {
		return nil
	}
	c.readBy = by
	return c.nc.SetReadDeadline(by)
}

// writeStep is how much of a reply a peer may take WriteTime for: a long one may take as long as it is long.
const writeStep = 1 << 20

// Write is the transport's Write with a deadline for each step; any error closes the connection,
// since net/rpc drops it.
func (c *conn) Write(p []byte) (n int, err error) {
	for err == nil && n < len(p) {
		var k int
		if err = c.armWrite(); err == nil {
			k, err = c.nc.Write(p[n:min(n+writeStep, len(p))])
			n += k
		}
	}
	if err != nil {
		c.close()
	}
	return n, err
}

func (c *conn) armWrite() error {
	now := time.Now()
	if c.writeBy.Sub(now) >= c.srv.o.WriteTime/2 {
		return nil
	}
	c.writeBy = now.Add(c.srv.o.WriteTime)
	return c.nc.SetWriteDeadline(c.writeBy)
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// drain ends the reading of requests; those in flight are still answered.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.foreign {
		return
	}
	c.draining = true
	c.nc.SetReadDeadline(time.Unix(1, 0)) // an error means that it is closed already
}

// close ends everything of the connection, its handlers' contexts too.
func (c *conn) close() {
	c.cancel()
	c.mu.Lock()
	nc := c.nc
	c.mu.Unlock()
	nc.Close() // what it had to say was said by the failed read or write
}

// enter waits for leave to serve a request of this method. Its slot goes with its body to
// its handler, which gives it back: replies that a client does not read hold no slot.
func (c *conn) enter(method string) error {
	if isLong(method) {
		select {
		case c.long <- struct{}{}:
		case <-c.ctx.Done():
			return io.EOF
		}
	}
	select {
	case c.flights(method) <- struct{}{}:
	case <-c.ctx.Done():
		c.leaveLong(method)
		return io.EOF
	}
	if method == timeNow {
		c.instant.Add(1)
	}
	if passesBy(method) {
		return nil
	}
	select {
	case c.srv.slots <- struct{}{}:
		c.slot = func() { <-c.srv.slots }
		return nil
	case <-c.ctx.Done():
		c.leave(method)
		return io.EOF
	}
}

// leave undoes enter once the request is answered.
func (c *conn) leave(method string) {
	<-c.flights(method)
	c.leaveLong(method)
}

// pollsPerRequest is how many long polls a connection may have for each other request that it may have in
// flight. A poll whose client has given up goes on for its time, and must keep nobody from asking.
const pollsPerRequest = 4

func (c *conn) flights(method string) chan struct{} {
	if method == "Jobs.Wait" {
		return c.waiting
	}
	return c.inFlight
}

func (c *conn) leaveLong(method string) {
	if isLong(method) {
		<-c.long
	}
}

// longPerConn is how many replies that may be long a connection's client can have made for it and not
// read: they wait in memory. Its next request is not looked at before one of them is on its way.
const longPerConn = 4

// isLong says which replies grow with the number of jobs, or with that of a job's tasks.
func isLong(method string) bool {
	switch method {
	case "Jobs.List", "Jobs.Logs", "Jobs.Impact", "Jobs.Explain", "Jobs.DryRun", "Jobs.Lineage", "Jobs.Timeline", "Jobs.CacheReport", "Jobs.TraceKey":
		return true
	}
	return false
}

// timeNow is the method that must not be late.
const timeNow = "Time.Now"

// lastInstant reports, when a request of this method is answered, whether the answer
// has to be flushed: not if another one follows on its heels, as when many readings are asked for
// on one connection. A client that waits for each answer never waits for another's.
func (c *conn) lastInstant(method string) bool {
	return method != timeNow || c.instant.Add(-1) == 0
}

// passesBy says which requests don't wait for a slot: those that cost nothing and
// must not be late, and those that do nothing but wait.
func passesBy(method string) bool {
	return method == timeNow || method == "Jobs.Wait" || method == "Meta.Hello"
}
