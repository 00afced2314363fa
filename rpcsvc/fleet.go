package rpcsvc

import (
	"context"
	"time"

	"github.com/mrd-io/mr"
)

// This file has all of mr.Fleet between client and server.

func workerToWire(w mr.Worker) Worker {
	return Worker{
		Name: w.Name, Host: w.Host, PID: w.PID, Slots: w.Slots, Running: w.Running, State: string(w.State),
		Joined: nanos(w.Joined), Rests: nanos(w.Rests), Silent: int64(w.Silent), Lease: int64(w.Lease),
		Clock: w.Clock, Offset: int64(w.Offset), Bound: int64(w.Bound),
	}
}

func workerFromWire(w Worker) mr.Worker {
	return mr.Worker{
		Name: w.Name, Host: w.Host, PID: w.PID, Slots: w.Slots, Running: w.Running, State: mr.WorkerState(w.State),
		Joined: moment(w.Joined), Rests: moment(w.Rests), Silent: time.Duration(w.Silent), Lease: time.Duration(w.Lease),
		Clock: w.Clock, Offset: time.Duration(w.Offset), Bound: time.Duration(w.Bound),
	}
}

func timesToWire(t mr.TaskTimes) TaskTimes {
	return TaskTimes{
		Task: t.Task, Attempt: t.Attempt, Worker: t.Worker, State: string(t.State), Known: t.Known,
		Began: nanos(t.Began), Ended: nanos(t.Ended), BeganBound: int64(t.BeganBound), EndedBound: int64(t.EndedBound),
		Took: int64(t.Took),
	}
}

func timesFromWire(t TaskTimes) mr.TaskTimes {
	return mr.TaskTimes{
		Task: t.Task, Attempt: t.Attempt, Worker: t.Worker, State: mr.State(t.State), Known: t.Known,
		Began: moment(t.Began), Ended: moment(t.Ended), BeganBound: time.Duration(t.BeganBound), EndedBound: time.Duration(t.EndedBound),
		Took: time.Duration(t.Took),
	}
}

// fleet is what the engine offers beside mr.Jobs.
func (s *Server) fleet() (mr.Fleet, error) {
	if f, ok := s.jobs.(mr.Fleet); ok {
		return f, nil
	}
	return nil, mr.Errorf(mr.Usage, "this daemon does not tell of its workers")
}

// Timeline tells when the attempts of a job ran.
func (j *jobsService) Timeline(req *JobRequest, rep *TimelineReply) (err error) {
	defer j.s.done(&req.bound, "Jobs.Timeline", &err)
	f, err := j.s.fleet()
	if err != nil {
		return err
	}
	list, err := f.Timeline(req.context(), mr.JobID(req.Job))
	rep.Tasks = each(list, timesToWire)
	return err
}

// Workers implements mr.Fleet.
func (c *Client) Workers(ctx context.Context) ([]mr.Worker, error) {
	rep, err := invoke[WorkersReply](ctx, c, "Workers.List", &WorkersRequest{Wire: WireVersion})
	if err != nil {
		return nil, err
	}
	return each(rep.Workers, workerFromWire), nil
}

// Timeline implements mr.Fleet.
func (c *Client) Timeline(ctx context.Context, job mr.JobID) ([]mr.TaskTimes, error) {
	rep, err := invoke[TimelineReply](ctx, c, "Jobs.Timeline", &JobRequest{Job: string(job)})
	if err != nil {
		return nil, err
	}
	return each(rep.Tasks, timesFromWire), nil
}

var _ mr.Fleet = (*Client)(nil)
