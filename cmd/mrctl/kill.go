package main

import (
	"fmt"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) killCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kill ID",
		Short: "Cancel a job",
		Long:  `Cancel a job and return when it has ended. What its finished tasks computed stays in the store for other jobs.`,
		Args:  oneArg(jobArg), ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withJob(ctx, toChange, args[0], func(s *session, job mr.JobID) error {
				before, err := s.Status(ctx, job)
				if err != nil {
					return err
				}
				if before.State.Done() {
					return mr.Errorf(mr.Usage, "job %s has ended already: %s", job, before.State)
				}
				if err := s.Kill(ctx, job); err != nil {
					return err
				}
				status, err := s.Status(ctx, job)
				if err != nil {
					return err
				}
				if a.json {
					return printJSON(a.out, toJSON(status))
				}
				if !a.quiet {
					_, err = fmt.Fprintf(a.out, "%s  %s\n", job, status.State)
				}
				return writeError(err)
			})
		},
	}
}
