package main

import (
	"context"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/internal/local"
	"github.com/mrd-io/mr/rpcsvc"
)

// realSystem is the system outside of tests.
type realSystem struct{ getenv func(string) string }

// Dial makes no second tries of its own: retry does, and tells of it.
func (realSystem) Dial(ctx context.Context, addr, keys string) (connection, error) {
	o, err := clientOptions(keys)
	if err != nil {
		return nil, err
	}
	return rpcsvc.Dial(ctx, addr, o)
}

func (realSystem) Time(ctx context.Context, addr, keys string) (timeSource, error) {
	o, err := clientOptions(keys)
	if err != nil {
		return nil, err
	}
	return rpcsvc.DialTime(ctx, addr, o)
}

func clientOptions(keys string) (rpcsvc.ClientOptions, error) {
	o := rpcsvc.ClientOptions{Name: "mrctl " + buildVersion().Version, RetryFor: -1, DialTime: dialTimeout}
	if keys == "" {
		return o, nil
	}
	var err error
	o.Auth, err = rpcsvc.LoadClientAuth(keys)
	return o, err
}

func (s realSystem) Open(dir string, o nodeOptions) (node, error) {
	return local.Open(dir, local.Options{Workers: o.Workers, Memory: o.Memory, ReadOnly: o.ReadOnly, Idle: o.Idle, CacheSize: o.Cache, Logger: o.Logger, Getenv: s.getenv})
}

func (realSystem) Builtins() []*mr.Definition { return builtin.Jobs() }
