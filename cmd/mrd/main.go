package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/mrd-io/mr/internal/exit"
)

func main() { os.Exit(mainStatus()) }

// mainStatus gives this process to a daemon: its arguments, environment, stderr and signals. The first
// signal drains it; a second ends it at once, which costs what was in flight and nothing else.
func mainStatus() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // who reads the log may go, and the jobs go on
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(exit.Interrupted)
	}()

	dir, _ := os.Getwd() // "" if it has been removed: relative paths lead nowhere then, and are refused
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		w := joiner{out: os.Stdout, err: os.Stderr, env: os.Getenv, dir: dir, version: version}
		return w.main(ctx, os.Args[2:])
	}
	d := daemon{out: os.Stdout, err: os.Stderr, env: os.Getenv, dir: dir, version: version, cpus: runtime.GOMAXPROCS(0), open: openLocal(os.Getenv)}
	// Tasks keep every processor of the Go scheduler busy for as long as its time slice of
	// 10 ms, and who asks for the time would wait for that. With two more it is the kernel that
	// shares the machine, in much smaller pieces: 59,000 calls a second instead of 24,000 while
	// two tasks run on two CPUs, for the same CPU time of the job.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(d.cpus + 2)
	}
	return d.main(ctx, os.Args[1:])
}
