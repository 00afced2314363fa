package main

import (
	"log/slog"

	mr "github.com/mrd-io/mr"
)

func openLocal(store string, _ options, _ *slog.Logger) (engine, error) {
	return nil, mr.Errorf(mr.Unreachable, "the store %s cannot be opened", store)
}
