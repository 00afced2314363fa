package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/where"
)

// system is what an app reaches beyond its own process's streams. The tests have one of their own.
type system interface {
	// Dial connects to a daemon, with the keys in that folder if there is one. A failure is
	// Unreachable, or Refused.
	Dial(ctx context.Context, addr, keys string) (connection, error)
	// Time connects to a daemon's time service in the same way.
	Time(ctx context.Context, addr, keys string) (timeSource, error)
	// Open opens the store in dir in this process. A store that another process holds is Unreachable.
	Open(dir string, opt nodeOptions) (node, error)
	// Builtins are the jobs in the box, by name.
	Builtins() []*mr.Definition
}

// connection is a daemon's jobs.
type connection interface {
	mr.Jobs
	io.Closer
}

// node is the engine in this process.
type node interface {
	Jobs() mr.Jobs
	ImportBinary(path string) (mr.Code, error)
	// Opened is when the store was this process's; it was another's before.
	Opened() time.Time
	Close(ctx context.Context) error
}

type nodeOptions struct {
	Workers  int
	Memory   int64
	ReadOnly bool
	Make     bool  // a store, if there is none
	Idle     bool  // unfinished jobs stay as they are
	Cache    int64 // bound of the store in bytes; 0: the default
	Logger   *slog.Logger
}

// session is the jobs that a verb talks to.
type session struct {
	mr.Jobs
	daemon string // the daemon's address, or "" when the engine is in this process
	node   node   // nil with a daemon
	conn   connection
}

// reach says what a verb can do with.
type reach int

const (
	toRead   reach = iota // a daemon, or the store opened for reading only
	toChange              // a daemon, or the engine in this process on a store that is there
	toRun                 // likewise, and a store is made if there is none
	toDaemon              // a daemon alone
)

const (
	dialTimeout  = 2 * time.Second
	farTimeout   = 8 * time.Second // of TCP, where four round trips and a lost packet or two are in it
	drainTimeout = 10 * time.Second
)

// errSilent is in the error of a dial that ended because its time was over.
var errSilent = errors.New("no answer")

// target is where the store and its daemon are.
type target struct {
	store string
	addr  string // of the daemon
	asked bool   // that address was asked for, and no other will do
	keys  string // folder of the keys for addr; "": none
}

func (a *app) target() (t target, err error) {
	if t.store, err = where.Store(a.store, a.env, a.dir); err != nil {
		return t, err
	}
	if t.addr, t.asked, err = where.Addr(a.addr, a.env, t.store, a.dir); err != nil {
		return t, err
	}
	if strings.HasPrefix(t.addr, "tcp:") {
		keys, asked := where.Keys(a.auth, a.env, t.store, a.dir)
		if asked || exists(keys) {
			t.keys = keys
		}
	}
	return t, nil
}

// mayAnswer is false when there is not even a socket.
func (t target) mayAnswer() bool { return t.asked || exists(strings.TrimPrefix(t.addr, "unix:")) }

// open opens a session: the daemon first, if it answers, and otherwise the store itself.
func (a *app) open(ctx context.Context, r reach, opt nodeOptions) (*session, error) {
	to, err := a.target()
	if err != nil {
		return nil, err
	}
	store, addr, asked := to.store, to.addr, to.asked
	dialErr, listens := error(mr.Errorf(mr.Unreachable, "no daemon serves %s", store)), false
	if to.mayAnswer() {
		s, err := a.dial(ctx, to)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if asked {
			return nil, err
		}
		dialErr = mr.Errorf(mr.Unreachable, "no daemon answers at %s: %w", addr, err)
		listens = !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED)
	}
	switch {
	case r == toDaemon && listens:
		return nil, dialErr
	case r == toDaemon:
		return nil, mr.Errorf(mr.Unreachable, "%w; start one with 'mrd --store %s', or use 'mrctl run', which needs none", dialErr, store)
	}
	opt.ReadOnly, opt.Make = r == toRead, r == toRun
	if r != toRun && !exists(store) {
		return nil, noStore(store)
	}
	n, err := a.system.Open(store, opt)
	if err == nil {
		return &session{Jobs: n.Jobs(), node: n}, nil
	}
	// A daemon that is just starting holds the store before it listens. One that took the connection and did
	// not answer in all the time it had is stopped, and will not answer now.
	if errors.Is(err, mr.ErrUnreachable) && !asked && !errors.Is(dialErr, errSilent) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout) // for all of them
		defer cancel()
		for range 5 {
			if !sleep(ctx, 100*time.Millisecond) {
				break
			}
			if s, err := a.dial(ctx, to); err == nil {
				return s, nil
			}
		}
	}
	if listens && errors.Is(err, mr.ErrUnreachable) { // by the daemon, which has a reason not to talk to us
		return nil, mr.Errorf(mr.Unreachable, "%w; %w", err, dialErr)
	}
	return nil, err
}

func noStore(dir string) error {
	return mr.Errorf(mr.Unreachable, "there is no store in %s; --store DIR names another, and the first 'mrctl run' makes one", dir)
}

func (a *app) dial(ctx context.Context, to target) (*session, error) {
	c, err := dialled(ctx, to, a.system.Dial)
	if err != nil {
		return nil, err
	}
	return &session{Jobs: c, daemon: to.addr, conn: c}, nil
}

// patience is how long connecting to a daemon that is there and well may take.
func patience(addr string) time.Duration {
	if strings.HasPrefix(addr, "tcp:") {
		return farTimeout
	}
	return dialTimeout
}

// dialled dials for as long as a daemon may take that is there and well.
func dialled[C any](ctx context.Context, to target, dial func(ctx context.Context, addr, keys string) (C, error)) (C, error) {
	limited, cancel := context.WithTimeout(ctx, patience(to.addr))
	defer cancel()
	c, err := dial(limited, to.addr, to.keys)
	if err != nil && ctx.Err() == nil && limited.Err() != nil { // nobody has interrupted us
		err = mr.Errorf(mr.Unreachable, "connecting to %s: %w within %v: the daemon is stopped, or what listens there is none", to.addr, errSilent, patience(to.addr))
	}
	return c, err
}

// Close ends the session. A node drains first.
func (s *session) Close(ctx context.Context) error {
	if s.node == nil {
		return s.conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return s.node.Close(ctx)
}

// with opens a session, hands it to f, and closes it.
func (a *app) with(ctx context.Context, r reach, opt nodeOptions, f func(*session) error) error {
	s, err := a.open(ctx, r, opt)
	if err != nil {
		return err
	}
	err = ofKind(mr.Failed, f(s))
	end := ofKind(mr.Unreachable, s.Close(ctx))
	// An engine in this process that has ended by itself is not reached any more, and its end says why.
	if err == nil || end != nil && s.node != nil && errors.Is(err, mr.ErrUnreachable) {
		err = end
	}
	return err
}

// ofKind gives an error that has none a kind, without which it would pass for wrong usage.
func ofKind(kind mr.Kind, err error) error {
	if _, told := errors.AsType[*mr.Error](err); err == nil || told || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return mr.Errorf(kind, "%w", err)
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
