package main

import (
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) listCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the jobs that have not ended, or all",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), toRead, nodeOptions{}, func(s *session) error {
				jobs, err := s.List(cmd.Context(), all)
				if err != nil {
					return err
				}
				if len(jobs) == 0 && !a.json && !all {
					a.say("no job is under way; 'mrctl list --all' shows those that ended")
				}
				if !a.json {
					a.noteIdle(s, jobs...)
				}
				return a.printJobs(jobs, time.Now())
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the jobs that ended, too")
	return cmd
}

// printJobs prints a table of jobs, or {"jobs":[…]}.
func (a *app) printJobs(jobs []mr.Status, now time.Time) error {
	if a.json {
		list := struct {
			Jobs []statusJSON `json:"jobs"`
		}{Jobs: []statusJSON{}}
		for _, j := range jobs {
			list.Jobs = append(list.Jobs, toJSON(j))
		}
		return printJSON(a.out, list)
	}
	if len(jobs) == 0 {
		return nil
	}
	t := table{head: []string{"JOB", "NAME", "STATE", ">MAPS", ">CACHED", "SUBMITTED", ">TOOK", "OUTPUT"}}
	for _, j := range jobs {
		maps := comma(j.Map.Tasks)
		if !j.State.Done() && j.Map.Tasks > 0 {
			maps = comma(min(j.Map.Cached+j.Map.Run, j.Map.Tasks)) + "/" + maps
		}
		t.add(string(j.Job), orElse(j.Name, j.Spec.Job), string(j.State), maps, comma(j.Map.Cached), ago(j.Submitted, now), orElse(seconds(j.Seconds.Elapsed), "-"), a.relative(j.Output))
	}
	t.paint = func(row, column int, cell string) string {
		if column != 2 {
			return cell
		}
		return a.painted(stateColour(jobs[row].State), cell)
	}
	return t.write(a.out)
}
