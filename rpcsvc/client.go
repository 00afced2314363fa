package rpcsvc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/rpc"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
)

// ClientOptions configure a Client; the zero value is good for a unix socket.
type ClientOptions struct {
	Auth     *Auth         // credentials for TCP
	Name     string        // program and version, for the daemon's log
	RetryFor time.Duration // how long a call is made again while the daemon is away; 0: 30 s; < 0: never
	DialTime time.Duration // for one attempt to connect; 0: 5 s
	PollTime time.Duration // for the daemon to answer a Wait, which it does after about ten seconds; 0: 1 min
}

// Client calls a daemon. It is an mr.Jobs, and safe for concurrent use.
type Client struct {
	addr string
	o    ClientOptions

	maxRequest atomic.Int64 // as the daemon said; 0 before it did

	mu     sync.Mutex
	hello  HelloReply
	link   *link    // nil: none at the moment
	dialed *dialing // the dial under way; nil: there is none
	closed bool
}

// dialing is a dial that callers at the same time wait for.
type dialing struct {
	over chan struct{} // closed when it has ended
	err  error         // set before that
}

var _ mr.Jobs = (*Client)(nil)

// errClientClosed is the answer to calls after Close.
var errClientClosed = mr.Errorf(mr.Interrupted, "the client is closed")

// Dial connects to a daemon at "unix:PATH" or "tcp:HOST:PORT" and says hello. It tries
// once: who starts a daemon when there is none needs to know at once.
func Dial(ctx context.Context, addr string, o ClientOptions) (*Client, error) {
	if o.Name == "" {
		o.Name = "a Go client"
	}
	if o.RetryFor == 0 {
		o.RetryFor = 30 * time.Second
	}
	setDefault(&o.DialTime, 5*time.Second)
	setDefault(&o.PollTime, time.Minute)
	c := &Client{addr: addr, o: o}
	if _, err := c.connected(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Addr returns the address that was dialled.
func (c *Client) Addr() string { return c.addr }

// Hello returns what the daemon last said of itself.
func (c *Client) Hello() HelloReply {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello
}

// Close ends the connection; calls under way fail.
func (c *Client) Close() error {
	c.mu.Lock()
	l := c.link
	c.link, c.closed = nil, true
	c.mu.Unlock()
	if l != nil {
		l.rpc.Close() // ErrShutdown when the connection was gone already
	}
	return nil
}

// connected returns the link, dialling if there is none. Callers at the same time
// share one dial.
func (c *Client) connected(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, errClientClosed
		case c.link != nil:
			l := c.link
			c.mu.Unlock()
			return l, nil
		case c.dialed == nil:
			d := &dialing{over: make(chan struct{})}
			c.dialed = d
			c.mu.Unlock()
			return c.dial(ctx, d)
		}
		d := c.dialed
		c.mu.Unlock()
		select {
		case <-d.over:
			if d.err != nil && !errors.Is(d.err, mr.ErrInterrupted) { // then only who dialled has given up
				return nil, d.err
			}
		case <-ctx.Done():
			return nil, c.interrupted(ctx, "connecting")
		}
	}
}

