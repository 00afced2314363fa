package rpcsvc

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr/clock"
)

// TestTimeThroughALopsidedRelay asks through a relay that holds requests up and passes
// replies at once: the estimate is off by half of that, and the bound says so.
func TestTimeThroughALopsidedRelay(t *testing.T) {
	const out = 20 * time.Millisecond
	direct := timeServer(t)
	path := filepath.Join(t.TempDir(), "r")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", direct[len("unix:"):])
		if err != nil {
			client.Close()
			return
		}
		go func() {
			io.Copy(client, server)
			client.Close()
		}()
		defer server.Close()
		buf := make([]byte, 4096)
		for {
			n, err := client.Read(buf)
			time.Sleep(out)
			if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	x, err := DialTime(t.Context(), "unix:"+path, ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	c := clock.New(x, clock.Options{})
	if err := c.Sync(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		before := rawMono()
		lo, hi, err := c.Interval()
		after := rawMono()
		if err != nil {
			t.Fatal(err)
		}
		first, _ := driftingClock(before)
		last, _ := driftingClock(after)
		if hi.UnixNano() < int64(first) || lo.UnixNano() > int64(last) {
			t.Fatalf("[%d, %d] misses the truth in [%d, %d]", lo.UnixNano(), hi.UnixNano(), first, last)
		}
		if hi.Sub(lo) < out { // nothing proves that the delays are not all on one side
			t.Fatalf("an interval of %v, over a round trip of %v at least", hi.Sub(lo), out)
		}
	}
}
