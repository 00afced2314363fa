package rpcsvc

import (
	"context"

	"github.com/mrd-io/mr"
)

// This file has all of mr.Cache and mr.Tracer between client and server: conversions,
// methods of the service, methods of the client.

func cacheReportToWire(r mr.CacheReport) CacheReportReply {
	return CacheReportReply{
		Stats: CacheStatsReply(r.Stats), Limit: r.Limit, Disk: r.Disk, Held: r.Held, Pinned: r.Pinned,
		Evicted: r.Evicted, Lost: r.Lost, Binaries: r.Binaries, BinaryBytes: r.BinaryBytes,
		Jobs: each(r.Jobs, func(j mr.CacheJob) CacheJob { return CacheJob(j) }), Pins: each(r.Pins, cachePinToWire),
	}
}

func cacheReportFromWire(w CacheReportReply) mr.CacheReport {
	return mr.CacheReport{
		Stats: mr.CacheStats(w.Stats), Limit: w.Limit, Disk: w.Disk, Held: w.Held, Pinned: w.Pinned,
		Evicted: w.Evicted, Lost: w.Lost, Binaries: w.Binaries, BinaryBytes: w.BinaryBytes,
		Jobs: each(w.Jobs, func(j CacheJob) mr.CacheJob { return mr.CacheJob(j) }), Pins: each(w.Pins, cachePinFromWire),
	}
}

func cachePinToWire(p mr.CachePin) CachePinReply {
	return CachePinReply{Job: string(p.Job), Name: p.Name, Output: p.Output, At: nanos(p.At), Bytes: p.Bytes}
}

func cachePinFromWire(w CachePinReply) mr.CachePin {
	return mr.CachePin{Job: mr.JobID(w.Job), Name: w.Name, Output: w.Output, At: moment(w.At), Bytes: w.Bytes}
}

func verdictToWire(v mr.CacheVerdict) CacheVerifyReply {
	return CacheVerifyReply{Runs: v.Runs, Bytes: v.Bytes, Damaged: each(v.Damaged, func(d mr.DamagedRun) DamagedRun {
		return DamagedRun{Task: d.Task, Job: string(d.Job), Name: d.Name, Why: d.Why, Forgotten: d.Forgotten}
	})}
}

func verdictFromWire(w CacheVerifyReply) mr.CacheVerdict {
	return mr.CacheVerdict{Runs: w.Runs, Bytes: w.Bytes, Damaged: each(w.Damaged, func(d DamagedRun) mr.DamagedRun {
		return mr.DamagedRun{Task: d.Task, Job: mr.JobID(d.Job), Name: d.Name, Why: d.Why, Forgotten: d.Forgotten}
	})}
}

func traceToWire(t mr.Trace) TraceKeyReply {
	return TraceKeyReply{
		Job: string(t.Job), Output: t.Output, Key: t.Key, Part: t.Part,
		Tasks: each(t.Tasks, func(k mr.TraceTask) TraceTask {
			return TraceTask{Task: k.Task, Split: k.Split, State: string(k.State), Job: string(k.Job), Records: k.Records}
		}),
		Records: each(t.Records, func(r mr.TraceRecord) TraceRecord { return TraceRecord(r) }),
		More:    t.More, Notes: t.Notes,
	}
}

func traceFromWire(w TraceKeyReply) mr.Trace {
	return mr.Trace{
		Job: mr.JobID(w.Job), Output: w.Output, Key: w.Key, Part: w.Part,
		Tasks: each(w.Tasks, func(k TraceTask) mr.TraceTask {
			return mr.TraceTask{Task: k.Task, Split: k.Split, State: mr.State(k.State), Job: mr.JobID(k.Job), Records: k.Records}
		}),
		Records: each(w.Records, func(r TraceRecord) mr.TraceRecord { return mr.TraceRecord(r) }),
		More:    w.More, Notes: w.Notes,
	}
}

// cache and tracer are what the engine offers beside mr.Jobs.
func (s *Server) cache() (mr.Cache, error) {
	if c, ok := s.jobs.(mr.Cache); ok {
		return c, nil
	}
	return nil, mr.Errorf(mr.Usage, "this daemon does not manage a cache")
}

func (s *Server) tracer() (mr.Tracer, error) {
	if t, ok := s.jobs.(mr.Tracer); ok {
		return t, nil
	}
	return nil, mr.Errorf(mr.Usage, "this daemon does not execute tasks again")
}

func (j *jobsService) CacheReport(req *CacheReportRequest, rep *CacheReportReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.CacheReport", &err)
	c, err := j.s.cache()
	if err != nil {
		return err
	}
	r, err := c.CacheReport(req.context())
	*rep = cacheReportToWire(r)
	return err
}

func (j *jobsService) CacheVerify(req *CacheVerifyRequest, rep *CacheVerifyReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.CacheVerify", &err)
	c, err := j.s.cache()
	if err != nil {
		return err
	}
	v, err := c.CacheVerify(req.context())
	*rep = verdictToWire(v)
	return err
}

