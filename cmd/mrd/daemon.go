package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/exit"
	"github.com/mrd-io/mr/internal/size"
	"github.com/mrd-io/mr/internal/where"
	"github.com/mrd-io/mr/rpcsvc"
)

// engine is the store with its jobs, in this process.
type engine interface {
	Jobs() mr.Jobs
	// Crew takes the workers that join.
	Crew() rpcsvc.Crew
	// Run runs jobs until ctx ends, then drains.
	Run(ctx context.Context) error
	Close(ctx context.Context) error
}

// options are the flags of mrd.
type options struct {
	store     string
	listen    []string
	silence   time.Duration
	keys      string // folder of the keys; "": none
	workers   int
	memory    int64
	cacheSize int64
	noTwins   bool
	logFormat string
}

// daemon is one life of mrd.
type daemon struct {
	out, err io.Writer
	env      func(string) string
	dir      string // what relative paths are relative to
	version  string
	cpus     int // tasks at once, if --workers does not say; 0: as the engine chooses
	open     func(store string, o options, log *slog.Logger) (engine, error)
}

// These add up to less than the ten seconds that a service manager gives.
const (
	answerTime = 3 * time.Second        // for requests in flight
	stuckTime  = 500 * time.Millisecond // more for those that don't end with their connection
	drainTime  = 6 * time.Second        // for the engine
)

const help = `mrd runs the jobs of a store and serves them. It runs until SIGTERM, SIGINT or SIGHUP, which drain it;
a second signal ends it at once. Jobs that were under way when it ended, however it ended, go on when it starts again.

Usage:
  mrd [--store DIR] [--listen ADDR]... [--auth DIR] [--workers N] [--memory SIZE]
      [--cache-size SIZE]
  mrd worker --join ADDR    work for a daemon; see mrd worker --help

Flags:
  --store DIR          folder of the store (default $MR_STORE, else ~/.local/state/mr)
  --listen ADDR        unix:PATH or tcp:HOST:PORT to listen on, besides the socket mrd.sock inside the
                       store; repeatable
  --silence DURATION   take a task away from whoever has it and gives no sign of life for so long: from a
                       job binary's process, which is ended (default 10m), and from a worker that has
                       joined, which gives one every half second (default, and at most, 15s; at least 1s)
  --auth DIR           folder of the keys that TCP needs, made by 'mrctl auth init' (default $MR_AUTH, else
                       auth inside the store)
  --workers N          run N tasks at once (default: the CPUs)
  --memory SIZE        memory for all tasks together, such as 4GiB (default 1GiB)
  --cache-size SIZE    what the store may take on disk; the outputs that save least are given up for it
                       (default: a fifth of what is free at the start, with what the store has)
  --no-speculation     no attempt gets a second one beside it, however far it is behind its peers
  --log-format FORMAT  of the log on stderr: text or json (default text)
  --version            print the version
`

// main runs the daemon with the flags args to its end and returns the exit status.
func (d *daemon) main(ctx context.Context, args []string) int {
	o, done, err := d.flags(args)
	if err == nil && !done {
		err = d.run(ctx, o)
	}
	if err != nil {
		// A failed write to stderr has nobody left to be told to.
		_, _ = fmt.Fprintf(d.err, "mrd: %s\n", strings.TrimRight(err.Error(), "\n"))
	}
	return exit.Status(err)
}

