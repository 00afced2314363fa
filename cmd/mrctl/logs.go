package main

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

type logJSON struct {
	Time string `json:"time"`
	Task string `json:"task"`
	Text string `json:"text"`
}

func (a *app) logsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "logs ID",
		Short:             "Show what a job and its tasks wrote",
		Args:              oneArg(jobArg),
		ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withJob(ctx, toRead, args[0], func(s *session, job mr.JobID) error {
				lines, err := s.Logs(ctx, job)
				if err != nil {
					return err
				}
				return a.printLogs(job, lines)
			})
		},
	}
}

func (a *app) printLogs(job mr.JobID, lines []mr.LogLine) error {
	if a.json {
		out := struct {
			Job   mr.JobID  `json:"job"`
			Lines []logJSON `json:"lines"`
		}{job, []logJSON{}}
		for _, l := range lines {
			out.Lines = append(out.Lines, logJSON{timeToJSON(l.Time), l.Task, l.Text})
		}
		return printJSON(a.out, out)
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(l.Task))
	}
	w := bufio.NewWriter(a.out)
	for _, l := range lines {
		text := l.Text
		if a.outTerminal {
			text = shownText(text)
		}
		// A buffered writer keeps its first error for Flush.
		_, _ = fmt.Fprintf(w, "%s  %-*s  %s\n", a.painted(dim, l.Time.Local().Format("2006-01-02 15:04:05.000")), width, l.Task, text)
	}
	return writeError(w.Flush())
}
