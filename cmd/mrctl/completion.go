package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a shell's completion script",
		Long: `Print the completion script of bash, zsh, fish or powershell. For this shell alone:

  source <(mrctl completion bash)`,
		Args:      oneArg("a SHELL: bash, zsh, fish or powershell"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return writeError(root.GenBashCompletionV2(a.out, true))
			case "zsh":
				return writeError(root.GenZshCompletion(a.out))
			case "fish":
				return writeError(root.GenFishCompletion(a.out, true))
			case "powershell":
				return writeError(root.GenPowerShellCompletionWithDesc(a.out))
			default:
				return mr.Errorf(mr.Usage, "there is no completion for %q%s; use bash, zsh, fish or powershell", args[0], didYouMean(args[0], shells))
			}
		},
	}
}

// completeLine completes run's and submit's words: a built-in's name or a path for JOB, the built-in's
// flags, and values of flags. cobra adds mrctl's own flags.
func (a *app) completeLine(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	b := builtins{jobs: a.system.Builtins(), dir: a.dir}
	if len(args) > 0 {
		switch strings.TrimLeft(args[len(args)-1], "-") {
		case "input-format":
			return []string{"text", "fixed:", "whole"}, cobra.ShellCompDirectiveNoFileComp
		case "output-format":
			return []string{"text", "raw", "jsonl"}, cobra.ShellCompDirectiveNoFileComp
		case "input", "output", "i", "o", "store":
			return nil, cobra.ShellCompDirectiveDefault
		}
	}
	l, err := parseLine(cmd.CommandPath(), args, cmd.Flags(), b)
	switch {
	case err != nil:
		return nil, cobra.ShellCompDirectiveDefault
	case strings.HasPrefix(word, "-"):
		var flags []string
		for _, name := range b.flagNames(l.job) {
			flags = append(flags, "--"+name)
		}
		return flags, cobra.ShellCompDirectiveNoFileComp
	case l.job == "":
		return b.names(), cobra.ShellCompDirectiveDefault
	default:
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// completeJob completes a job's id, newest first.
func (a *app) completeJob(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ids := []string{"last"}
	// A completion that fails has nothing to offer, and nowhere to say why.
	_ = a.with(cmd.Context(), toRead, nodeOptions{}, func(s *session) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		jobs, err := s.List(ctx, true)
		for i := len(jobs) - 1; i >= 0; i-- {
			ids = append(ids, string(jobs[i].Job)+"\t"+jobs[i].Name+" "+string(jobs[i].State))
		}
		return err
	})
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
