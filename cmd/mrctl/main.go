package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/term"

	"github.com/mrd-io/mr/internal/exit"
)

func main() { os.Exit(mainStatus(realSystem{os.Getenv, runtime.GOMAXPROCS(0)})) }

// mainStatus gives this process to an app: its arguments, environment, files and signals. The first
// signal cancels the app's context, which ends what it does cleanly; a second leaves at once.
func mainStatus(sys system) int {
	ctx, interrupted := context.WithCancel(context.Background())
	defer interrupted()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		interrupted()
		<-signals
		// Two lines down is clear of a progress bar that nobody will clear any more.
		_, _ = os.Stderr.WriteString("\nmrctl: left at once; what was under way is cleaned up by the next run on this store\n")
		os.Exit(exit.Interrupted)
	}()

	dir, _ := os.Getwd() // "" if it has been removed: relative paths lead nowhere then, and are refused
	a := &app{
		out: os.Stdout, err: &notes{w: os.Stderr}, env: os.Getenv, dir: dir, system: sys,
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb",
	}
	_, height, err := term.GetSize(int(os.Stderr.Fd()))
	a.errBar = a.errTerminal && err == nil && height > 0
	a.outWidth = func() int {
		width, _, err := term.GetSize(int(os.Stdout.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}
	return a.main(ctx, os.Args[1:])
}
