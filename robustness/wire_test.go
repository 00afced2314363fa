package robustness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/rpcsvc"
)

// wire stands between clients and a daemon's socket and cuts connections, so many in all: at a
// drawn request, before the daemon has seen it, when it has seen half of it, or when it has
// answered and the client has not seen that.
type wire struct {
	path   string // of the socket that clients dial
	target string
	l      net.Listener
	sums   *tally
	wg     sync.WaitGroup

	mu   sync.Mutex
	rng  *rand.Rand
	left int // cuts
	open map[net.Conn]bool
}

// newWire listens on a socket in dir, before the daemon that serves store.
func newWire(t *testing.T, dir, store string, rng *rand.Rand, cuts int, sums *tally) *wire {
	t.Helper()
	w := &wire{
		path: filepath.Join(dir, fmt.Sprintf("wire%d.sock", rng.Uint32())), target: filepath.Join(store, "mrd.sock"),
		rng: rng, left: cuts, sums: sums, open: map[net.Conn]bool{},
	}
	var err error
	if w.l, err = net.Listen("unix", w.path); err != nil {
		t.Fatal(err)
	}
	w.wg.Go(func() {
		for {
			client, err := w.l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.serve(client) })
		}
	})
	t.Cleanup(w.close)
	return w
}

func (w *wire) close() {
	w.l.Close() //nolint:errcheck // it may be closed
	w.mu.Lock()
	for c := range w.open {
		c.Close() //nolint:errcheck // likewise
	}
	w.left = 0
	w.mu.Unlock()
	w.wg.Wait()
}

// cut is where and how a connection is cut.
type cut struct {
	at  int // the request, from 0, which is the greeting; -1: none
	how string
}

func (w *wire) draw() cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left <= 0 {
		return cut{at: -1}
	}
	w.left--
	return cut{w.rng.IntN(4), []string{"before a request was seen", "in the middle of a request", "after a request was answered", "after a request was answered"}[w.rng.IntN(4)]}
}

func (w *wire) keep(c net.Conn) func() {
	w.mu.Lock()
	w.open[c] = true
	w.mu.Unlock()
	return func() {
		c.Close() //nolint:errcheck // cutting is what it is for
		w.mu.Lock()
		delete(w.open, c)
		w.mu.Unlock()
	}
}

// serve carries one connection. A client writes a request at once, and waits for what it
// needs of the answer before the next, so that what is read at once is a request.
func (w *wire) serve(client net.Conn) {
	defer w.keep(client)()
	server, err := net.Dial("unix", w.target)
	if err != nil {
		return
	}
	defer w.keep(server)()
	c := w.draw()
	silent := make(chan struct{}) // closed when replies are not carried any more
	answered := make(chan struct{}, 1)
	w.wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil {
				client.Close() //nolint:errcheck // the other direction ends, too
				return
			}
			select {
			case <-silent:
				answered <- struct{}{}
				return
			default:
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for i := 0; ; i++ {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		b := buf[:n]
		if i == c.at {
			w.sums.add(fmt.Sprintf("connections cut %s (the %s)", c.how, [...]string{"greeting", "first", "second", "third"}[i]))
			switch c.how {
			case "before a request was seen":
				return
			case "in the middle of a request":
				b = b[:n/2]
			default:
				close(silent)
			}
		}
		if _, err := server.Write(b); err != nil || i != c.at {
			if err != nil {
				return
			}
			continue
		}
		if c.how == "after a request was answered" {
			select {
			case <-answered:
			case <-time.After(300 * time.Millisecond): // a long poll
			}
		}
		return
	}
}

// dialVia is dial through a wire. The greeting may be cut, too.
func (d *daemon) dialVia(ctx context.Context, w *wire) (*rpcsvc.Client, error) {
	for {
		c, err := rpcsvc.Dial(ctx, "unix:"+w.path, rpcsvc.ClientOptions{})
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		select {
		case <-d.exited:
			return nil, errExited
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestCutConnections submits the same jobs through a wire that cuts nearly every connection,
// from several clients at once: one job a submit id, whatever was seen of which request.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	c := newCorpus(t, 14, 1, 20<<10)
	sums := newTally()
	for _, s := range seeds(t, 2) {
		t.Run(fmt.Sprintf("seed=%d", s.n), func(t *testing.T) {
			dir := t.TempDir()
			d := startDaemon(t, filepath.Join(dir, "store"))
			cl := d.client()
			const jobs, clients = 4, 3
			w := newWire(t, dir, d.store, rand.New(rand.NewPCG(s.n, 4)), 40, sums)
			var mu sync.Mutex
			ids := map[mr.SubmitID]mr.JobID{}
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for i := range jobs {
						via, err := d.dialVia(t.Context(), w)
						if err != nil {
							t.Error(err)
							return
						}
						submit := mr.SubmitID(fmt.Sprintf("cut-%d", i))
						id, err := via.Submit(t.Context(), submit, mr.Spec{Job: "sort", Inputs: []string{c.dir}, Output: filepath.Join(dir, fmt.Sprintf("out%d", i))})
						via.Close() //nolint:errcheck // cut or not
						if err != nil {
							t.Errorf("submitting %s: %v", submit, err)
							return
						}
						mu.Lock()
						if old := ids[submit]; old != "" && old != id {
							t.Errorf("%s is job %s and job %s", submit, old, id)
						}
						ids[submit] = id
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			for _, id := range ids {
				succeed(t, cl, id)
			}
			if list, err := cl.List(t.Context(), true); err != nil || len(list) != jobs {
				t.Errorf("%d jobs on record for %d submit ids (%v)", len(list), jobs, err)
			}
			d.alive()
		})
	}
	sums.print(t)
	if sums.of("connections cut after a request was answered (the first)") == 0 && len(seeds(t, 2)) > 1 {
		t.Error("no submission was answered and cut off")
	}
}