// flags reads args. done means that they asked for words only, which are printed.
func (d *daemon) flags(args []string) (o options, done bool, err error) {
	fs := pflag.NewFlagSet("mrd", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.store, "store", "", "")
	fs.StringArrayVar(&o.listen, "listen", nil, "")
	fs.DurationVar(&o.silence, "silence", 0, "")
	fs.StringVar(&o.keys, "auth", "", "")
	fs.IntVar(&o.workers, "workers", 0, "")
	fs.Var(size.Value{N: &o.memory}, "memory", "")
	fs.Var(size.Value{N: &o.cacheSize}, "cache-size", "")
	fs.BoolVar(&o.noTwins, "no-speculation", false, "")
	fs.StringVar(&o.logFormat, "log-format", "text", "")
	version := fs.Bool("version", false, "")
	switch err := fs.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		_, err = io.WriteString(d.out, help)
		return o, true, err
	case err != nil:
		return o, false, mr.Errorf(mr.Usage, "%w; see mrd --help", err)
	case *version:
		_, err = fmt.Fprintf(d.out, "mrd %s\n", d.version)
		return o, true, err
	case fs.NArg() > 0:
		return o, false, mr.Errorf(mr.Usage, "mrd takes flags only, and got %q; jobs are given to 'mrctl submit'", fs.Arg(0))
	case o.silence < 0:
		return o, false, mr.Errorf(mr.Usage, "--silence %s: a time cannot be negative", o.silence)
	case o.workers < 0:
		return o, false, mr.Errorf(mr.Usage, "--workers %d: the number of tasks at once cannot be negative", o.workers)
	case o.logFormat != "text" && o.logFormat != "json":
		return o, false, mr.Errorf(mr.Usage, "--log-format %q is not known; use text or json", o.logFormat)
	}
	if o.workers == 0 {
		o.workers = d.cpus
	}
	if o.store, err = where.Store(o.store, d.env, d.dir); err != nil {
		return o, false, err
	}
	addrs := []string{"unix:" + filepath.Join(o.store, where.Socket)}
	if err := rpcsvc.CheckAddr(addrs[0]); err != nil {
		return o, false, mr.Errorf(mr.Usage, "--store %s: %w: a symbolic link to the folder will do, for mrctl too", o.store, err)
	}
	for _, a := range o.listen {
		addr, err := where.Parse(a, d.dir)
		if err == nil {
			err = rpcsvc.CheckAddr(addr)
		}
		if err != nil {
			return o, false, mr.Errorf(mr.Usage, "--listen: %w", err)
		}
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	o.listen = addrs
	keys, asked := where.Keys(o.keys, d.env, o.store, d.dir)
	if _, err := os.Stat(keys); asked || err == nil {
		o.keys = keys
	}
	return o, false, nil
}

func (d *daemon) run(ctx context.Context, o options) error {
	var handler slog.Handler = slog.NewTextHandler(d.err, nil)
	if o.logFormat == "json" {
		handler = slog.NewJSONHandler(d.err, nil)
	}
	log := slog.New(handler)
	e, err := d.open(o.store, o, log)
	if err != nil {
		return err
	}
	started := time.Now()
	err = d.serve(ctx, e, o, log)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if closeErr := e.Close(closing); errors.Is(closeErr, context.DeadlineExceeded) {
		// Not an error: whatever is cut off here is done again, as after a crash.
		log.Warn("tasks were cut off; they run again at the next start")
	} else if err == nil {
		err = closeErr
	}
	log.Info("stopped", "served", time.Since(started).Round(time.Millisecond).String())
	return err
}

// serve runs the engine and its listeners until ctx ends or one of them fails.
func (d *daemon) serve(ctx context.Context, e engine, o options, log *slog.Logger) error {
	var auth *rpcsvc.Auth
	if o.keys != "" {
		var err error
		if auth, err = rpcsvc.LoadServerAuth(o.keys); err != nil {
			return err
		}
	}
	var listeners []net.Listener
	for i, addr := range o.listen {
		l, err := rpcsvc.ListenAuth(addr, auth)
		if err != nil {
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return err
		}
		listeners = append(listeners, l)
		if strings.HasPrefix(addr, "tcp:") && strings.HasSuffix(addr, ":0") { // the system has chosen a port
			o.listen[i] = "tcp:" + l.Addr().String()
		}
	}
	server := rpcsvc.NewServer(e.Jobs(), rpcsvc.ServerOptions{Logger: log, Version: d.version, StoreDir: o.store, Auth: auth, Crew: e.Crew(), DrainTime: answerTime})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(ctx, "the engine", e.Run(ctx)) })
	for i, l := range listeners {
		group.Go(func() error { return ended(ctx, o.listen[i], server.Serve(ctx, l)) })
	}
	log.Info("serving", "store", o.store, "listen", strings.Join(o.listen, " "), "version", d.version)
	group.Go(func() error {
		<-ctx.Done()
		log.Info("draining")
		return nil
	})
	over := make(chan error, 1)
	go func() { over <- group.Wait() }()
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-over:
		return err
	case <-time.After(answerTime + stuckTime):
		// A request may wait for what never comes, such as a file system's answer.
		log.Warn("requests that do not end were cut off")
		return ended(ctx, "a part", context.Cause(ctx))
	}
}

// ended is err, or what the end of a part that should have gone on means to the others.
func ended(ctx context.Context, part string, err error) error {
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
		return nil
	case err == nil:
		return mr.Errorf(mr.Failed, "%s ended by itself", part)
	default:
		return err
	}
}
