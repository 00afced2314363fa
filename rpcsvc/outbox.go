package rpcsvc

import (
	"errors"
	"net"
	"sync"
	"time"
)

// outbox is a connection whose writes never wait: rpc.Client.Go writes in its caller's
// goroutine, and who calls a worker that has stopped reading must not stop with it. What
// is written waits in memory until the peer takes it.
type outbox struct {
	net.Conn

	mu     sync.Mutex
	more   sync.Cond
	queue  []byte
	err    error // of writing; no more is taken then
	closed bool
}

// maxOutbox is what may wait for a peer that does not read: orders of thousands of tasks.
const maxOutbox = 64 << 20

var errOutbox = errors.New("the peer does not read")

func newOutbox(nc net.Conn) *outbox {
	o := &outbox{Conn: nc}
	o.more.L = &o.mu
	go o.send()
	return o
}

// Write implements net.Conn.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return 0, o.err
	case o.closed:
		return 0, net.ErrClosed
	case len(o.queue)+len(p) > maxOutbox:
		return 0, errOutbox
	}
	o.queue = append(o.queue, p...)
	o.more.Signal()
	return len(p), nil
}

// SetWriteDeadline does nothing: Write does not wait, and the connection below sets
// deadlines for what does.
func (o *outbox) SetWriteDeadline(time.Time) error { return nil }

// send writes what is queued, until the connection fails or is closed.
func (o *outbox) send() {
	var buf []byte
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.closed {
			o.more.Wait()
		}
		if o.closed {
			o.mu.Unlock()
			return
		}
		buf, o.queue = o.queue, buf[:0]
		o.mu.Unlock()
		if _, err := o.Conn.Write(buf); err != nil {
			o.mu.Lock()
			o.err = err
			o.mu.Unlock()
			o.Close() //nolint:errcheck // the reader learns of it
			return
		}
		if cap(buf) > 1<<20 {
			buf = nil
		}
	}
}

// Close implements net.Conn. What was not sent yet is not.
func (o *outbox) Close() error {
	o.mu.Lock()
	o.closed = true
	o.more.Signal()
	o.mu.Unlock()
	return o.Conn.Close()
}
