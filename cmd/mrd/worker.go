package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/clock"
	"github.com/mrd-io/mr/internal/exit"
	"github.com/mrd-io/mr/internal/local"
	"github.com/mrd-io/mr/internal/size"
	"github.com/mrd-io/mr/internal/where"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/rpcsvc"
	"github.com/mrd-io/mr/worker"
)

// joiner is one life of mrd worker.
type joiner struct {
	out, err io.Writer
	env      func(string) string
	dir      string // what relative paths are relative to
	version  string

	o      joinOptions
	host   string
	auth   *rpcsvc.Auth
	log    *slog.Logger
	tmp    string
	born   int64 // the incarnation
	clock  *clock.Clock
	ticker sync.Once // starts the clock
}

type joinOptions struct {
	addr      string
	name      string
	workers   int
	memory    int64 // for all tasks together
	keys      string
	cache     string
	logFormat string
}

const joinHelp = `mrd worker works for a daemon, from this host or another one: it reads the input files itself, at the paths
that the job names, and sends what it makes of them to the daemon. Input must be reachable under the same paths
with the same bytes: a shared file system, or copies. A file that is missing here, or shorter than where the job
was planned, fails the attempt, and the task is given to another worker.

It runs until SIGTERM, SIGINT or SIGHUP. When the daemon is away it dials again; when another worker is started under its
name, it ends with status 5. A daemon takes about sixty workers, whatever their --workers.

Usage:
  mrd worker --join ADDR [--name NAME] [--workers N] [--memory SIZE] [--auth DIR]
             [--cache DIR]

Flags:
  --join ADDR          the daemon, unix:PATH or tcp:HOST:PORT (default $MR_ADDR)
  --name NAME          this worker's name; a later worker takes the place of an earlier one of its name
                       (default: the host's name)
  --workers N          run N tasks at once (default: the CPUs)
  --memory SIZE        memory for all tasks together, here and whatever the daemon has (default 1GiB)
  --auth DIR           folder of the keys for TCP: a copy of the folder client that 'mrctl auth init' made
                       (default $MR_AUTH)
  --cache DIR          folder for temporary files and for job binaries, of which it keeps those used last, about a
                       GiB (default ~/.cache/mr)
  --log-format FORMAT  of the log on stderr: text or json (default text)
`

func (w *joiner) main(ctx context.Context, args []string) int {
	done, err := w.flags(args)
	if err == nil && !done {
		err = w.run(ctx)
	}
	if err != nil {
		// A failed write to stderr has nobody left to be told to.
		_, _ = fmt.Fprintf(w.err, "mrd worker: %s\n", strings.TrimRight(err.Error(), "\n"))
	}
	return exit.Status(err)
}

func (w *joiner) flags(args []string) (done bool, err error) {
	fs := pflag.NewFlagSet("mrd worker", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o := &w.o
	fs.StringVar(&o.addr, "join", w.env("MR_ADDR"), "")
	fs.StringVar(&o.name, "name", "", "")
	fs.IntVar(&o.workers, "workers", 0, "")
	fs.Var(size.Value{N: &o.memory}, "memory", "")
	fs.StringVar(&o.keys, "auth", "", "")
	fs.StringVar(&o.cache, "cache", "", "")
	fs.StringVar(&o.logFormat, "log-format", "text", "")
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		_, err = io.WriteString(w.out, joinHelp)
		return true, err
	case err != nil:
		return false, mr.Errorf(mr.Usage, "%w; see mrd worker --help", err)
	case fs.NArg() > 0:
		return false, mr.Errorf(mr.Usage, "mrd worker takes flags only, and got %q", fs.Arg(0))
	case o.addr == "":
		return false, mr.Errorf(mr.Usage, "mrd worker needs --join ADDR, the daemon to work for")
	case o.workers < 0:
		return false, mr.Errorf(mr.Usage, "--workers %d: the number of tasks at once cannot be negative", o.workers)
	case o.logFormat != "text" && o.logFormat != "json":
		return false, mr.Errorf(mr.Usage, "--log-format %q is not known; use text or json", o.logFormat)
	}
	if o.addr, err = where.Parse(o.addr, w.dir); err == nil {
		err = rpcsvc.CheckAddr(o.addr)
	}
	if err != nil {
		return false, mr.Errorf(mr.Usage, "--join: %w", err)
	}
	if o.workers == 0 {
		o.workers = runtime.GOMAXPROCS(0)
	}
	if o.memory == 0 {
		o.memory = local.DefaultMemory
	}
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return false, mr.Errorf(mr.Usage, "no folder for job binaries: %w; name one with --cache DIR", err)
		}
		o.cache = filepath.Join(base, "mr")
	}
	if !filepath.IsAbs(o.cache) {
		o.cache = filepath.Join(w.dir, o.cache)
	}
	if keys, asked := where.Keys(o.keys, w.env, o.cache, w.dir); asked && strings.HasPrefix(o.addr, "tcp:") {
		if w.auth, err = rpcsvc.LoadClientAuth(keys); err != nil {
			return false, err
		}
	}
	return false, nil
}

