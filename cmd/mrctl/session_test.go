package main

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	mr "github.com/mrd-io/mr"
)

// A daemon that has been stopped accepts connections, and does not answer: it can't be reached, and
// nobody has interrupted the command.
func TestStoppedDaemonIsUnreachable(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	addr := "unix:" + l.Addr().String()
	a := app{system: realSystem{}, store: t.TempDir(), addr: addr, dir: "/", env: func(string) string { return "" }}
	for r, what := range map[reach]string{toRead: "a question", toRun: "a job", toDaemon: "a submission"} {
		if _, err := a.open(t.Context(), r, nodeOptions{}); !errors.Is(err, mr.ErrUnreachable) || errors.Is(err, mr.ErrInterrupted) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
