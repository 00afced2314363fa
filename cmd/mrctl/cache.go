package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache COMMAND",
		Short: "Look at what the store keeps for later jobs",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.cacheStatsCommand())
	return cmd
}

type cacheJSON struct {
	Outputs      int     `json:"outputs"`
	Runs         int     `json:"runs"`
	RunBytes     int64   `json:"run_bytes"`
	CatalogBytes int64   `json:"catalog_bytes"`
	VolumeBytes  int64   `json:"volume_bytes"`
	Volumes      int     `json:"volumes"`
	Hits         int64   `json:"hits"`
	Misses       int64   `json:"misses"`
	SavedSeconds float64 `json:"saved_seconds"`
}

func (a *app) cacheStatsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Say what the store holds and what it saved",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), toRead, nodeOptions{}, func(s *session) error {
				return a.printCacheStats(cmd.Context(), s)
			})
		},
	}
}

func (a *app) printCacheStats(ctx context.Context, s *session) error {
	c, err := s.CacheStats(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, cacheJSON(c))
	}
	_, err = io.WriteString(a.out, cacheText(c))
	return writeError(err)
}

func cacheText(c mr.CacheStats) string {
	var b strings.Builder
	row := func(name, text string) { fmt.Fprintf(&b, "  %-8s %s\n", name, text) }
	row("outputs", join(comma(c.Outputs)+" of map and reduce tasks", plural(c.Runs, "run"), bytesOf(c.RunBytes)))
	row("on disk", join(bytesOf(c.VolumeBytes)+" in "+plural(c.Volumes, "volume"), bytesOf(c.CatalogBytes)+" of catalog"))
	rate := "no look-up yet"
	if n := c.Hits + c.Misses; n > 0 {
		rate = fmt.Sprintf("%s of %s, %.0f%%", comma(c.Hits), plural(int(n), "look-up"), 100*float64(c.Hits)/float64(n))
	}
	row("hits", rate)
	row("saved", orElse(seconds(c.SavedSeconds), "0 s")+" of CPU")
	return b.String()
}
