package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage writes what stands below a command's description in its help: how to call it, its verbs and its
// flags.
func usage(cmd *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	verbs := func(title, group string) {
		var t table
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && c.GroupID == group {
				t.add(" ", c.Name(), c.Short)
			}
		}
		if len(t.rows) > 0 {
			t.head = make([]string, 3)
			fmt.Fprintf(&b, "\n%s\n", title)
			_ = t.write(&b) // a strings.Builder takes everything
		}
	}
	for _, g := range cmd.Groups() {
		verbs(g.Title, g.ID)
	}
	verbs("Commands:", "")
	flags := func(title string, fs *pflag.FlagSet) {
		if text := flagUsages(fs); text != "" {
			fmt.Fprintf(&b, "\n%s\n%s", title, text)
		}
	}
	flags("Flags:", cmd.LocalNonPersistentFlags())
	flags("Flags of every command:", cmd.Root().PersistentFlags())
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n'%s COMMAND --help' tells more of a command.\n", cmd.CommandPath())
	}
	_, err := io.WriteString(cmd.OutOrStdout(), b.String())
	return err
}

// flagUsages is pflag's list of flags in a shape of ours: no defaults that are nothing, and no
// [=true|false] after every switch.
func flagUsages(fs *pflag.FlagSet) string {
	t := table{head: make([]string, 2)}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		what, text := pflag.UnquoteUsage(f)
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		if f.NoOptDefVal == "" {
			name += " " + what
		}
		t.add(name, text)
	})
	var b strings.Builder
	if len(t.rows) > 0 {
		_ = t.write(&b) // a strings.Builder takes everything
	}
	return b.String()
}
