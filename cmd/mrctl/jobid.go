package main

import (
	"context"
	"strings"

	mr "github.com/mrd-io/mr"
)

// jobID finds the job that was typed: its id, the beginning of one with or without job_, or "last".
func jobID(ctx context.Context, s *session, typed string) (mr.JobID, error) {
	const idLen = len("job_") + 26
	if len(typed) == idLen && strings.HasPrefix(typed, "job_") {
		return mr.JobID(typed), nil
	}
	jobs, err := s.List(ctx, true)
	if err != nil {
		return "", err
	}
	if typed == "last" {
		if len(jobs) == 0 {
			return "", mr.Errorf(mr.NotFound, "there is no last job: the store has none")
		}
		return jobs[len(jobs)-1].Job, nil
	}
	var found []mr.JobID
	for _, j := range jobs {
		if short := strings.TrimPrefix(string(j.Job), "job_"); typed != "" && strings.HasPrefix(short, strings.TrimPrefix(typed, "job_")) {
			found = append(found, j.Job)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", mr.Errorf(mr.NotFound, "there is no job %q on record; 'mrctl list --all' shows them", typed)
	default:
		return "", mr.Errorf(mr.NotFound, "%q begins the ids of %d jobs, such as %s and %s; type more of it", typed, len(found), found[0], found[1])
	}
}

// withJob opens a session and finds the job that was typed. Other jobs of the store are left alone.
func (a *app) withJob(ctx context.Context, r reach, typed string, f func(*session, mr.JobID) error) error {
	return a.with(ctx, r, nodeOptions{Idle: true}, func(s *session) error {
		job, err := jobID(ctx, s, typed)
		if err != nil {
			return err
		}
		return f(s, job)
	})
}

const jobArg = "the id of a JOB, or 'last'"
