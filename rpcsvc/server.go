package rpcsvc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

// Server offers an engine and the time.
type Server struct {
	jobs    mr.Jobs
	o       ServerOptions
	rpc     *rpc.Server
	master  *clock.Master
	epoch   uint64
	started time.Time
	decoded atomic.Uint64 // requests that a decoder was let at

	slots    chan struct{}  // one element a request being served
	polls    chan struct{}  // one a long poll
	greeting chan struct{}  // one a connection not yet authenticated
	stopping chan struct{}  // closed when draining begins
	work     sync.WaitGroup // one a connection

	mu        sync.Mutex
	stopped   bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// NewServer makes a Server of jobs. It does nothing until Serve is called.
func NewServer(jobs mr.Jobs, o ServerOptions) *Server {
	o = o.withDefaults()
	s := &Server{
		jobs: jobs, o: o,
		rpc: rpc.NewServer(), master: o.Clock, epoch: newEpoch(), started: time.Now(),
		slots:     make(chan struct{}, o.MaxInFlight),
		polls:     make(chan struct{}, o.MaxPolls),
		greeting:  make(chan struct{}, o.MaxGreeting),
		stopping:  make(chan struct{}),
		listeners: map[net.Listener]struct{}{},
		conns:     map[*conn]struct{}{},
	}
	for name, svc := range map[string]any{"Jobs": &jobsService{s}, "Time": clock.NewService(s.master), "Meta": &metaService{s}, "Workers": &workersService{s}} {
		if err := s.rpc.RegisterName(name, svc); err != nil {
			panic(fmt.Sprintf("rpcsvc: service %s: %v", name, err)) // our own methods have the wrong shape
		}
	}
	return s
}

// Serve accepts connections from l until ctx ends or Shutdown is called, then drains
// and returns nil; it returns an error when l fails or may not be served. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if err := s.mayServe(l); err != nil {
		return err
	}
	if !s.addListener(l) {
		return nil
	}
	// Handlers outlive ctx while the server drains.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		drain, cancel := context.WithTimeout(life, s.o.DrainTime)
		defer cancel()
		s.Shutdown(drain) //nolint:errcheck // its error says that calls were cut off, which their callers learn
	})
	var own sync.WaitGroup
	defer func() {
		own.Wait()
		if !stop() {
			<-drained
		}
	}()
	err := s.accept(l, func(nc net.Conn) {
		own.Add(1)
		go func() {
			defer own.Done()
			defer s.work.Done()
			s.handle(life, nc)
		}()
	})
	if s.isStopping() {
		return nil
	}
	end() // the listener failed: what came through it ends with it
	return err
}

func (s *Server) accept(l net.Listener, serve func(net.Conn)) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isStopping() || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Mostly "too many open files": it passes when connections end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.o.Logger.Warn("accept", "listener", l.Addr().String(), "err", err, "pause", pause)
			select {
			case <-time.After(pause):
				continue
			case <-s.stopping:
				return err
			}
		}
		pause = 0
		if !s.admit() {
			nc.Close()
			continue
		}
		serve(nc)
	}
}

// admit counts a connection in, unless there are too many.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.conns) >= s.o.MaxConns {
		return false
	}
	s.work.Add(1)
	return true
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) addConn(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.conns) >= s.o.MaxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) dropConn(c *conn) {
	c.close()
	s.forget(c)
}

// forget takes a connection out of those that are counted, and that Shutdown closes.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Shutdown stops accepting, answers the requests in flight and closes the connections.
// When ctx ends first it cuts off what is left and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
		for l := range s.listeners {
			l.Close()
		}
		for c := range s.conns {
			c.drain()
		}
	}
	s.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		s.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.close()
	}
	s.mu.Unlock()
	return ctx.Err()
}

// hello describes the server.
func (s *Server) hello() HelloReply {
	return HelloReply{
		Version: s.o.Version, Wire: WireVersion, Epoch: s.epoch, PID: os.Getpid(), Started: s.started.UnixNano(),
		Store: s.o.StoreDir, Features: features(), MaxRequest: s.o.MaxRequest,
	}
}

func features() []string {
	return []string{"gob", "http", "jobs/1", "jsonrpc", "time/1", "tls", "workers/1"}
}
