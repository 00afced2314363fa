package rpcsvc

import (
	"context"
	"errors"

	"github.com/mrd-io/mr"
)

// Submit implements mr.Jobs. It makes the call again when the connection breaks: the
// daemon knows the id.
func (c *Client) Submit(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	if id == "" {
		id = NewSubmitID() // once, here, and not at each attempt in the daemon
	}
	rep, err := invoke[SubmitReply](ctx, c, "Jobs.Submit", &SubmitRequest{SubmitID: string(id), Spec: specToWire(ownSpec(spec))})
	if err != nil {
		return "", err
	}
	return mr.JobID(rep.Job), nil
}

// Status implements mr.Jobs.
func (c *Client) Status(ctx context.Context, job mr.JobID) (mr.Status, error) {
	rep, err := invoke[StatusReply](ctx, c, "Jobs.Status", &JobRequest{Job: string(job)})
	if err != nil {
		return mr.Status{}, err
	}
	return statusFromWire(rep.Status), nil
}

// Wait implements mr.Jobs. A daemon that is silent for too long is dialled again: what is between it and us
// may have lost the connection, and who only waits for an answer never learns of that.
func (c *Client) Wait(ctx context.Context, job mr.JobID, since uint64) (mr.Status, error) {
	for {
		limited, cancel := context.WithTimeout(ctx, c.o.PollTime)
		rep, err := invoke[StatusReply](limited, c, "Jobs.Wait", &WaitRequest{Job: string(job), Since: since})
		late := limited.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			return statusFromWire(rep.Status), nil
		case !late || !errors.Is(err, mr.ErrInterrupted):
			return mr.Status{}, err
		}
	}
}

// List implements mr.Jobs.
func (c *Client) List(ctx context.Context, all bool) ([]mr.Status, error) {
	rep, err := invoke[ListReply](ctx, c, "Jobs.List", &ListRequest{All: all})
	if err != nil {
		return nil, err
	}
	return each(rep.Jobs, statusFromWire), nil
}

// Kill implements mr.Jobs.
func (c *Client) Kill(ctx context.Context, job mr.JobID) error {
	_, err := invoke[Empty](ctx, c, "Jobs.Kill", &JobRequest{Job: string(job)})
	return err
}

// Logs implements mr.Jobs.
func (c *Client) Logs(ctx context.Context, job mr.JobID) ([]mr.LogLine, error) {
	rep, err := invoke[LogsReply](ctx, c, "Jobs.Logs", &JobRequest{Job: string(job)})
	if err != nil {
		return nil, err
	}
	return each(rep.Lines, logFromWire), nil
}

// Explain implements mr.Jobs.
func (c *Client) Explain(ctx context.Context, job, vs mr.JobID) (mr.Explanation, error) {
	rep, err := invoke[ExplainReply](ctx, c, "Jobs.Explain", &ExplainRequest{Job: string(job), Vs: string(vs)})
	if err != nil {
		return mr.Explanation{}, err
	}
	return explanationFromWire(*rep), nil
}

// DryRun implements mr.Jobs.
func (c *Client) DryRun(ctx context.Context, spec mr.Spec) (mr.Explanation, error) {
	rep, err := invoke[ExplainReply](ctx, c, "Jobs.DryRun", &DryRunRequest{Spec: specToWire(ownSpec(spec))})
	if err != nil {
		return mr.Explanation{}, err
	}
	return explanationFromWire(*rep), nil
}

// Lineage implements mr.Jobs.
func (c *Client) Lineage(ctx context.Context, output string, part int) (mr.Lineage, error) {
	rep, err := invoke[LineageReply](ctx, c, "Jobs.Lineage", &LineageRequest{Output: output, Part: part})
	if err != nil {
		return mr.Lineage{}, err
	}
	return lineageFromWire(*rep), nil
}

// Impact implements mr.Jobs.
func (c *Client) Impact(ctx context.Context, file string) ([]mr.Status, error) {
	rep, err := invoke[ListReply](ctx, c, "Jobs.Impact", &ImpactRequest{File: file})
	if err != nil {
		return nil, err
	}
	return each(rep.Jobs, statusFromWire), nil
}

// CacheStats implements mr.Jobs.
func (c *Client) CacheStats(ctx context.Context) (mr.CacheStats, error) {
	rep, err := invoke[CacheStatsReply](ctx, c, "Jobs.CacheStats", &CacheStatsRequest{Wire: WireVersion})
	if err != nil {
		return mr.CacheStats{}, err
	}
	return mr.CacheStats(*rep), nil
}
