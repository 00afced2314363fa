package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mrd-io/mr/internal/where"
	"github.com/mrd-io/mr/rpcsvc"
)

func (a *app) authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth COMMAND",
		Short: "Make the keys for a daemon on TCP",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.authInitCommand())
	return cmd
}

func (a *app) authInitCommand() *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use:   "init [--host HOST]...",
		Short: "Make keys for a daemon and its clients",
		Long: `Make keys for a daemon and its clients in the folder that --auth names. mrd and mrctl on this machine
find them by themselves; another machine needs a copy of the folder client in it, and --auth or MR_AUTH
to name that. Who holds these keys may run programs as the daemon's user.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := where.Store(a.store, a.env, a.dir)
			if err != nil {
				return err
			}
			keys, _ := where.Keys(a.auth, a.env, store, a.dir)
			if err := rpcsvc.InitAuth(keys, rpcsvc.AuthOptions{Hosts: hosts}); err != nil {
				return err
			}
			if a.json {
				return printJSON(a.out, struct {
					Keys string `json:"keys"`
				}{keys})
			}
			if a.outTerminal { // a script gets the path as it is
				keys = shown(keys)
			}
			_, err = fmt.Fprintln(a.out, keys)
			return writeError(err)
		},
	}
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "name or address `HOST` that clients will dial, besides the local ones; repeatable")
	return cmd
}
