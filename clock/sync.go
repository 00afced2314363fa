package clock

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	syncTime  = 5 * time.Second // for the whole of SyncTime
	syncExtra = 8               // exchanges beyond the first that agree
)

// SyncTime asks the net/rpc service Time at serverAddr ("unix:PATH", "tcp:HOST:PORT" or
// "HOST:PORT") a dozen times and returns its time now, out of the interval in
// which it must be. SyncClock gives the interval too.
//
// It speaks plain net/rpc. A daemon that wants credentials is asked with a connection
// of package rpcsvc.
func SyncTime(serverAddr string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(context.Background(), syncTime)
	defer cancel()
	c, err := SyncClock(ctx, serverAddr)
	if err != nil {
		return time.Time{}, err
	}
	t, _, err := c.Now()
	return t, err
}

// SyncClock is SyncTime for those who want the clock: it returns a Clock that is
// Synced and, since its connection is closed, will be in Holdover after a while.
func SyncClock(ctx context.Context, serverAddr string) (*Clock, error) {
	network, where, ok := strings.Cut(serverAddr, ":")
	if !ok || network != "unix" && network != "tcp" {
		network, where = "tcp", serverAddr
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, where)
	if err != nil {
		return nil, fmt.Errorf("clock: asking %s for the time: %w", serverAddr, err)
	}
	w := NewWire(conn, 1)
	defer w.Close() //nolint:errcheck // nothing of it is needed any more
	c := New(w, Options{})
	if err := c.Sync(ctx, syncExtra); err != nil {
		return nil, fmt.Errorf("clock: asking %s for the time: %w", serverAddr, err)
	}
	return c, nil
}
