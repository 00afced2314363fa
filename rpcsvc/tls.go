package rpcsvc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// handshake puts TLS between the peer and us. It reports whether the peer showed a
// certificate of ours.
func (s *Server) handshake(c *conn) (certified bool, err error) {
	if s.o.Auth == nil || s.o.Auth.serverTLS == nil {
		return false, errors.New("TLS, but the daemon has no keys for it; make them with mrctl auth init")
	}
	tc := tls.Server(&rewound{Conn: c.nc, c: c}, s.o.Auth.serverTLS)
	ctx, cancel := context.WithDeadline(c.ctx, c.greetBy)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		return false, err
	}
	c.wrap(tc)
	return len(tc.ConnectionState().VerifiedChains) > 0, nil
}

// rewound gives the TLS layer what the first look at the connection has buffered.
type rewound struct {
	net.Conn
	c      *conn
	buffer []byte
	began  bool
}

func (r *rewound) Read(p []byte) (int, error) {
	if !r.began {
		r.began = true
		r.buffer, _ = r.c.br.Peek(r.c.br.Buffered())
	}
	if len(r.buffer) > 0 {
		n := copy(p, r.buffer)
		r.buffer = r.buffer[n:]
		return n, nil
	}
	return r.Conn.Read(p)
}

// leaveDeadlines hands the deadlines of the connection to somebody else.
func (c *conn) leaveDeadlines() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.foreign = true
	c.nc.SetDeadline(time.Time{}) // an error means that it is closed already
	c.writeBy = time.Time{}
}
