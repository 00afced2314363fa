package main

import (
	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) countersCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "counters ID",
		Short:             "Show a job's counters",
		Args:              oneArg(jobArg),
		ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withJob(ctx, toRead, args[0], func(s *session, job mr.JobID) error {
				status, err := s.Status(ctx, job)
				if err != nil {
					return err
				}
				if a.json {
					return printJSON(a.out, struct {
						Job      mr.JobID                    `json:"job"`
						Counters map[string]map[string]int64 `json:"counters"`
					}{job, countersToJSON(status.Counters)})
				}
				if len(status.Counters) == 0 {
					return nil
				}
				t := table{head: []string{"GROUP", "COUNTER", ">VALUE"}}
				for _, c := range status.Counters {
					t.add(c.Group, c.Name, comma(c.Value))
				}
				return t.write(a.out)
			})
		},
	}
}
