package rpcsvc

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/rpc"
	"reflect"
	"sync"
	"time"
)

// jsonRequest is JSON-RPC 1.0 as net/rpc/jsonrpc speaks it: params is an array of one
// element. An object alone, as people write it by hand, is taken as that element.
type jsonRequest struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	ID     json.RawMessage `json:"id"`
}

// jsonReply has either a result or an error, "kind: message".
type jsonReply struct {
	ID     json.RawMessage `json:"id"`
	Result any             `json:"result"`
	Error  any             `json:"error"`
}

// listed is a reply in which every list is one, also where nothing is in it: in JSON that is null otherwise.
func listed(body any) any {
	fillLists(reflect.ValueOf(body))
	return body
}

func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		fillLists(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fillLists(f)
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	}
}

// into decodes params to a request. A field that the server doesn't know is an
// error: a mistyped name must not mean the default.
func (r *jsonRequest) into(body any) error {
	if body == nil {
		return nil
	}
	params := bytes.TrimSpace(r.Params)
	if len(params) == 0 || bytes.Equal(params, []byte("null")) {
		return nil
	}
	if params[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(params, &list); err != nil {
			return err
		}
		switch len(list) {
		case 0:
			return nil
		case 1:
			params = list[0]
		default:
			return errors.New("params must have one element")
		}
	}
	dec := json.NewDecoder(bytes.NewReader(params))
	dec.DisallowUnknownFields()
	return dec.Decode(body)
}

// jsonCodec is the server's end of a stream of JSON-RPC 1.0 objects.
type jsonCodec struct {
	c   *conn
	in  *budgetReader
	dec *json.Decoder
	req jsonRequest
	seq uint64
	w   *bufio.Writer

	mu  sync.Mutex
	ids map[uint64]json.RawMessage // of the requests in flight, by our number
}

func newJSONCodec(c *conn) *jsonCodec {
	in := &budgetReader{r: c.br}
	return &jsonCodec{c: c, in: in, dec: json.NewDecoder(in), w: bufio.NewWriter(c), ids: map[uint64]json.RawMessage{}}
}

func (j *jsonCodec) ReadRequestHeader(r *rpc.Request) error {
	j.c.startRequest()
	if j.buffered() {
		j.c.begun = time.Now()
	}
	j.in.left = j.c.srv.o.MaxRequest
	j.req = jsonRequest{}
	j.c.srv.decoded.Add(1)
	if err := j.dec.Decode(&j.req); err != nil {
		j.c.ended(err)
		return io.EOF
	}
	r.ServiceMethod = j.req.Method
	if err := j.c.enter(r.ServiceMethod); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	r.Seq = j.seq
	j.ids[j.seq] = j.req.ID
	return nil
}

// buffered reports whether the decoder holds the beginning of another request, and
// not just the line end after the last.
func (j *jsonCodec) buffered() bool {
	r, ok := j.dec.Buffered().(*bytes.Reader)
	if !ok {
		return false
	}
	for r.Len() > 0 {
		if b, _ := r.ReadByte(); b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return true
		}
	}
	return false
}

func (j *jsonCodec) ReadRequestBody(body any) error {
	if err := j.req.into(body); err != nil {
		j.c.received(j.c.ctx, nil)
		return wireError{badBody(err)}
	}
	j.c.received(j.c.ctx, body)
	return nil
}

func (j *jsonCodec) WriteResponse(r *rpc.Response, body any) error {
	defer j.c.leave(r.ServiceMethod)
	j.mu.Lock()
	id := j.ids[r.Seq]
	delete(j.ids, r.Seq)
	j.mu.Unlock()
	if id == nil {
		id = json.RawMessage("null")
	}
	departing(body)
	reply := jsonReply{ID: id, Result: listed(body)}
	if r.Error != "" {
		reply.Result, reply.Error = nil, r.Error
	}
	if err := json.NewEncoder(j.w).Encode(reply); err != nil {
		j.c.close()
		return err
	}
	return j.w.Flush()
}

func (j *jsonCodec) Close() error {
	j.c.close()
	return nil
}

// budgetReader fails when a request has had its bytes.
type budgetReader struct {
	r    io.Reader
	left int64
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