// run joins, again and again, until ctx ends or the daemon refuses.
func (w *joiner) run(ctx context.Context) error {
	w.log = slog.New(slog.NewTextHandler(w.err, nil))
	if w.o.logFormat == "json" {
		w.log = slog.New(slog.NewJSONHandler(w.err, nil))
	}
	var err error
	if w.host, err = os.Hostname(); err != nil {
		return mr.Errorf(mr.Failed, "this host has no name: %w", err)
	}
	if w.o.name == "" {
		w.o.name = w.host
	}
	local.LimitMemory(w.o.memory)
	w.born = time.Now().UnixNano()
	if err := os.MkdirAll(w.o.cache, 0o700); err != nil {
		return mr.Errorf(mr.Failed, "making the folder of job binaries: %w", err)
	}
	w.sweep()
	if w.tmp, err = os.MkdirTemp(w.o.cache, fmt.Sprintf("%s%d-*", w.tmpPrefix(), os.Getpid())); err != nil {
		return mr.Errorf(mr.Failed, "making a folder for temporary files: %w", err)
	}
	defer os.RemoveAll(w.tmp) //nolint:errcheck // what is left is small, and swept with the cache
	held, err := os.Open(w.tmp)
	if err != nil {
		return mr.Errorf(mr.Failed, "opening the folder for temporary files: %w", err)
	}
	defer held.Close() //nolint:errcheck // nothing was written
	_ = lock(held)     // where there are no locks, the process's number alone tells that it lives
	for attempt := 0; ; attempt++ {
		m, err := w.join(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, mr.ErrUnreachable) || errors.Is(err, mr.ErrInterrupted):
			w.log.Warn("the daemon is away", "err", err)
		case err != nil:
			return err
		default:
			w.log.Info("joined", "daemon", w.o.addr, "name", w.o.name, "workers", w.o.workers)
			if err := w.session(ctx, m); err != nil || ctx.Err() != nil {
				return err
			}
			w.log.Warn("the connection to the daemon has ended")
			attempt = 0
		}
		select {
		case <-time.After(redial(attempt)):
		case <-ctx.Done():
			return nil
		}
	}
}

// tmpPrefix begins the names of temporary folders of this host's workers; the cache may be
// on a file system that others share.
func (w *joiner) tmpPrefix() string { return "tmp-" + w.host + "-" }

// sweep removes the temporary folders of workers that were killed.
func (w *joiner) sweep() {
	old, _ := os.ReadDir(w.o.cache) // what can't be listed can't be swept
	for _, dir := range old {
		rest, tmp := strings.CutPrefix(dir.Name(), w.tmpPrefix())
		pid, drawn, _ := strings.Cut(rest, "-")
		if strings.Contains(drawn, "-") { // of a host whose name begins with this one's
			continue
		}
		path := filepath.Join(w.o.cache, dir.Name())
		if n, err := strconv.Atoi(pid); tmp && err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) && !inUse(path) {
			os.RemoveAll(path) //nolint:errcheck // tried again at the next start
		}
	}
}

// inUse reports whether the process lives that made a temporary folder: in another container, whose processes have
// numbers of their own, it may.
func inUse(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return errors.Is(lock(f), syscall.EWOULDBLOCK)
}

// lock takes the lock on an open folder, which ends with it, unless somebody has it.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// redial is full jitter below a limit that doubles.
func redial(attempt int) time.Duration {
	const first, most = 100 * time.Millisecond, 5 * time.Second
	return time.Millisecond + rand.N(min(first<<min(attempt, 10), most))
}

const joinTime = 10 * time.Second

