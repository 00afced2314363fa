package clock

import (
	"context"
	"time"
)

// Request is what the client asks. Its wire form only grows.
type Request struct {
	Nonce uint64 `json:"nonce"` // echoed, so that a reply answers this request and no other

	arrived stamp // when the request's first bytes were read, if the transport said so
}

// Reply is the master's answer. Its wire form only grows.
type Reply struct {
	Nonce uint64 `json:"nonce"`
	Epoch uint64 `json:"epoch"` // changes when the master restarts or its clock is stepped; never 0
	T2    int64  `json:"t2"`    // the master's clock when the request arrived, ns since 1970
	T3    int64  `json:"t3"`    // and when the reply left

	depart func() int64 // stamps T3 again, later
}

// stamp is a moment on the master's monotonic clock; 0 is none.
type stamp time.Duration

// Arrived tells the request when it came in. A server's codec calls it before the
// request waits for a goroutine, so that the wait counts as processing, not as delay.
func (r *Request) Arrived(m *Master) { r.arrived = m.stamp() }

// Departing stamps T3 again: a server's codec calls it just before it writes.
func (r *Reply) Departing() {
	if r.depart != nil {
		r.T3 = r.depart()
	}
}

// Exchange is one question and answer, with the moments at which the client sent
// and received, monotonic readings included.
type Exchange struct {
	Sent, Received time.Time
	Reply          Reply
	Conn           uint64 // tells connections of this Exchanger apart; a new one starts slowly
}

// Exchanger asks the master once. It need not be safe for concurrent use.
type Exchanger interface {
	Exchange(ctx context.Context, nonce uint64) (Exchange, error)
}
