package main

import (
	"context"
	"os"
	"os/signal"
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
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(exit.Interrupted)
	}()

	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	d := daemon{out: os.Stdout, err: os.Stderr, env: os.Getenv, dir: dir, version: version, open: openLocal(os.Getenv)}
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		w := joiner{out: os.Stdout, err: os.Stderr, env: os.Getenv, dir: dir, version: version}
		return w.main(ctx, os.Args[2:])
	}
	return d.main(ctx, os.Args[1:])
}
