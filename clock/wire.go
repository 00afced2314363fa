package clock

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"reflect"
	"time"
)

// maxReply bounds what a wire exchange reads: the replies are some tens of bytes, the
// type definitions before the first some hundreds.
const maxReply = 16 << 10

// Wire is an Exchanger over one connection that speaks net/rpc with gob. It calls
// Time.Now without rpc.Client: that would hand every reply from its reading goroutine
// to the caller's, and the hand-over would count as delay.
type Wire struct {
	conn net.Conn
	id   uint64
	w    *bufio.Writer
	r    *meteredReader
	enc  *gob.Encoder
	dec  *gob.Decoder
	seq  uint64
	err  error // set once the stream is out of step; the connection is then closed
}

// NewWire takes over conn; id becomes Exchange.Conn.
func NewWire(conn net.Conn, id uint64) *Wire {
	w := bufio.NewWriter(conn)
	r := &meteredReader{r: bufio.NewReader(conn)}
	return &Wire{conn: conn, id: id, w: w, r: r, enc: gob.NewEncoder(w), dec: gob.NewDecoder(r)}
}

// Close closes the connection.
func (x *Wire) Close() error { return x.conn.Close() }

// Broken reports whether the connection is of no more use.
func (x *Wire) Broken() bool { return x.err != nil }

// Exchange calls Time.Now. After any error but the server's own the connection is closed.
func (x *Wire) Exchange(ctx context.Context, nonce uint64) (Exchange, error) {
	if x.err != nil {
		return Exchange{}, x.err
	}
	if err := ctx.Err(); err != nil {
		return Exchange{}, err
	}
	deadline, _ := ctx.Deadline()
	if err := x.conn.SetDeadline(deadline); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { x.conn.SetDeadline(time.Unix(1, 0)) })
	ex, err := x.exchange(ctx, nonce)
	if !stop() && x.err == nil {
		// The deadline in the past may still be on its way to the connection.
		return Exchange{}, x.fail(ctx, ctx.Err())
	}
	return ex, err
}

func (x *Wire) exchange(ctx context.Context, nonce uint64) (Exchange, error) {
	x.seq++
	if err := x.enc.Encode(&rpc.Request{ServiceMethod: "Time.Now", Seq: x.seq}); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	if err := x.enc.Encode(&Request{Nonce: nonce}); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	ex := Exchange{Conn: x.id, Sent: time.Now()}
	if err := x.w.Flush(); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	x.r.left = maxReply
	if err := x.r.wait(); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	ex.Received = time.Now()
	var resp rpc.Response
	if err := x.dec.Decode(&resp); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	if resp.Seq != x.seq {
		return Exchange{}, x.fail(ctx, fmt.Errorf("reply %d to request %d", resp.Seq, x.seq))
	}
	if resp.Error != "" {
		if err := x.dec.DecodeValue(reflect.Value{}); err != nil {
			return Exchange{}, x.fail(ctx, err)
		}
		return Exchange{}, rpc.ServerError(resp.Error)
	}
	if err := x.dec.Decode(&ex.Reply); err != nil {
		return Exchange{}, x.fail(ctx, err)
	}
	return ex, nil
}

func (x *Wire) fail(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		err = cause
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.DeadlineExceeded // ctx's own: the connection was told of it
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	x.err = fmt.Errorf("clock: asking for the time: %w", err)
	x.conn.Close()
	return x.err
}

// meteredReader refuses to read more than left bytes: a gob stream may announce
// messages of a gigabyte.
type meteredReader struct {
	r    *bufio.Reader
	left int
}

var errLongReply = errors.New("the reply is far too long to be one")

// wait returns when the first byte of a reply has come.
func (m *meteredReader) wait() error {
	_, err := m.r.Peek(1)
	return err
}

func (m *meteredReader) ReadByte() (byte, error) {
	if m.left < 1 {
		return 0, errLongReply
	}
	m.left--
	return m.r.ReadByte()
}

func (m *meteredReader) Read(p []byte) (int, error) {
	if m.left < 1 {
		return 0, errLongReply
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}
