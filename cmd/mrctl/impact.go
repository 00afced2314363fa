package main

import (
	"time"

	"github.com/spf13/cobra"
)

func (a *app) impactCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "impact FILE",
		Short: "List the jobs and outputs that were made from a file",
		Args:  oneArg("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.with(ctx, toRead, nodeOptions{}, func(s *session) error {
				jobs, err := s.Impact(ctx, a.abs(args[0]))
				if err != nil {
					return err
				}
				if len(jobs) == 0 && !a.json {
					a.say("no job on record read %s", args[0])
				}
				return a.printJobs(jobs, time.Now())
			})
		},
	}
}
