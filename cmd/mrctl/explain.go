package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) explainCommand() *cobra.Command {
	var vs string
	cmd := &cobra.Command{
		Use:   "explain ID [--vs ID2]",
		Short: "Say why a job's tasks ran or came from cache",
		Long: `Say why a job's tasks ran or came from cache: a row a reason, with the number of tasks and examples.
Below stands what the keys of its tasks have in common (code, parameters, formats), beside those of the last job like
it, of the same name and an input pattern, or of the one that --vs names, if anything differs.
'mrctl run … --dry-run' says the same of a job before it runs.`,
		Args: oneArg(jobArg), ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withJob(ctx, toRead, args[0], func(s *session, job mr.JobID) error {
				var other mr.JobID
				if vs != "" {
					var err error
					if other, err = jobID(ctx, s, vs); err != nil {
						return err
					}
				}
				e, err := s.Explain(ctx, job, other)
				if err != nil {
					return err
				}
				return a.printExplanation(e)
			})
		},
	}
	cmd.Flags().StringVar(&vs, "vs", "", "compare with the job of this `ID`")
	return cmd
}

type explanationJSON struct {
	Job  mr.JobID     `json:"job"`
	Vs   mr.JobID     `json:"vs"`
	Rows []reasonJSON `json:"rows"`
	Keys []keyJSON    `json:"keys"`

	Notes []string `json:"notes"`
}

type reasonJSON struct {
	Phase    string   `json:"phase"`
	State    mr.State `json:"state"`
	Reason   string   `json:"reason"`
	Tasks    int      `json:"tasks"`
	Examples []string `json:"examples"`
}

type keyJSON struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Earlier string `json:"earlier"`
	Differs bool   `json:"differs"`
}

func (a *app) printExplanation(e mr.Explanation) error {
	if a.json {
		out := explanationJSON{Job: e.Job, Vs: e.Vs, Rows: []reasonJSON{}, Keys: []keyJSON{}, Notes: append([]string{}, e.Notes...)}
		for _, r := range e.Rows {
			out.Rows = append(out.Rows, reasonJSON{r.Phase, r.State, r.Reason, r.Tasks, append([]string{}, r.Examples...)})
		}
		for _, k := range e.Keys {
			out.Keys = append(out.Keys, keyJSON(k))
		}
		return printJSON(a.out, out)
	}
	for _, n := range e.Notes {
		a.say("%s", n)
	}
	t := table{head: []string{"PHASE", ">TASKS", "STATE", "REASON", "EXAMPLE"}}
	for _, r := range e.Rows {
		example := ""
		if len(r.Examples) > 0 && !strings.Contains(r.Reason, r.Examples[0]) {
			example = r.Examples[0]
			if more := r.Tasks - 1; more > 0 {
				example += fmt.Sprintf(" and %s more", comma(more))
			}
		}
		t.add(r.Phase, comma(r.Tasks), string(r.State), r.Reason, example)
	}
	t.paint = func(row, column int, cell string) string {
		if column != 2 {
			return cell
		}
		return a.painted(stateColour(e.Rows[row].State), cell)
	}
	if err := t.write(a.out); err != nil || len(e.Keys) == 0 {
		return err
	}
	return a.printKeys(e)
}

// printKeys prints what the keys of a job's tasks have in common, beside what those of another job have, if
// anything differs.
func (a *app) printKeys(e mr.Explanation) error {
	keys := e.Keys
	t := table{head: []string{"", "COMPONENT", "VALUE"}}
	title := "what the keys of its tasks have in common"
	differs := slices.ContainsFunc(keys, func(k mr.KeyComponent) bool { return k.Differs })
	if differs {
		t.head = append(t.head, "EARLIER")
		title += ", and those of " + orElse(string(e.Vs), "the last job like it")
	}
	for _, k := range keys {
		row := []string{"", k.Name, k.Value}
		if k.Differs {
			row[0] = "≠"
		}
		if differs {
			row = append(row, "")
		}
		if k.Differs {
			row[3] = orElse(k.Earlier, "(none)")
		}
		t.add(row...)
	}
	t.paint = func(row, _ int, cell string) string {
		if !keys[row].Differs {
			return cell
		}
		return a.painted(yellow, cell)
	}
	if _, err := fmt.Fprintf(a.out, "\n%s:\n", title); err != nil {
		return writeError(err)
	}
	return t.write(a.out)
}
