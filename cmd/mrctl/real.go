package main

import (
	"context"

	mr "github.com/mrd-io/mr"
)

// realSystem is the system outside of tests.
type realSystem struct{}

func (realSystem) Dial(_ context.Context, addr string) (connection, error) {
	return nil, mr.Errorf(mr.Unreachable, "no daemon answers at %s", addr)
}

func (realSystem) Open(dir string, _ nodeOptions) (node, error) {
	return nil, mr.Errorf(mr.Unreachable, "no store in %s", dir)
}

func (realSystem) Builtins() []*mr.Definition { return nil }
