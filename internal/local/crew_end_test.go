package local

import (
	"net"
	"net/rpc"
	"testing"

	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/rpcsvc"
)

// listener is a worker that hears whether it is to leave.
type listener struct{ told chan string }

// Leave is what the daemon calls.
func (l listener) Leave(why *plan.Leave, _ *struct{}) error {
	l.told <- why.Reason
	return nil
}

// A worker that joins while the engine is ending is not sent away for good: it dials again, and the next daemon
// takes it.
func TestWorkerOfAnEndingEngine(t *testing.T) {
	t.Parallel()
	n := openNode(t, t.TempDir())
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
	rep, err := n.Crew().Join(t.Context(), rpcsvc.JoinRequest{Name: "w", Slots: 1, Platform: Platform(), Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	n.engine.Drain()
	n.ran <- <-n.ran
	worker := listener{make(chan string, 1)}
	srv := rpc.NewServer()
	if err := srv.RegisterName("Worker", worker); err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	go srv.ServeConn(there)
	client := rpc.NewClient(here)
	defer client.Close() //nolint:errcheck // a pipe
	n.Crew().Work(t.Context(), rep.Seat, client, nil)
	select {
	case why := <-worker.told:
		t.Errorf("it was sent away: %s", why)
	default:
	}
}
