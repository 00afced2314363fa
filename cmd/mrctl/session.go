package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/where"
)

// system is what an app reaches beyond its own process's streams. The tests have one of their own.
type system interface {
	// Dial connects to a daemon. A failure is Unreachable.
	Dial(ctx context.Context, addr string) (connection, error)
	// Time connects to a daemon's time service. A failure is Unreachable.
	Time(ctx context.Context, addr string) (timeSource, error)
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
	Close(ctx context.Context) error
}

type nodeOptions struct {
	Workers  int
	Memory   int64
	ReadOnly bool
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
	toRun                 // a daemon, or the engine in this process
	toDaemon              // a daemon alone
)

const (
	dialTimeout  = 2 * time.Second
	drainTimeout = 10 * time.Second
)

// open opens a session: the daemon first, if it answers, and otherwise the store itself.
func (a *app) open(ctx context.Context, r reach, opt nodeOptions) (*session, error) {
	store, err := where.Store(a.store, a.env, a.dir)
	if err != nil {
		return nil, err
	}
	addr, asked, err := where.Addr(a.addr, a.env, store, a.dir)
	if err != nil {
		return nil, err
	}
	dialErr := mr.Errorf(mr.Unreachable, "no daemon serves %s", store)
	if asked || exists(strings.TrimPrefix(addr, "unix:")) {
		s, err := a.dial(ctx, addr)
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
	}
	if r == toDaemon {
		return nil, mr.Errorf(mr.Unreachable, "%w; start one with 'mrd --store %s', or use 'mrctl run', which needs none", dialErr, store)
	}
	opt.ReadOnly = r == toRead
	if opt.ReadOnly && !exists(store) {
		return nil, mr.Errorf(mr.Unreachable, "there is no store in %s; --store DIR names another, and the first 'mrctl run' makes one", store)
	}
	n, err := a.system.Open(store, opt)
	if err == nil {
		return &session{Jobs: n.Jobs(), node: n}, nil
	}
	// A daemon that is just starting holds the store before it listens.
	if errors.Is(err, mr.ErrUnreachable) && !asked {
		for range 5 {
			if !sleep(ctx, 100*time.Millisecond) {
				break
			}
			if s, err := a.dial(ctx, addr); err == nil {
				return s, nil
			}
		}
	}
	return nil, err
}

func (a *app) dial(ctx context.Context, addr string) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := a.system.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &session{Jobs: c, daemon: addr, conn: c}, nil
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
	err = f(s)
	if closeErr := s.Close(ctx); err == nil {
		err = closeErr
	}
	return err
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
