package rpcsvc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr"
)

// What a connection's first byte tells:
//
//	0x16        a TLS record: handshake, then look again at what is inside
//	'm'         our greeting, a line with credentials; then look again
//	'A'–'Z'     HTTP
//	'{'         JSON-RPC 1.0
//	0x20–0x3f   gob: the length of the definition of rpc.Request, 0x2e unless the
//	            client's gob has met many types before
//
// The greeting, both ways, at most maxGreeting bytes a line:
//
//	mr/1 [token=TOKEN]\n       →
//	                           ←  mr/1 ok\n   or   mr/1 KIND: MESSAGE\n and the end
type dialect uint8

const (
	unknownDialect dialect = iota
	tlsDialect
	greetingDialect
	httpDialect
	jsonDialect
	gobDialect
)

const (
	greetingVersion = "mr/1"
	maxGreeting     = 512
)

func dialectOf(first byte) dialect {
	switch {
	case first == 0x16:
		return tlsDialect
	case first == 'm':
		return greetingDialect
	case 'A' <= first && first <= 'Z':
		return httpDialect
	case first == '{':
		return jsonDialect
	case 0x20 <= first && first <= 0x3f:
		return gobDialect
	default:
		return unknownDialect
	}
}

// mayServe refuses listeners on which no client could prove who it is.
func (s *Server) mayServe(l net.Listener) error {
	if l.Addr().Network() == "unix" {
		return nil
	}
	if s.o.Auth == nil || s.o.Auth.token == "" && s.o.Auth.serverTLS == nil {
		return mr.Errorf(mr.Refused, "listening on %s takes keys, for any user of this machine can connect there; make them with mrctl auth init", l.Addr())
	}
	if a, ok := l.Addr().(*net.TCPAddr); (!ok || !a.IP.IsLoopback()) && s.o.Auth.serverTLS == nil {
		return mr.Errorf(mr.Refused, "listening on %s takes keys for TLS; make them with mrctl auth init", l.Addr())
	}
	return nil
}

// handle serves one connection to its end. Who has yet to prove who it is takes one of a few
// places; a peer of the unix socket is known from the start and needs none, so that strangers on TCP
// can't keep the daemon's user out.
func (s *Server) handle(ctx context.Context, nc net.Conn) {
	c := s.newConn(ctx, nc, nc.RemoteAddr().String())
	trusted, err := s.identify(c)
	greeted := func() {}
	if err == nil && !trusted {
		select {
		case s.greeting <- struct{}{}:
		default:
			c.close()
			return
		}
		greeted = sync.OnceFunc(func() { <-s.greeting })
		defer greeted()
		c.greetBy = time.Now().Add(s.o.GreetingTime)
	}
	if !s.addConn(c) {
		c.close()
		return
	}
	defer s.dropConn(c)
	if err == nil {
		err = s.converse(c, trusted, greeted)
	}
	if err != nil && !c.isDraining() {
		s.o.Logger.Info("connection refused", "peer", c.peer, "err", err)
	}
}

// identify trusts a peer on a unix socket that is the daemon's own user, or root.
func (s *Server) identify(c *conn) (trusted bool, err error) {
	uc, ok := c.nc.(*net.UnixConn)
	if !ok {
		return false, nil
	}
	uid, pid, err := peerUID(uc)
	if err != nil {
		return false, err
	}
	c.peer = fmt.Sprintf("uid %d pid %d", uid, pid)
	if uid != os.Geteuid() && uid != 0 {
		return false, mr.Errorf(mr.Refused, "the socket belongs to another user")
	}
	return true, nil
}

