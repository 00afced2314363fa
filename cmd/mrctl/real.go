package main

import (
	"context"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/rpcsvc"
)

// realSystem is the system outside of tests.
type realSystem struct{}

// Dial makes no second tries of its own: retry does, and tells of it.
func (realSystem) Dial(ctx context.Context, addr string) (connection, error) {
	return rpcsvc.Dial(ctx, addr, rpcsvc.ClientOptions{Name: "mrctl " + buildVersion().Version, RetryFor: -1, DialTime: dialTimeout})
}

func (realSystem) Open(dir string, _ nodeOptions) (node, error) {
	return nil, mr.Errorf(mr.Unreachable, "no store in %s", dir)
}

func (realSystem) Builtins() []*mr.Definition { return builtin.Jobs() }