func (j *jobsService) CacheInvalidate(req *CacheInvalidateRequest, rep *CacheFreedReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.CacheInvalidate", &err)
	c, err := j.s.cache()
	if err != nil {
		return err
	}
	if (req.Job == "") != req.All {
		return mr.Errorf(mr.Usage, "invalidate: name a job, or ask for all")
	}
	f, err := c.CacheInvalidate(req.context(), req.Job)
	*rep = CacheFreedReply(f)
	return err
}

func (j *jobsService) CachePin(req *CachePinRequest, rep *CachePinReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.CachePin", &err)
	c, err := j.s.cache()
	if err != nil {
		return err
	}
	p, err := c.CachePin(req.context(), req.Job, req.Pin)
	*rep = cachePinToWire(p)
	return err
}

func (j *jobsService) CacheGC(req *CacheGCRequest, rep *CacheFreedReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.CacheGC", &err)
	c, err := j.s.cache()
	if err != nil {
		return err
	}
	f, err := c.CacheGC(req.context(), mr.CacheGC{DryRun: req.DryRun, Limit: req.Limit})
	*rep = CacheFreedReply(f)
	return err
}

func (j *jobsService) TraceKey(req *TraceKeyRequest, rep *TraceKeyReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.TraceKey", &err)
	t, err := j.s.tracer()
	if err != nil {
		return err
	}
	got, err := t.TraceKey(req.context(), mr.TraceRequest{Output: req.Output, Part: req.Part, Key: req.Key, Most: req.Most})
	*rep = traceToWire(got)
	return err
}

func (j *jobsService) Rerun(req *RerunRequest, rep *RerunReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Rerun", &err)
	t, err := j.s.tracer()
	if err != nil {
		return err
	}
	got, err := t.Rerun(req.context(), req.Output, req.Tasks)
	rep.Tasks = each(got, func(r mr.RerunTask) RerunTask { return RerunTask(r) })
	return err
}

var (
	_ mr.Cache  = (*Client)(nil)
	_ mr.Tracer = (*Client)(nil)
)

// CacheReport implements mr.Cache.
func (c *Client) CacheReport(ctx context.Context) (r mr.CacheReport, err error) {
	rep, err := invoke[CacheReportReply](ctx, c, "Jobs.CacheReport", &CacheReportRequest{Wire: WireVersion})
	if err != nil {
		return r, err
	}
	return cacheReportFromWire(*rep), nil
}

// CacheVerify implements mr.Cache.
func (c *Client) CacheVerify(ctx context.Context) (v mr.CacheVerdict, err error) {
	rep, err := invoke[CacheVerifyReply](ctx, c, "Jobs.CacheVerify", &CacheVerifyRequest{Wire: WireVersion})
	if err != nil {
		return v, err
	}
	return verdictFromWire(*rep), nil
}

// CacheInvalidate implements mr.Cache.
func (c *Client) CacheInvalidate(ctx context.Context, job string) (f mr.CacheFreed, err error) {
	rep, err := invoke[CacheFreedReply](ctx, c, "Jobs.CacheInvalidate", &CacheInvalidateRequest{Job: job, All: job == ""})
	if err != nil {
		return f, err
	}
	return mr.CacheFreed(*rep), nil
}

// CachePin implements mr.Cache.
func (c *Client) CachePin(ctx context.Context, job string, pin bool) (p mr.CachePin, err error) {
	rep, err := invoke[CachePinReply](ctx, c, "Jobs.CachePin", &CachePinRequest{Job: job, Pin: pin})
	if err != nil {
		return p, err
	}
	return cachePinFromWire(*rep), nil
}

// CacheGC implements mr.Cache.
func (c *Client) CacheGC(ctx context.Context, req mr.CacheGC) (f mr.CacheFreed, err error) {
	rep, err := invoke[CacheFreedReply](ctx, c, "Jobs.CacheGC", &CacheGCRequest{DryRun: req.DryRun, Limit: req.Limit})
	if err != nil {
		return f, err
	}
	return mr.CacheFreed(*rep), nil
}

// TraceKey implements mr.Tracer.
func (c *Client) TraceKey(ctx context.Context, req mr.TraceRequest) (t mr.Trace, err error) {
	rep, err := invoke[TraceKeyReply](ctx, c, "Jobs.TraceKey", &TraceKeyRequest{Output: req.Output, Part: req.Part, Key: req.Key, Most: req.Most})
	if err != nil {
		return t, err
	}
	return traceFromWire(*rep), nil
}

// Rerun implements mr.Tracer.
func (c *Client) Rerun(ctx context.Context, output string, n int) ([]mr.RerunTask, error) {
	rep, err := invoke[RerunReply](ctx, c, "Jobs.Rerun", &RerunRequest{Output: output, Tasks: n})
	if err != nil {
		return nil, err
	}
	return each(rep.Tasks, func(r RerunTask) mr.RerunTask { return mr.RerunTask(r) }), nil
}
