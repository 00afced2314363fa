package local

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
)

// A worker's name stands in tables and logs, and tells it from the daemon's own.
func TestWorkerNames(t *testing.T) {
	n := openNode(t, t.TempDir())
	for name, good := range map[string]bool{
		"host-1.lan": true, "the big one": true, "großer Rechner": true, strings.Repeat("n", nameMost): true,
		"": false, "daemon": false, "a\nb": false, "\x1b[2J": false, "\xff": false, strings.Repeat("n", nameMost+1): false,
	} {
		_, err := n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: name, Slots: 1, Platform: Platform(), Version: "v1"})
		if good && err != nil {
			t.Error(err)
		}
		if !good && (!errors.Is(err, mr.ErrUsage) || !strings.Contains(err.Error(), "--name")) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestNames holds which of two processes under one name stays, also where the clock of a host is off, or was
// and has been put right.
func TestNames(t *testing.T) {
	n, err := Open(filepath.Join(t.TempDir(), "store"), Options{Workers: 1, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) }) //nolint:errcheck // nothing was stored
	crew := n.Crew()
	join := func(host string, started int64) (seat uint64, ok bool) {
		t.Helper()
		rep, err := crew.Join(t.Context(), rpcsvc.JoinRequest{
			Name: "w", Host: host, Incarnation: started, Slots: 1, Version: "v1", Platform: Platform(),
		})
		if err != nil && !errors.Is(err, mr.ErrRefused) {
			t.Fatal(err)
		}
		return rep.Seat, err == nil
	}
	const now, ahead = 1000, 5000
	first, ok := join("a", ahead) // its clock is an hour ahead
	if !ok {
		t.Fatal("the first is refused")
	}
	if _, ok := join("a", now); ok {
		t.Error("an earlier process of a host takes the place of a later one that is there")
	}
	crew.Leave(first)
	second, ok := join("a", now)
	if !ok {
		t.Error("a worker is refused in favour of one that has gone: its clock has been put right since")
	}
	if _, ok := join("b", now-500); !ok {
		t.Error("a worker is refused that was started on another host, by the clocks of two hosts")
	}
	for _, started := range []int64{ahead, now} {
		if _, ok := join("a", started); ok {
			t.Error("a worker that had to go has come back")
		}
	}
	crew.Leave(second)
	if _, ok := join("b", now-500); !ok {
		t.Error("a worker is refused that joins again")
	}
	if _, ok := join("b", now+500); !ok {
		t.Error("the next one is refused")
	}
}