func (w *joiner) join(ctx context.Context) (*rpcsvc.Membership, error) {
	build := ""
	if local.Development(w.version) {
		var err error
		if build, err = local.Build(); err != nil {
			return nil, mr.Errorf(mr.Failed, "reading this program: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	return rpcsvc.Join(ctx, w.o.addr, w.auth, rpcsvc.JoinRequest{
		Name: w.o.name, Host: w.host, PID: os.Getpid(), Incarnation: w.born,
		Slots: w.o.workers + 1, Version: w.version, Build: build, Platform: local.Platform(), // one more: see worker.Options.Cores
		TaskMemory: max(w.o.memory/int64(w.o.workers+1), 1),
	})
}

// session works until the connection ends. Its error is a reason not to join again.
func (w *joiner) session(ctx context.Context, m *rpcsvc.Membership) error {
	defer m.Close() //nolint:errcheck // it is over already, as a rule
	w.keepTime(ctx)
	here, leaving := context.WithCancel(ctx)
	defer leaving()
	remote := worker.NewRemote(w.o.workers+1, func() (net.Conn, error) { return w.stream(here, m.Seat) })
	children := worker.NewChildren(worker.ChildOptions{Idle: w.o.workers, Silence: time.Duration(m.Silence), TempDir: w.tmp, Logger: w.log})
	defer children.Close()
	heard := make(chan struct{}, 1)
	leave := make(chan string, 1)
	service := worker.New(worker.Options{
		Runs: remote, Parts: remote.Parts(), Builtin: builtin.Lookup(), TempDir: w.tmp, Cores: w.o.workers, Logger: w.log,
		Binaries: &worker.Fetched{Children: children, Remote: remote, Dir: filepath.Join(w.o.cache, "bin")},
		Host:     w.o.name + " (" + w.host + ")",
		Apart:    !strings.HasPrefix(w.o.addr, "unix:") && (m.Machine == "" || m.Machine != local.Machine()),
		Clock:    w.moment,
		Alive: func() plan.Alive {
			select {
			case heard <- struct{}{}:
			default:
			}
			return w.alive()
		},
		Leave: func(reason string) {
			select {
			case leave <- reason:
			default:
			}
		},
	})
	srv := rpc.NewServer()
	if err := srv.RegisterName("Worker", service); err != nil {
		return fmt.Errorf("registering the worker: %w", err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		m.Serve(srv)
	}()
	err := w.await(ctx, m, heard, leave)
	leaving()
	m.Close() //nolint:errcheck // it is over already, as a rule
	service.Close()
	remote.Close()
	select {
	case <-served:
	case <-time.After(stuckTask):
		w.log.Warn("tasks that do not end are left behind; nobody waits for what they make")
	}
	return err
}

// stuckTask is how long a task may take to notice that it was cancelled: one that waits for a file system which
// does not answer never does. With ending the others that is less than the ten seconds that a service manager gives.
const stuckTask = 7 * time.Second

// stream opens a connection for runs and parts. A daemon to which many connect at once may turn some away.
func (w *joiner) stream(ctx context.Context, seat uint64) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTime)
	defer cancel()
	for attempt := 0; ; attempt++ {
		conn, err := rpcsvc.OpenStream(ctx, w.o.addr, w.auth, seat)
		if !errors.Is(err, mr.ErrUnreachable) {
			return conn, err
		}
		select {
		case <-time.After(redial(attempt)):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// await returns when the session is over: when its connection is, when the daemon wants it
// to, or when the daemon gives no sign of life for three leases. These are counted in ticks
// of our own, so that being stopped is not taken for the daemon's silence.
func (w *joiner) await(ctx context.Context, m *rpcsvc.Membership, heard <-chan struct{}, leave <-chan string) error {
	const perLease, leases = 4, 3
	tick := time.NewTicker(max(time.Duration(m.Lease)/perLease, time.Millisecond))
	defer tick.Stop()
	for missed := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case reason := <-leave:
			return mr.Errorf(mr.Refused, "%s", reason)
		case <-m.Gone():
			select { // it was told why
			case reason := <-leave:
				return mr.Errorf(mr.Refused, "%s", reason)
			default:
				return nil
			}
		case <-heard:
			missed = 0
		case <-tick.C:
			if missed++; missed > perLease*leases {
				w.log.Warn("the daemon is silent")
				return nil
			}
		}
	}
}

// keepTime starts the clock, once. It dials for itself from then on.
func (w *joiner) keepTime(ctx context.Context) {
	w.ticker.Do(func() {
		x := rpcsvc.NewTimeConn(w.o.addr, rpcsvc.ClientOptions{Auth: w.auth})
		w.clock = clock.New(x, clock.Options{Interval: 500 * time.Millisecond})
		go w.clock.Run(ctx) //nolint:errcheck // nil, when ctx ends, and the process with it
	})
}

// moment is the daemon's time as this worker knows it. It may go back: after a daemon whose clock was far ahead,
// a reading that does not would stand still for as long.
func (w *joiner) moment() plan.Moment {
	t, bound, err := w.clock.Now()
	if err != nil {
		return plan.Moment{}
	}
	return plan.Moment{Nanos: t.UnixNano(), Bound: bound, Known: true}
}

func (w *joiner) alive() plan.Alive {
	r := w.clock.Report()
	return plan.Alive{Clock: strings.ToLower(r.State.String()), Offset: r.Offset, Bound: r.Bound, Known: !r.Master.IsZero()}
}
