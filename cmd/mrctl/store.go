package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/local"
	"github.com/mrd-io/mr/internal/where"
)

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store COMMAND",
		Short: "Mend a store whose catalog is damaged",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.storeRestoreCommand())
	return cmd
}

type restoredJSON struct {
	Store string     `json:"store"`
	Taken time.Time  `json:"taken"`
	Kept  string     `json:"kept"`
	Ended []mr.JobID `json:"ended"`
}

func (a *app) storeRestoreCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "restore [--force]",
		Short: "Put the last snapshot of the catalog in its place",
		Long: `Put the last snapshot of a store's catalog in the place of the catalog, which is kept under another
name. The daemon must not run. Snapshots are made by the daemon, each day and when it is stopped.

What is lost: the jobs since the snapshot are not on record any more (their output folders are not
touched), and what they left in the store is computed again when it is needed. Jobs that had not
ended at the snapshot are marked as failed. What the store has thrown away since is found missing when
it is read, and computed again.

A catalog in which no damage is found is newer than the snapshot, and is left in its place, unless --force.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := where.Store(a.store, a.env, a.dir)
			if err != nil {
				return err
			}
			r, err := local.Restore(dir, force, time.Now())
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(a.out, restoredJSON{Store: dir, Taken: r.Taken, Kept: r.Kept, Ended: append([]mr.JobID{}, r.Ended...)})
			}
			_, err = fmt.Fprintf(a.out, "store %s has its catalog of %s again\n", shown(dir), r.Taken.Format(time.DateTime))
			if err == nil && r.Kept != "" {
				was := "the damaged one"
				if force {
					was = "the one before"
				}
				_, err = fmt.Fprintf(a.out, "%s is %s\n", was, shown(r.Kept))
			}
			for _, id := range r.Ended {
				if err == nil {
					_, err = fmt.Fprintf(a.out, "%s had not ended then and is marked as failed\n", id)
				}
			}
			if err == nil {
				_, err = fmt.Fprintln(a.out, "jobs since then are not on record; their outputs are not touched")
			}
			return writeError(err)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also where no damage is found in the catalog, or it can't be read for now")
	return cmd
}
