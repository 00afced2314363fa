package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/exit"
)

// app is one invocation of mrctl.
type app struct {
	out                      io.Writer
	err                      *notes
	outTerminal, errTerminal bool
	errBar                   bool       // stderr has room for a bar: some terminals, such as serial lines, don't say how large they are
	outWidth                 func() int // columns, of a terminal
	env                      func(string) string
	dir                      string // what relative paths are relative to
	system                   system

	// The flags that every verb has.
	json, quiet bool
	store, addr string
	auth        string
}

// main runs the line args to its end, says what went wrong, and returns the exit status.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	help := &helpWriter{w: a.out}
	root.SetOut(help)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = writeError(help.err)
	}
	if err != nil {
		if _, ours := errors.AsType[*mr.Error](err); !ours && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			err = usageError(root, err)
		}
		a.say("%s", message(err))
	}
	return exit.Status(err)
}

// helpWriter writes help, and keeps the error: cobra passes over it.
type helpWriter struct {
	w   io.Writer
	err error
}

func (h *helpWriter) Write(b []byte) (n int, err error) {
	if h.err == nil {
		_, h.err = h.w.Write(b)
	}
	return len(b), nil
}

// say writes one message of mrctl's own to stderr.
func (a *app) say(format string, args ...any) {
	a.tell(plain, fmt.Sprintf(format, args...))
}

// tell is say for a text as it is, in a colour.
func (a *app) tell(colour, text string) {
	text = shownText(strings.TrimRight(text, "\n"))
	if colour != plain && a.errTerminal && a.env("NO_COLOR") == "" {
		text = colour + text + plain
	}
	// A failed write to stderr has nobody left to be told to.
	_, _ = fmt.Fprintf(a.err, "mrctl: %s\n", text)
}

// colour reports whether text on stdout may be coloured.
func (a *app) colour() bool {
	return a.outTerminal && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mrctl COMMAND",
		Short: "Run MapReduce jobs that compute only what changed",
		Long: `mrctl runs MapReduce jobs on this machine and keeps what they computed: a rerun costs what changed.
It talks to the daemon mrd if one serves the store, and otherwise runs the engine itself.`,
		Example: `  mrctl run wordcount --input 'logs/**/*.txt' --output counts
  mrctl run ./examples/wordstats --job top --input books --output top -- --n 20
  mrctl explain last`,
		SilenceErrors: true,
		SilenceUsage:  true,

		DisableFlagsInUseLine: true,
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:                  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print one JSON object on stdout")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no summary")
	flags.StringVar(&a.store, "store", "", "folder `DIR` of the store (default $MR_STORE, else ~/.local/state/mr)")
	flags.StringVar(&a.addr, "addr", "", "address `ADDR` of the daemon (default $MR_ADDR, else the socket in the store)")
	flags.StringVar(&a.auth, "auth", "", "folder `DIR` of the keys for TCP (default $MR_AUTH, else auth in the store)")
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Hidden: true, // --help is what the messages tell of
		RunE: func(_ *cobra.Command, args []string) error {
			of, rest, err := root.Find(args)
			if err == nil {
				err = noArgs(of, rest)
			}
			if err != nil {
				return err
			}
			return of.Help()
		},
	})
	jobs := &cobra.Group{ID: "jobs", Title: "Jobs:"}
	why := &cobra.Group{ID: "why", Title: "What was computed, and why:"}
	rest := &cobra.Group{ID: "rest", Title: "Others:"}
	root.AddGroup(jobs, why, rest)
	add := func(group *cobra.Group, verbs ...*cobra.Command) {
		for _, v := range verbs {
			v.GroupID, v.DisableFlagsInUseLine = group.ID, true
			root.AddCommand(v)
		}
	}
	add(jobs, a.runCommand(), a.submitCommand(), a.statusCommand(), a.waitCommand(), a.listCommand(), a.killCommand(), a.logsCommand(), a.countersCommand())
	add(why, a.explainCommand(), a.lineageCommand(), a.impactCommand(), a.verifyCommand(), a.diffCommand(), a.cacheCommand())
	add(rest, a.workersCommand(), a.timeCommand(), a.storeCommand(), a.authCommand(), a.versionCommand(), a.completionCommand())
	return root
}

// usageError makes cobra's and pflag's complaints ours: of kind Usage, in one paragraph, with a
// suggestion and the way to help.
func usageError(cmd *cobra.Command, err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := e.GetSpecifiedName()
		return unknownFlag(cmd.CommandPath(), "--"+name, name, flagNames(cmd.Flags()))
	}
	return mr.Errorf(mr.Usage, "%s; see '%s --help'", text, cmd.CommandPath())
}

func unknownFlag(command, typed, name string, names []string) error {
	return mr.Errorf(mr.Usage, "there is no flag %s%s; '%s --help' lists them", typed, dashed(didYouMean(name, names)), command)
}

// dashed makes a suggestion of a flag's name one of the flag as it is typed.
func dashed(suggestion string) string {
	return strings.Replace(suggestion, "did you mean ", "did you mean --", 1)
}

func flagNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}

// noArgs, oneArg and someArgs count a verb's arguments; what names them in the message.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		var names []string
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		return mr.Errorf(mr.Usage, "there is no command '%s %s'%s; '%s --help' lists them", cmd.CommandPath(), args[0], didYouMean(args[0], names), cmd.CommandPath())
	}
	return mr.Errorf(mr.Usage, "%s takes no argument, and got %q", cmd.CommandPath(), args[0])
}

func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 1:
			return nil
		case 0:
			return mr.Errorf(mr.Usage, "%s needs %s", cmd.CommandPath(), what)
		default:
			return mr.Errorf(mr.Usage, "%s takes %s and nothing more, and got %q too", cmd.CommandPath(), what, args[1])
		}
	}
}
