package rpcsvc

import (
	"net"
	"net/rpc"
	"sync"
	"testing"

	"github.com/mrd-io/mr/clock"
)

// BenchmarkTimeNow asks for the time with 32 requests in flight on one unix socket, as
// a stock net/rpc client does.
func BenchmarkTimeNow(b *testing.B) {
	_, addr := start(b, newFakeJobs(), ServerOptions{})
	nc, err := net.Dial("unix", addr[len("unix:"):])
	if err != nil {
		b.Fatal(err)
	}
	c := rpc.NewClient(nc)
	defer c.Close()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < b.N; i += 32 {
				var rep clock.Reply
				if err := c.Call("Time.Now", &clock.Request{Nonce: uint64(i)}, &rep); err != nil || rep.Nonce != uint64(i) {
					b.Errorf("call %d: %v, %+v", i, err, rep)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
