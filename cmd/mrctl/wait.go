package main

import (
	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) waitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "wait ID",
		Short: "Wait for a job's end and report it",
		Long: `Wait for a job's end, with progress, and report it as run does; the exit status is the job's.
Ctrl-C stops waiting and leaves the job alone.`,
		Args:              oneArg(jobArg),
		ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withJob(ctx, toRead, args[0], func(s *session, job mr.JobID) error {
				if s.daemon == "" {
					// Nobody runs jobs: one that has not ended would be waited for in vain.
					status, err := s.Status(ctx, job)
					if err != nil {
						return err
					}
					if !status.State.Done() {
						return mr.Errorf(mr.Unreachable, "job %s is %s, and no daemon serves the store to run it; start mrd, and it goes on where it stopped", job, status.State)
					}
				}
				return a.finish(ctx, s, job, leaveJob)
			})
		},
	}
}
