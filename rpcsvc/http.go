package rpcsvc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"net/rpc"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr"
)

// POST /rpc takes one request and answers it:
//
//	{"method": "Jobs.Status", "params": {"job": "job_…"}, "id": 1}
//	{"id": 1, "result": {…}, "error": null}
//	{"id": 1, "result": null, "error": {"kind": "notfound", "message": "…"}}
//
// with status 200, or the one that belongs to the error's kind. On TCP the token comes
// as "Authorization: Bearer TOKEN", unless the peer has a client certificate. The
// content type must be application/json: a web page can't send that to another origin
// without asking first, and we never agree.

// httpConn is a conn handed to the http.Server, which sets deadlines of its own.
type httpConn struct {
	*conn
	trusted    bool
	authorised func() // called when a request has shown who sends it

	once sync.Once
	done chan struct{}
}

func (h *httpConn) Read(p []byte) (int, error)  { return h.br.Read(p) }
func (h *httpConn) Write(p []byte) (int, error) { return h.nc.Write(p) }
func (h *httpConn) LocalAddr() net.Addr         { return h.nc.LocalAddr() }
func (h *httpConn) RemoteAddr() net.Addr        { return h.nc.RemoteAddr() }

func (h *httpConn) SetDeadline(t time.Time) error      { return h.nc.SetDeadline(t) }
func (h *httpConn) SetReadDeadline(t time.Time) error  { return h.nc.SetReadDeadline(t) }
func (h *httpConn) SetWriteDeadline(t time.Time) error { return h.nc.SetWriteDeadline(t) }

func (h *httpConn) Close() error {
	h.conn.close()
	h.once.Do(func() { close(h.done) })
	return nil
}

// oneConn is a listener of one connection; its second Accept waits for that one's end,
// or for Close: http.Server.Shutdown closes idle connections only after its listeners.
type oneConn struct {
	h      *httpConn
	taken  bool
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.h, nil
	}
	select {
	case <-l.h.done:
	case <-l.closed:
	}
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.h.LocalAddr() }

// serveHTTP serves a connection whose first byte is HTTP's. A http.Server of its own
// costs a few hundred bytes and makes its end and its drain this connection's alone.
func (s *Server) serveHTTP(c *conn, trusted bool, authorised func()) error {
	h := &httpConn{conn: c, trusted: trusted, authorised: authorised, done: make(chan struct{})}
	c.leaveDeadlines()
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.post(h, w, r) }),
		ReadHeaderTimeout: s.o.GreetingTime,
		ReadTimeout:       s.o.RequestTime,
		WriteTimeout:      s.o.RequestTime + s.o.WriteTime, // of what the http.Server answers by itself; see post
		IdleTimeout:       s.o.IdleTime,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return c.ctx },
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	over := make(chan struct{})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		select {
		case <-s.stopping:
			srv.Shutdown(c.ctx) //nolint:errcheck // ends when the request in flight does, or the connection
		case <-over:
		}
	}()
	srv.Serve(&oneConn{h: h, closed: make(chan struct{})}) //nolint:errcheck // always net.ErrClosed or ErrServerClosed
	<-h.done
	close(over)
	<-drained
	return nil
}

func (s *Server) post(h *httpConn, w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !h.trusted && !s.o.Auth.admits(token) {
		w.Header().Set("Connection", "close")
		w.Header().Set("WWW-Authenticate", "Bearer")
		answerHTTP(w, http.StatusUnauthorized, jsonReply{Error: httpError{"refused", "no valid token and no client certificate"}})
		return
	}
	h.authorised()
	if r.URL.Path != "/rpc" {
		answerHTTP(w, http.StatusNotFound, jsonReply{Error: httpError{"usage", "there is only POST /rpc"}})
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answerHTTP(w, http.StatusMethodNotAllowed, jsonReply{Error: httpError{"usage", "there is only POST /rpc"}})
		return
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		answerHTTP(w, http.StatusUnsupportedMediaType, jsonReply{Error: httpError{"usage", "the content type must be application/json"}})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.o.MaxRequest)
	codec := &httpCodec{h: h, ctx: r.Context(), status: http.StatusOK}
	s.decoded.Add(1)
	dec := json.NewDecoder(r.Body)
	if err := dec.Decode(&codec.req); err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		answerHTTP(w, status, jsonReply{Error: httpError{"usage", "request: " + err.Error()}})
		return
	}
	if _, err := dec.Token(); err != io.EOF {
		answerHTTP(w, http.StatusBadRequest, jsonReply{Error: httpError{"usage", "request: more than one JSON value"}})
		return
	}
	s.rpc.ServeRequest(codec) //nolint:errcheck // its error is in the reply, or there is nobody to tell
	// The call may have taken any time: to wait for a job's end, or to read the whole store.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.o.WriteTime)) //nolint:errcheck // an error means that it is closed already
	if codec.answered {
		answerHTTP(w, codec.status, codec.reply)
	}
}

type httpError struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

var httpStatus = [...]int{
	mr.Failed: 500, mr.Usage: 400, mr.Unreachable: 503, mr.Damaged: 500,
	mr.Refused: 409, mr.NotFound: 404, mr.Interrupted: 503,
}

func answerHTTP(w http.ResponseWriter, status int, reply jsonReply) {
	if reply.ID == nil {
		reply.ID = json.RawMessage("null")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(reply) //nolint:errcheck // a write error is the peer's absence; http.Server closes
}

// httpCodec is a net/rpc codec of one request.
type httpCodec struct {
	h        *httpConn
	ctx      context.Context
	req      jsonRequest
	status   int
	reply    jsonReply
	answered bool
}

func (x *httpCodec) ReadRequestHeader(r *rpc.Request) error {
	r.ServiceMethod, r.Seq = x.req.Method, 1
	return x.h.enter(x.req.Method)
}

func (x *httpCodec) ReadRequestBody(body any) error {
	if err := x.req.into(body); err != nil {
		x.h.received(x.ctx, nil)
		return wireError{badBody(err)}
	}
	x.h.received(x.ctx, body)
	return nil
}

func (x *httpCodec) WriteResponse(r *rpc.Response, body any) error {
	defer x.h.leave(r.ServiceMethod)
	departing(body)
	x.answered = true
	x.reply = jsonReply{ID: x.req.ID, Result: listed(body)}
	if r.Error != "" {
		kind, msg := splitKind(r.Error)
		x.reply.Result, x.reply.Error = nil, httpError{kindNames[kind], msg}
		x.status = httpStatus[kind]
	}
	return nil
}

func (x *httpCodec) Close() error { return nil }
