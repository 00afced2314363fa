package rpcsvc

import (
	"context"
	"errors"
	"net/rpc"
	"sync"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

// TimeConn asks a daemon for its time, on a connection of its own: behind a large
// reply on a shared one, an exchange would measure that reply. It implements
// clock.Exchanger, is safe for concurrent use, and redials when the connection broke.
type TimeConn struct {
	addr string
	auth *Auth

	mu   sync.Mutex
	wire *clock.Wire // nil: none at the moment
	id   uint64      // of wire
	done bool
}

var _ clock.Exchanger = (*TimeConn)(nil)

// DialTime connects to a daemon's time service. Feed it to clock.New:
//
//	x, err := rpcsvc.DialTime(ctx, addr, rpcsvc.ClientOptions{})
//	…
//	c := clock.New(x, clock.Options{})
//	err = c.Sync(ctx, 16) // once, with 16 exchanges to choose from; or c.Run(ctx)
//	report := c.Report()
func DialTime(ctx context.Context, addr string, o ClientOptions) (*TimeConn, error) {
	t := NewTimeConn(addr, o)
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// NewTimeConn is DialTime for whoever does not mind that the daemon may be away: the first
// Exchange connects.
func NewTimeConn(addr string, o ClientOptions) *TimeConn { return &TimeConn{addr: addr, auth: o.Auth} }

func (t *TimeConn) connect(ctx context.Context) error {
	nc, err := dial(ctx, t.addr, t.auth)
	if err != nil {
		return err
	}
	t.id++
	t.wire = clock.NewWire(nc, t.id)
	return nil
}

// Exchange implements clock.Exchanger.
func (t *TimeConn) Exchange(ctx context.Context, nonce uint64) (clock.Exchange, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return clock.Exchange{}, errClientClosed
	}
	if t.wire == nil || t.wire.Broken() {
		t.wire = nil
		if err := t.connect(ctx); err != nil {
			return clock.Exchange{}, err
		}
	}
	ex, err := t.wire.Exchange(ctx, nonce)
	if text, ok := errors.AsType[rpc.ServerError](err); ok {
		return ex, fromWire(text)
	}
	if err != nil {
		return ex, mr.Errorf(mr.Unreachable, "%s: %w", t.addr, err)
	}
	return ex, nil
}

// Close ends the connection, once an exchange under way is over.
func (t *TimeConn) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	if t.wire != nil {
		t.wire.Close() //nolint:errcheck // closed already, if it broke
	}
	return nil
}

// SampleTime asks a daemon for its time, about n times, and reports.
func SampleTime(ctx context.Context, addr string, o ClientOptions, n int) (clock.Report, error) {
	x, err := DialTime(ctx, addr, o)
	if err != nil {
		return clock.Report{}, err
	}
	defer x.Close() //nolint:errcheck // all was read
	c := clock.New(x, clock.Options{})
	if err := c.Sync(ctx, n); err != nil {
		return c.Report(), mr.Errorf(mr.Unreachable, "%s: %w", addr, err)
	}
	return c.Report(), nil
}
