package main

import (
	"github.com/spf13/cobra"
)

func (a *app) submitCommand() *cobra.Command {
	var r request
	cmd := &cobra.Command{
		Use:   "submit JOB [JOB ARGS] --input PATTERN... --output DIR [FLAGS] [--wait] [-- JOB FLAGS]",
		Short: "Hand a job to the daemon and print its id",
		Long: `Hand a job to the daemon and print its id. Once the id is printed the job is on disk: it runs to its
end even if the daemon dies in between. See 'mrctl run --help' for JOB and the built-ins.

A submission has an id of its own, made here or given with --submit-id. The same id again, after a
connection that broke or a command that was killed, is the same job and never a second one.`,
		Example: `  mrctl submit wordcount --input books --output counts
  mrctl submit sort --input 'data/*.txt' --output sorted --wait --json`,
		DisableFlagParsing: true, // see parseLine
		ValidArgsFunction:  a.completeLine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.submitJob(cmd, args, &r)
		},
	}
	r.jobFlags(cmd.Flags())
	cmd.Flags().BoolVar(&r.wait, "wait", false, "wait for the job's end and report it as run does; Ctrl-C only stops waiting")
	return cmd
}

func (a *app) submitJob(cmd *cobra.Command, args []string, r *request) error {
	ctx := cmd.Context()
	b, helped, err := a.parse(cmd, args, r)
	if err != nil || helped {
		return err
	}
	c, err := a.locate(ctx, b, r)
	if err != nil {
		return err
	}
	defer c.done()
	return a.with(ctx, toDaemon, nodeOptions{}, func(s *session) error {
		a.noteDaemon(s, r)
		spec, err := a.spec(s, r, c)
		if err != nil {
			return err
		}
		if r.dryRun {
			return a.dryRun(ctx, s, spec)
		}
		job, err := a.submit(ctx, s, r.id(s), spec)
		if err != nil {
			return err
		}
		switch {
		case r.wait && !a.json:
			if err := a.printID(job); err != nil {
				return err
			}
			return a.finish(ctx, s, job, leaveJob)
		case r.wait:
			return a.finish(ctx, s, job, leaveJob)
		case a.json:
			status, err := s.Status(ctx, job)
			if err != nil {
				return a.stillOnRecord(err, s, job)
			}
			return printJSON(a.out, toJSON(status))
		default:
			return a.printID(job)
		}
	})
}
