package rpcsvc

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
)

// maxReply bounds what the client takes from a server for one reply.
const maxReply = 1 << 30

// link is one connection of a Client, with net/rpc on it.
type link struct {
	rpc   *rpc.Client
	codec *clientCodec
}

// dial connects, secures and greets; the connection is then ready for net/rpc.
func dial(ctx context.Context, addr string, auth *Auth) (net.Conn, error) {
	network, where, err := splitAddr(addr)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, where)
	if err != nil {
		return nil, dialError(ctx, addr, err)
	}
	if network == "unix" {
		return nc, nil
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	secured, err := secure(ctx, nc, where, auth)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, dialError(ctx, addr, err)
	}
	return secured, nil
}

func dialError(ctx context.Context, addr string, err error) error {
	if _, ok := errors.AsType[*mr.Error](err); ok {
		return err
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return mr.Errorf(mr.Refused, "connecting to %s: %w; %s", addr, err, mend(bad))
	}
	// An alert of TLS has no type to look for, only the words that package tls puts around it.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return mr.Errorf(mr.Refused, "connecting to %s: the daemon takes other keys, or these have expired (or are not valid yet) by its clock; mrctl auth init makes new ones: %w", addr, err)
	}
	if cause := context.Cause(ctx); cause != nil {
		return mr.Errorf(mr.Interrupted, "connecting to %s: %w", addr, cause)
	}
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return mr.Errorf(mr.Unreachable, "connecting to %s: no daemon listens there; start mrd: %w", addr, err)
	}
	if hungUp(err) {
		if gone := nobodyListens(ctx, addr); gone != nil {
			return mr.Errorf(mr.Unreachable, "connecting to %s: the daemon ended before it answered: %w", addr, gone)
		}
		return mr.Errorf(mr.Unreachable, "connecting to %s: the daemon closed the connection: it has too many, or does not serve this way: %w", addr, err)
	}
	return mr.Errorf(mr.Unreachable, "connecting to %s: %w", addr, err)
}

// mend says what to do about a daemon's certificate that is not believed.
func mend(bad *tls.CertificateVerificationError) string {
	if _, ok := errors.AsType[x509.HostnameError](bad); ok {
		return "make its keys with mrctl auth init --host, and the name or address that is dialled"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](bad); ok {
		return "it has other keys: copy the folder client of those"
	}
	return "make new keys with mrctl auth init, unless this machine's clock is wrong"
}

// hungUp reports whether the peer has closed the connection. net/rpc says ErrShutdown where it noticed that
// before it was to send.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, rpc.ErrShutdown) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// nobodyListens returns the error of connecting to addr once more where it says that nobody listens there
// any more, and else nil.
func nobodyListens(ctx context.Context, addr string) error {
	network, where, err := splitAddr(addr)
	if err != nil {
		return nil
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, where)
	switch {
	case err == nil:
		nc.Close()
	case errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return nil
}

// secure puts TLS on a TCP connection, if there are keys for it, and sends the greeting.
func secure(ctx context.Context, nc net.Conn, where string, auth *Auth) (net.Conn, error) {
	if auth == nil {
		return nil, mr.Errorf(mr.Refused, "connecting to %s: TCP takes credentials; give the folder of keys that mrctl auth init made", where)
	}
	if auth.clientTLS != nil {
		conf := auth.clientTLS.Clone()
		if conf.ServerName == "" {
			conf.ServerName, _, _ = net.SplitHostPort(where)
		}
		tc := tls.Client(nc, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		nc = tc
	} else if a, ok := nc.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, mr.Errorf(mr.Refused, "connecting to %s: beyond the loopback interface the token is only sent over TLS; get the daemon's ca.pem", where)
	}
	line := greetingVersion
	if auth.token != "" {
		if err := checkToken(auth.token); err != nil {
			return nil, mr.Errorf(mr.Usage, "%w", err)
		}
		line += " token=" + auth.token
	}
	if _, err := io.WriteString(nc, line+"\n"); err != nil {
		return nil, err
	}
	// The server says nothing more before we do, so nothing is read beyond the line.
	answer, err := readLine(bufio.NewReaderSize(nc, 16), maxGreeting)
	if err != nil {
		return nil, err
	}
	version, verdict, _ := strings.Cut(answer, " ")
	if version != greetingVersion {
		return nil, mr.Errorf(mr.Unreachable, "what listens on %s is not a daemon of ours", where)
	}
	if verdict != "ok" {
		return nil, fromWire(rpc.ServerError(verdict))
	}
	return nc, nil
}

func newLink(nc net.Conn, maxRequest *atomic.Int64) *link {
	codec := newCodec(nc, maxRequest)
	return &link{rpc: rpc.NewClientWithCodec(codec), codec: codec}
}

func newCodec(nc net.Conn, maxRequest *atomic.Int64) *clientCodec {
	w := bufio.NewWriterSize(nc, 8<<10)
	codec := &clientCodec{nc: nc, w: w, meter: &meter{w: w, max: maxRequest}}
	codec.enc = gob.NewEncoder(codec.meter)
	codec.fr = newFrameReader(bufio.NewReader(codec))
	codec.dec = gob.NewDecoder(codec.fr)
	codec.heard.Store(time.Now().UnixNano())
	return codec
}

// clientCodec is the client's end of a net/rpc stream in gob.
type clientCodec struct {
	nc    net.Conn
	w     *bufio.Writer
	meter *meter
	enc   *gob.Encoder
	fr    *frameReader
	dec   *gob.Decoder
	heard atomic.Int64    // when bytes last came, ns since 1970
	over  chan<- struct{} // closed when nothing more is read; nil: nobody wants to know

	once   sync.Once
	closed error
}

// writeTime is how long a server may take to accept a request's bytes.
const writeTime = 30 * time.Second

// errRequestSize marks a request that the server would refuse for its size.
var errRequestSize = errors.New("request too large")

func (k *clientCodec) Read(p []byte) (int, error) {
	n, err := k.nc.Read(p)
	if n > 0 {
		k.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

func (k *clientCodec) WriteRequest(r *rpc.Request, body any) error {
	k.meter.n = 0
	err := k.nc.SetWriteDeadline(time.Now().Add(writeTime))
	if err == nil {
		err = k.enc.Encode(r)
	}
	if err == nil {
		err = k.enc.Encode(body)
	}
	if err == nil {
		err = k.w.Flush()
	}
	if err != nil {
		k.Close() //nolint:errcheck // the stream is out of step, and net/rpc would go on
	}
	return err
}

func (k *clientCodec) ReadResponseHeader(r *rpc.Response) error {
	k.fr.grant(maxReply)
	return k.ended(k.dec.Decode(r))
}

func (k *clientCodec) ReadResponseBody(body any) error { return k.ended(k.dec.Decode(body)) }

// ended tells of the first error, after which rpc.Client reads no more.
func (k *clientCodec) ended(err error) error {
	if err != nil && k.over != nil {
		close(k.over)
		k.over = nil
	}
	return err
}

func (k *clientCodec) Close() error {
	k.once.Do(func() { k.closed = k.nc.Close() })
	return k.closed
}

// meter refuses a request that is larger than the server takes, before it is sent.
type meter struct {
	w   io.Writer
	n   int64
	max *atomic.Int64 // 0: not known yet
}

func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	if limit := m.max.Load(); limit > 0 && m.n > limit {
		return 0, errRequestSize
	}
	return m.w.Write(p)
}
