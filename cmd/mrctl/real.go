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
func (realSystem) Dial(ctx context.Context, addr string) (connection, error) {
	return rpcsvc.Dial(ctx, addr, rpcsvc.ClientOptions{Name: "mrctl " + buildVersion().Version, RetryFor: -1, DialTime: dialTimeout})
}

func (realSystem) Time(ctx context.Context, addr string) (timeSource, error) {
	return rpcsvc.DialTime(ctx, addr, rpcsvc.ClientOptions{})
}

func (s realSystem) Open(dir string, o nodeOptions) (node, error) {
	return local.Open(dir, local.Options{Workers: o.Workers, Memory: o.Memory, ReadOnly: o.ReadOnly, Logger: o.Logger, Getenv: s.getenv})
}

func (realSystem) Builtins() []*mr.Definition { return builtin.Jobs() }
