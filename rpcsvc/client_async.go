package rpcsvc

import (
	"context"
	"net/rpc"
	"slices"

	"github.com/mrd-io/mr"
)

// Go submits a job without waiting, in the style of net/rpc: the *rpc.Call returned
// is sent on done (which must have room; nil makes a channel of one) when the daemon
// has answered or ctx ends. Its Args is a *SubmitRequest, its Reply a *SubmitReply, which
// is complete once the call is done, and its Error answers errors.Is as Submit's does.
//
//	call := c.Go(ctx, rpcsvc.NewSubmitID(), spec, nil)
//	…
//	if call = <-call.Done; call.Error == nil {
//		fmt.Println(call.Reply.(*rpcsvc.SubmitReply).Job)
//	}
func (c *Client) Go(ctx context.Context, id mr.SubmitID, spec mr.Spec, done chan *rpc.Call) *rpc.Call {
	if done == nil {
		done = make(chan *rpc.Call, 1)
	} else if cap(done) == 0 {
		panic("rpcsvc: the done channel has no room for the call")
	}
	if id == "" {
		id = NewSubmitID()
	}
	spec = ownSpec(spec)
	reply := new(SubmitReply)
	call := &rpc.Call{
		ServiceMethod: "Jobs.Submit", Args: &SubmitRequest{SubmitID: string(id), Spec: specToWire(spec)}, Reply: reply, Done: done,
	}
	go func() {
		var job mr.JobID
		job, call.Error = c.Submit(ctx, id, spec)
		reply.Job = string(job)
		select {
		case done <- call:
		default: // as net/rpc: who lets done fill up doesn't want to know
		}
	}()
	return call
}

// SubmitFunc submits a job without waiting, and calls then, once, in a goroutine of
// its own, with what Submit would have returned.
func (c *Client) SubmitFunc(ctx context.Context, id mr.SubmitID, spec mr.Spec, then func(mr.JobID, error)) {
	spec = ownSpec(spec)
	go func() { then(c.Submit(ctx, id, spec)) }()
}

// ownSpec is a spec that its caller can't change any more: what is submitted is what it was when it was given
// to us, however long that takes, as with net/rpc, which has encoded its arguments when Go returns.
func ownSpec(s mr.Spec) mr.Spec {
	s.Args, s.Inputs, s.Env = slices.Clone(s.Args), slices.Clone(s.Inputs), slices.Clone(s.Env)
	if s.Env != nil && len(s.Env) == 0 {
		s.Env = []string{""} // on the wire no variables and none given look alike, and those would be the daemon's
	}
	return s
}
