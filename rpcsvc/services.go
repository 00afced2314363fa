package rpcsvc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime/debug"

	"github.com/mrd-io/mr"
)

// jobsService is net/rpc's service Jobs.
type jobsService struct{ s *Server }

// metaService is net/rpc's service Meta.
type metaService struct{ s *Server }

// done is every method's deferred end: a panic becomes the call's error (net/rpc would
// let it kill the process), an error gets its kind, and the request's slot goes to the next
// one: the client may take its time to read the answer.
func (s *Server) done(b *bound, method string, err *error) {
	defer b.leave()
	if p := recover(); p != nil {
		s.o.Logger.Error("panic in a handler", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = mr.Errorf(mr.Failed, "%s: the daemon failed on this call (%v); its log has the stack", method, p)
	}
	if *err != nil && s.isStopping() && kindOf(*err) == mr.Interrupted {
		*err = errDraining
	}
	*err = toWire(*err)
}

func (j *jobsService) Submit(req *SubmitRequest, rep *SubmitReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Submit", &err)
	spec, err := specFromWire(req.Spec)
	if err != nil {
		return err
	}
	id := req.SubmitID
	if id == "" {
		id = string(NewSubmitID())
	}
	job, err := j.s.jobs.Submit(req.context(), mr.SubmitID(id), spec)
	rep.Job = string(job)
	return err
}

func (j *jobsService) Status(req *JobRequest, rep *StatusReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Status", &err)
	st, err := j.s.jobs.Status(req.context(), mr.JobID(req.Job))
	if err == nil {
		rep.Status = statusToWire(st)
	}
	return err
}

func (j *jobsService) Wait(req *WaitRequest, rep *StatusReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Wait", &err)
	select {
	case j.s.polls <- struct{}{}:
		defer func() { <-j.s.polls }()
	default:
		return mr.Errorf(mr.Failed, "more than %d clients are waiting for jobs; ask for the status instead", cap(j.s.polls))
	}
	ctx, stop := j.s.untilStopping(req.context())
	defer stop()
	st, err := j.s.jobs.Wait(ctx, mr.JobID(req.Job), req.Since)
	if err != nil {
		if ctx.Err() != nil && j.s.isStopping() {
			return errDraining
		}
		return err
	}
	rep.Status = statusToWire(st)
	return nil
}

// untilStopping ends ctx when the server begins to drain.
func (s *Server) untilStopping(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-over:
		}
	}()
	return ctx, func() {
		close(over)
		cancel()
	}
}

func (j *jobsService) List(req *ListRequest, rep *ListReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.List", &err)
	all, err := j.s.jobs.List(req.context(), req.All)
	rep.Jobs = each(all, statusToWire)
	return err
}

func (j *jobsService) Kill(req *JobRequest, rep *Empty) (err error) {
	defer j.s.done(&req.bound, "Jobs.Kill", &err)
	return j.s.jobs.Kill(req.context(), mr.JobID(req.Job))
}

func (j *jobsService) Counters(req *JobRequest, rep *CountersReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Counters", &err)
	st, err := j.s.jobs.Status(req.context(), mr.JobID(req.Job))
	rep.Counters = countersToWire(st.Counters)
	return err
}

func (j *jobsService) Logs(req *JobRequest, rep *LogsReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Logs", &err)
	lines, err := j.s.jobs.Logs(req.context(), mr.JobID(req.Job))
	rep.Lines = each(lines, logToWire)
	return err
}

func (j *jobsService) Explain(req *ExplainRequest, rep *ExplainReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Explain", &err)
	e, err := j.s.jobs.Explain(req.context(), mr.JobID(req.Job), mr.JobID(req.Vs))
	*rep = explanationToWire(e)
	return err
}

func (j *jobsService) DryRun(req *DryRunRequest, rep *ExplainReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.DryRun", &err)
	spec, err := specFromWire(req.Spec)
	if err != nil {
		return err
	}
	e, err := j.s.jobs.DryRun(req.context(), spec)
	*rep = explanationToWire(e)
	return err
}

func (j *jobsService) Lineage(req *LineageRequest, rep *LineageReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Lineage", &err)
	l, err := j.s.jobs.Lineage(req.context(), req.Output, req.Part)
	*rep = lineageToWire(l)
	return err
}

func (j *jobsService) Impact(req *ImpactRequest, rep *ListReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Impact", &err)
	all, err := j.s.jobs.Impact(req.context(), req.File)
	rep.Jobs = each(all, statusToWire)
	return err
}

func (j *jobsService) CacheStats(req *CacheStatsRequest, rep *CacheStatsReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.CacheStats", &err)
	st, err := j.s.jobs.CacheStats(req.context())
	*rep = CacheStatsReply(st)
	return err
}

// Hello introduces client and server.
func (m *metaService) Hello(req *HelloRequest, rep *HelloReply) (err error) {
	defer m.s.done(&req.bound, "Meta.Hello", &err)
	if req.Wire > WireVersion {
		return mr.Errorf(mr.Usage, "client %q speaks wire version %d, the daemon %d: restart the daemon with the newer program",
			req.Client, req.Wire, WireVersion)
	}
	*rep = m.s.hello()
	return nil
}

// NewSubmitID makes a submit id: "sub_" and 26 random letters and digits.
func NewSubmitID() mr.SubmitID { return mr.SubmitID("sub_" + rand.Text()) }

// newEpoch names a life of the daemon, exact in JSON readers that know only floats.
func newEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails; see crypto/rand
	return binary.LittleEndian.Uint64(b[:])&(1<<53-1) | 1
}