// converse finds out the dialect and serves it. trusted says whether the peer has
// proved who it is; greeted is called once it has.
func (s *Server) converse(c *conn, trusted bool, greeted func()) error {
	secure := c.nc.RemoteAddr().Network() == "unix"
	for {
		c.startRequest()
		first, err := c.br.Peek(1)
		if err != nil {
			return nil // it came and went
		}
		d := dialectOf(first[0])
		if d != tlsDialect && !secure && !c.local() {
			return errors.New("not encrypted, from beyond the loopback interface")
		}
		switch d {
		case tlsDialect:
			if secure {
				return errors.New("TLS where it is not offered")
			}
			certified, err := s.handshake(c)
			if err != nil {
				return err
			}
			secure, trusted = true, trusted || certified
		case greetingDialect:
			if trusted, err = s.greet(c, trusted); err != nil {
				return err
			}
		case httpDialect:
			if trusted && first[0] == 'C' {
				connected, err := s.connect(c)
				if err != nil {
					return err
				}
				if connected {
					continue // what follows is net/rpc
				}
			}
			c.greetBy = time.Time{}
			return s.serveHTTP(c, trusted, greeted)
		case jsonDialect, gobDialect:
			if !trusted {
				return errors.New("no credentials")
			}
			greeted()
			c.greetBy = time.Time{}
			c.startRequest()
			if d == jsonDialect {
				s.rpc.ServeCodec(newJSONCodec(c))
			} else {
				s.rpc.ServeCodec(newGobCodec(c))
			}
			if c.successor != nil {
				return s.succeed(c)
			}
			return nil
		default:
			return fmt.Errorf("first byte %#02x is of no dialect", first[0])
		}
		if trusted {
			greeted()
			c.greetBy = time.Time{}
		}
	}
}

// connect answers rpc.DialHTTP: a CONNECT to net/rpc's path, after which the connection is
// net/rpc's. That dialler can send neither token nor header, so it is for those who are
// trusted already. ok is false for what is no CONNECT at all; nothing of it is consumed.
func (s *Server) connect(c *conn) (ok bool, err error) {
	const method, most = "CONNECT ", 32 // lines
	if b, err := c.br.Peek(len(method)); err != nil || string(b) != method {
		return false, nil
	}
	line, err := readLine(c.br, maxGreeting)
	path, _, _ := strings.Cut(strings.TrimPrefix(line, method), " ")
	for n := 0; err == nil && strings.TrimRight(line, "\r") != ""; n++ {
		if n == most {
			return false, errors.New("a CONNECT of too many lines")
		}
		line, err = readLine(c.br, maxGreeting)
	}
	if err != nil {
		return false, err
	}
	answer := "HTTP/1.0 200 Connected to Go RPC\n\n" // as net/rpc's client expects it
	if path != rpc.DefaultRPCPath {
		answer, err = "HTTP/1.0 404 Not Found\n\n", fmt.Errorf("CONNECT to %q", path)
	}
	if _, werr := c.Write([]byte(answer)); err == nil {
		err = werr
	}
	return err == nil, err
}

// local reports whether the peer is on this machine.
func (c *conn) local() bool {
	a, ok := c.nc.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// greet reads our greeting line and answers it.
func (s *Server) greet(c *conn, trusted bool) (bool, error) {
	line, err := readLine(c.br, maxGreeting)
	if err != nil {
		return false, err
	}
	version, fields, _ := strings.Cut(line, " ")
	answer := greetingVersion + " ok"
	if version != greetingVersion {
		answer = greetingVersion + " usage: the daemon speaks " + greetingVersion
	} else if token, ok := strings.CutPrefix(fields, "token="); ok && !trusted {
		if trusted = s.o.Auth.admits(token); !trusted {
			answer = greetingVersion + " refused: the token is not the daemon's"
		}
	} else if !trusted {
		answer = greetingVersion + " refused: no token and no client certificate"
	}
	if _, err := c.Write([]byte(answer + "\n")); err != nil {
		return false, err
	}
	if !strings.HasSuffix(answer, " ok") {
		return false, errors.New(answer)
	}
	return trusted, nil
}

// readLine reads a line of at most limit bytes, without its end.
func readLine(br *bufio.Reader, limit int) (string, error) {
	var line []byte
	for len(line) < limit {
		b, err := br.ReadByte()
		if err != nil {
			return "", noEOF(err)
		}
		if b == '\n' {
			return string(line), nil
		}
		line = append(line, b)
	}
	return "", fmt.Errorf("a greeting of more than %d bytes", limit)
}
