package local

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/rpcsvc"
)

// A worker's name stands in tables and logs, and tells it from the daemon's own.
func TestWorkerNames(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
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

// orders is a worker that fails all it is told to do, and keeps the orders.
type orders chan plan.Work

func (o orders) RunTask(w *plan.Work, res *plan.Result) error {
	select {
	case o <- *w:
	default: // another order
	}
	*res = plan.Result{Attempt: w.Attempt, Failure: plan.Failure{Kind: plan.UserError, Message: "not here"}}
	return nil
}

func (o orders) Beat(*plan.Beat, *plan.Alive) error { return nil }

// What a task may use is its worker's to say: hosts are not alike.
func TestMemoryOfWorkers(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte(strings.Repeat("some words of a line\n", 1<<14)), 0o600); err != nil {
		t.Fatal(err)
	}
	for said, want := range map[int64]int64{3 << 20: 3 << 20, 0: 64 << 20 / 2} {
		n, err := Open(filepath.Join(dir, "store"), Options{Workers: 1, Memory: 64 << 20, CacheSize: -1})
		if err != nil {
			t.Fatal(err)
		}
		rep, err := n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: "w", Slots: 8, Version: "v1", Platform: Platform(), TaskMemory: said})
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		got, srv, gone := make(orders, 8), rpc.NewServer(), make(chan struct{})
		if err := srv.RegisterName("Worker", got); err != nil {
			t.Fatal(err)
		}
		go func() {
			srv.ServeConn(there)
			close(gone)
		}()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			n.Crew().Work(ctx, rep.Seat, rpc.NewClient(here), gone)
			close(left)
		}()
		for list := []mr.Worker(nil); len(list) < 2; {
			if list, err = n.Jobs().(mr.Fleet).Workers(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		spec := mr.Spec{Job: "sort", Inputs: []string{in}, Output: filepath.Join(dir, "out"), NoCache: true, Overwrite: true}
		if s := runJob(t, n, spec); s.State != mr.Succeeded { // on the other worker
			t.Errorf("%s: %s", s.State, s.Error)
		}
		if w := <-got; w.Memory != want {
			t.Errorf("a worker that says %d has its tasks use %d, want %d", said, w.Memory, want)
		}
		leave()
		<-left
		if err := n.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n := openNode(t, t.TempDir())
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
	_, err := n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: "w", Slots: 1, Version: "v1", Platform: Platform(), TaskMemory: -1})
	if !errors.Is(err, mr.ErrUsage) {
		t.Errorf("less than nothing: %v", err)
	}
}

// mute is a worker that gives signs of life until its host has gone.
type mute struct {
	orders
	gone, over chan struct{}
}

func (m mute) Beat(*plan.Beat, *plan.Alive) error {
	select {
	case <-m.gone:
		<-m.over
	default:
	}
	return nil
}

// A host that has gone without a word, and is up again with its clock behind, is not refused in favour of its own
// earlier life, whose connection nobody has given up yet.
func TestRestartedHost(t *testing.T) {
	t.Parallel()
	n := openNode(t, t.TempDir())
	defer n.Close(t.Context()) //nolint:errcheck // nothing was stored
	join := func(started int64) (rpcsvc.JoinReply, error) {
		return n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: "w", Host: "a", PID: 7, Incarnation: started, Slots: 1, Version: "v1", Platform: Platform()})
	}
	silent := func() time.Duration {
		list, err := n.Jobs().(mr.Fleet).Workers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) < 2 {
			return -1
		}
		return list[1].Silent
	}
	rep, err := join(5000)
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	worker, srv, ended := mute{make(orders, 8), make(chan struct{}), make(chan struct{})}, rpc.NewServer(), make(chan struct{})
	if err := srv.RegisterName("Worker", worker); err != nil {
		t.Fatal(err)
	}
	go func() {
		srv.ServeConn(there)
		close(ended)
	}()
	left := make(chan struct{})
	go func() {
		n.Crew().Work(t.Context(), rep.Seat, rpc.NewClient(here), ended)
		close(left)
	}()
	for silent() < 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := join(1000); !errors.Is(err, mr.ErrRefused) {
		t.Errorf("beside a later process that is there: %v", err)
	}
	for close(worker.gone); silent() <= vouched; {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := join(1000); err != nil {
		t.Errorf("after its earlier life fell silent: %v", err)
	}
	here.Close()       //nolint:errcheck // it is closed, as a rule
	close(worker.over) // net/rpc's server waits for its calls
	<-left
}

// Programs of one version may be many: of those that were built from what nobody has committed, only the very
// same works for a daemon.
func TestBuildsOfOneVersion(t *testing.T) {
	n := openNode(t, t.TempDir())
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
	own, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		version, build string
		joins          bool
	}{
		{"(devel)", own, true}, {"(devel)", "another", false}, {"(devel)", "", false},
		{"v0.3.1-0.20260102030405-0123456789ab+dirty", own, true}, {"v0.3.1-0.20260102030405-0123456789ab+dirty", "another", false},
		{"v0.3.1-0.20260102030405-0123456789ab", "", true}, {"v1.2.3", "", true},
	} {
		_, err := n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: "w", Slots: 1, Platform: Platform(), Version: c.version, Build: c.build})
		if c.joins != (err == nil) || err != nil && !errors.Is(err, mr.ErrRefused) {
			t.Errorf("%s, build %.8s: %v", c.version, c.build, err)
		}
	}
}

// A lease has room for signs of life, of which there is one every half second, however short job binaries may be silent.
func TestLeastLease(t *testing.T) {
	for silence, want := range map[time.Duration]time.Duration{0: DefaultLease, time.Hour: DefaultLease, 3 * time.Second: 3 * time.Second, 50 * time.Millisecond: leastLease} {
		if got := newCrew(nil, silence).lease; got != want {
			t.Errorf("--silence %v: a lease of %v, want %v", silence, got, want)
		}
	}
}
