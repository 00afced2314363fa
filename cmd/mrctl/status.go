package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) statusCommand() *cobra.Command {
	var timeline bool
	cmd := &cobra.Command{
		Use:               "status ID",
		Short:             "Show a job's state",
		Args:              oneArg(jobArg),
		ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withJob(ctx, toRead, args[0], func(s *session, job mr.JobID) error {
				if timeline {
					return a.showTimeline(ctx, s, job)
				}
				status, err := s.Status(ctx, job)
				if err != nil {
					return err
				}
				if a.json {
					return printJSON(a.out, toJSON(status))
				}
				if _, err = io.WriteString(a.out, a.statusText(status, time.Now())); err == nil {
					a.noteIdle(s, status)
				}
				return writeError(err)
			})
		},
	}
	cmd.Flags().BoolVar(&timeline, "timeline", false, "when its attempts ran, on the daemon's clock, with the bounds of the workers' clocks")
	return cmd
}

// noteIdle says so where jobs have not ended and nobody runs them.
func (a *app) noteIdle(s *session, jobs ...mr.Status) {
	unended := func(j mr.Status) bool { return !j.State.Done() }
	if s.daemon == "" && !a.quiet && slices.ContainsFunc(jobs, unended) {
		a.say("no daemon serves the store, so nothing runs at the moment; what has not ended goes on when mrd is started")
	}
}

func (a *app) statusText(s mr.Status, now time.Time) string {
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %s %s\n", a.painted(dim, fmt.Sprintf("%-9s", name)), shownText(text))
		}
	}
	fmt.Fprintf(&b, "%s  %s\n", s.Job, a.painted(stateColour(s.State), string(s.State)))
	row("job", shown(strings.Join(append([]string{orElse(s.Name, s.Spec.Job)}, s.Spec.Args...), " ")))
	if s.Spec.Code.Source != s.Name {
		row("code", shown(s.Spec.Code.Source))
	}
	row("phase", phaseName(s, s.Phase))
	row("submitted", ago(s.Submitted, now))
	row("took", seconds(s.Seconds.Elapsed))
	row("input", join(bytesOf(s.Bytes.Input), shown(strings.Join(s.Spec.Inputs, " "))))
	row("map", join(phaseWords(s.Map), runningWords(s.Map)))
	if s.Reduce.Tasks > 0 {
		row(phaseName(s, "reduce"), join(phaseWords(s.Reduce), runningWords(s.Reduce)))
	}
	row("output", shown(s.Output))
	for _, w := range s.Warnings {
		row("warning", shown(w))
	}
	row("error", strings.ReplaceAll(s.Error, "\n", "\n            "))
	return b.String()
}

func runningWords(p mr.PhaseStatus) string {
	if p.Running == 0 {
		return ""
	}
	return comma(p.Running) + " running"
}