func (c *Client) dial(ctx context.Context, d *dialing) (*link, error) {
	limited, cancel := context.WithTimeoutCause(ctx, c.o.DialTime, fmt.Errorf("no answer within %v", c.o.DialTime))
	defer cancel()
	l, hello, err := c.open(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = mr.Errorf(mr.Unreachable, "connecting to %s: %w", c.addr, context.Cause(limited))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialed, d.err = nil, err
	close(d.over)
	if err != nil {
		return nil, err
	}
	if c.closed {
		l.rpc.Close()
		return nil, errClientClosed
	}
	c.link, c.hello = l, hello
	c.maxRequest.Store(hello.MaxRequest)
	return l, nil
}

func (c *Client) open(ctx context.Context) (*link, HelloReply, error) {
	nc, err := dial(ctx, c.addr, c.o.Auth)
	if err != nil {
		return nil, HelloReply{}, err
	}
	l := newLink(nc, &c.maxRequest)
	var hello HelloReply
	call := l.rpc.Go("Meta.Hello", &HelloRequest{Client: c.o.Name, Wire: WireVersion}, &hello, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		err = call.Error
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		l.rpc.Close()
		if text, ok := errors.AsType[rpc.ServerError](err); ok {
			return nil, HelloReply{}, fromWire(text)
		}
		return nil, HelloReply{}, dialError(ctx, c.addr, err)
	}
	return l, hello, nil
}

// drop forgets a link that broke, unless another call did so before.
func (c *Client) drop(l *link) {
	c.mu.Lock()
	if c.link == l {
		c.link = nil
	}
	c.mu.Unlock()
	l.rpc.Close() // ErrShutdown when it is closed already
}

func (c *Client) interrupted(ctx context.Context, doing string) error {
	return mr.Errorf(mr.Interrupted, "%s: %s: %w", c.addr, doing, context.Cause(ctx))
}

// pause between attempts: full jitter below a limit that doubles.
func pause(attempt int) time.Duration {
	const first, most = 20 * time.Millisecond, 2 * time.Second
	limit := min(first<<min(attempt, 10), most)
	return rand.N(limit) + time.Millisecond
}

// invoke makes a call, again and again while the daemon is away. Each attempt has a
// Reply of its own: net/rpc may write to it after the caller gave up.
func invoke[Rep any](ctx context.Context, c *Client, method string, args any) (*Rep, error) {
	var away time.Time // since then; that a call took long before is no part of it
	for attempt := 0; ; attempt++ {
		if ctx.Err() != nil {
			return nil, c.interrupted(ctx, method)
		}
		rep := new(Rep)
		err := c.once(ctx, method, args, rep)
		if err == nil {
			return rep, nil
		}
		if away.IsZero() {
			away = time.Now()
		}
		if !again(err) || time.Since(away) >= c.o.RetryFor {
			return nil, err
		}
		select {
		case <-time.After(pause(attempt)):
		case <-ctx.Done():
			return nil, c.interrupted(ctx, method)
		}
	}
}

// again says whether an attempt may be repeated: the daemon was not reached, the
// connection broke, or the daemon was stopping.
func again(err error) bool {
	if errors.Is(err, errClientClosed) {
		return false
	}
	e, ok := errors.AsType[*mr.Error](err)
	return ok && e.Kind == mr.Unreachable && (e.Err != nil || e.Msg == drainingText)
}

// once makes one attempt.
func (c *Client) once(ctx context.Context, method string, args, rep any) error {
	l, err := c.connected(ctx)
	if err != nil {
		return err
	}
	asked := time.Now()
	done, sent := make(chan *rpc.Call, 1), make(chan struct{})
	go func() { // net/rpc writes in its caller's goroutine, one at a time: a peer that does not read may hold it
		l.rpc.Go(method, args, rep, done)
		close(sent)
	}()
	select {
	case call := <-done:
		err = call.Error
	case <-ctx.Done():
		select {
		case <-sent:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && l.codec.heard.Load() < asked.UnixNano() {
				c.drop(l) // it may be dead: nothing came since we asked
			}
		default: // ours, or another that is long, is still on its way: it has a time of its own
		}
		return c.interrupted(ctx, method)
	}
	if err == nil {
		return nil
	}
	if text, ok := errors.AsType[rpc.ServerError](err); ok {
		e := fromWire(text)
		if again(e) {
			c.drop(l) // the daemon is stopping: the next attempt needs another connection
		}
		return e
	}
	c.drop(l)
	if errors.Is(err, errRequestSize) {
		return mr.Errorf(mr.Usage, "%s: the request has more than the %d bytes that the daemon takes; name folders or patterns instead of many files", method, c.maxRequest.Load())
	}
	return mr.Errorf(mr.Unreachable, "%s: %s: the connection broke: %w", c.addr, method, err)
}
