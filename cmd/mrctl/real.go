package main

import (
	"cmp"
	"context"
	"runtime"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/internal/local"
	"github.com/mrd-io/mr/rpcsvc"
	"github.com/mrd-io/mr/store"
)

// realSystem is the system outside of tests.
type realSystem struct {
	getenv func(string) string
	cpus   int // tasks at once, if nobody says how many
}

// Dial makes no second tries of its own: retry does, and tells of it.
func (realSystem) Dial(ctx context.Context, addr, keys string) (connection, error) {
	o, err := clientOptions(addr, keys)
	if err != nil {
		return nil, err
	}
	return rpcsvc.Dial(ctx, addr, o)
}

func (realSystem) Time(ctx context.Context, addr, keys string) (timeSource, error) {
	o, err := clientOptions(addr, keys)
	if err != nil {
		return nil, err
	}
	return rpcsvc.DialTime(ctx, addr, o)
}

func clientOptions(addr, keys string) (rpcsvc.ClientOptions, error) {
	o := rpcsvc.ClientOptions{Name: "mrctl " + buildVersion().Version, RetryFor: -1, DialTime: patience(addr)}
	if keys == "" {
		return o, nil
	}
	var err error
	o.Auth, err = rpcsvc.LoadClientAuth(keys)
	return o, err
}

func (s realSystem) Open(dir string, o nodeOptions) (node, error) {
	if !o.Make && !store.There(dir) {
		return nil, noStore(dir)
	}
	if !o.ReadOnly && s.getenv("GOMAXPROCS") == "" {
		// Two processors of the Go scheduler beyond the CPUs, as in mrd: two tasks on two of them
		// leave none to whoever begins a write beside them, for up to their time slice of 10 ms.
		runtime.GOMAXPROCS(s.cpus + 2)
	}
	return local.Open(dir, local.Options{Workers: cmp.Or(o.Workers, s.cpus), Memory: o.Memory, ReadOnly: o.ReadOnly, Idle: o.Idle, CacheSize: o.Cache, Logger: o.Logger, Getenv: s.getenv})
}

func (realSystem) Builtins() []*mr.Definition { return builtin.Jobs() }
