package rpcsvc

import (
	"context"
	"net/rpc"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestLargeRequestWaitsForItsSlot has a request whose body is still on its way when all slots are taken for
// longer than a request may take to come in: it was the server that kept it waiting.
func TestLargeRequestWaitsForItsSlot(t *testing.T) {
	jobs := newFakeJobs()
	release := make(chan struct{})
	jobs.hook = func(ctx context.Context, method string) error {
		if method == "CacheStats" {
			<-release
		}
		return nil
	}
	s, addr := start(t, jobs, ServerOptions{MaxInFlight: 1, RequestTime: 100 * time.Millisecond})
	busy := rpc.NewClient(dialUnix(t, addr))
	call := busy.Go("Jobs.CacheStats", CacheStatsRequest{}, &CacheStatsReply{}, make(chan *rpc.Call, 1))
	for len(s.slots) < 1 {
		time.Sleep(time.Millisecond)
	}
	time.AfterFunc(500*time.Millisecond, func() { close(release) })
	c := connect(t, addr, ClientOptions{RetryFor: -1})
	if _, err := c.Submit(t.Context(), "a", mr.Spec{Inputs: []string{strings.Repeat("x", 1<<20)}}); err != nil {
		t.Errorf("after it had waited for its slot: %.200v", err)
	}
	if err := (<-call.Done).Error; err != nil {
		t.Error(err)
	}
}
