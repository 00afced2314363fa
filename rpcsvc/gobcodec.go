package rpcsvc

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"

	"github.com/mrd-io/mr/clock"
)

// gobCodec is the server's end of a net/rpc stream in gob.
type gobCodec struct {
	c   *conn
	fr  *frameReader
	dec *gob.Decoder
	w   *bufio.Writer
	enc *gob.Encoder

	last bool // no request follows the one that was read last
}

func newGobCodec(c *conn) *gobCodec {
	fr := newFrameReader(c.br)
	w := bufio.NewWriterSize(c, 8<<10)
	return &gobCodec{c: c, fr: fr, dec: gob.NewDecoder(fr), w: w, enc: gob.NewEncoder(w)}
}

func (g *gobCodec) ReadRequestHeader(r *rpc.Request) error {
	if g.last {
		return io.EOF
	}
	g.c.startRequest()
	g.fr.grant(g.c.srv.o.MaxRequest)
	g.c.srv.decoded.Add(1)
	if err := g.decode(r); err != nil {
		// No way back into step: net/rpc ends the connection at io.EOF, when the
		// requests in flight are answered.
		g.c.ended(err)
		return io.EOF
	}
	g.last = handsOver(r.ServiceMethod)
	if err := g.c.enter(r.ServiceMethod); err != nil {
		return err
	}
	g.c.admitted()
	return nil
}

func (g *gobCodec) ReadRequestBody(body any) error {
	if err := g.decode(body); err != nil {
		g.c.received(g.c.ctx, nil)
		return wireError{badBody(err)}
	}
	if b, ok := body.(interface{ bindConn(*conn) }); ok {
		b.bindConn(g.c)
	}
	g.c.received(g.c.ctx, body)
	return nil
}

// decode guards against panics: gob is not hardened.
func (g *gobCodec) decode(v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed message: %v", p)
			g.fr.err = err
		}
	}()
	return g.dec.Decode(v)
}

func (g *gobCodec) WriteResponse(r *rpc.Response, body any) error {
	defer g.c.leave(r.ServiceMethod)
	departing(body)
	flush := g.c.lastInstant(r.ServiceMethod)
	if err := g.enc.Encode(r); err != nil {
		g.c.close()
		return err
	}
	if err := g.enc.Encode(body); err != nil {
		g.c.close()
		return err
	}
	if !flush {
		return nil
	}
	return g.w.Flush()
}

func (g *gobCodec) Close() error {
	if g.c.successor == nil {
		g.c.close()
	}
	return nil
}

// received prepares a request for its handler. A nil body is that of a request which has none.
func (c *conn) received(ctx context.Context, body any) {
	slot := c.slot
	c.slot = nil
	switch b := body.(type) {
	case *clock.Request:
		b.Arrived(c.srv.master)
	case interface{ bind(context.Context, func()) }:
		b.bind(ctx, slot)
		return
	}
	if slot != nil {
		slot()
	}
}

func departing(body any) {
	if t, ok := body.(*clock.Reply); ok {
		t.Departing()
	}
}

// ended notes why a connection's reading ended. Unless the server is draining, nobody
// will read what its long polls find out, so they end too.
func (c *conn) ended(err error) {
	if c.isDraining() {
		return
	}
	c.cancel()
	if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.srv.o.Logger.Info("connection ended", "peer", c.peer, "err", err)
	}
}
