package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/size"
)

func (a *app) cacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache COMMAND",
		Short: "Look at and look after what the store keeps for later jobs",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(a.cacheStatsCommand(), a.cacheVerifyCommand(), a.cacheInvalidateCommand(), a.cachePinCommand(true), a.cachePinCommand(false), a.cacheGCCommand())
	return cmd
}

// cache is the session's engine as the keeper of its cache.
func (s *session) cache() (mr.Cache, error) {
	if c, ok := s.Jobs.(mr.Cache); ok {
		return c, nil
	}
	return nil, mr.Errorf(mr.Usage, "the engine at %s does not manage its cache; restart it with the present mrd", orElse(s.daemon, "hand"))
}

// withCache opens a session that may change the store, without running what is left unfinished there.
func (a *app) withCache(ctx context.Context, f func(mr.Cache, *session) error) error {
	return a.with(ctx, toChange, nodeOptions{Idle: true}, func(s *session) error {
		c, err := s.cache()
		if err != nil {
			return err
		}
		return f(c, s)
	})
}

type cacheJSON struct {
	Outputs      int            `json:"outputs"`
	Runs         int            `json:"runs"`
	RunBytes     int64          `json:"run_bytes"`
	CatalogBytes int64          `json:"catalog_bytes"`
	VolumeBytes  int64          `json:"volume_bytes"`
	Volumes      int            `json:"volumes"`
	Hits         int64          `json:"hits"`
	Misses       int64          `json:"misses"`
	SavedSeconds float64        `json:"saved_seconds"`
	Limit        int64          `json:"limit"`
	Disk         int64          `json:"disk"`
	Held         int64          `json:"held"`
	Pinned       int64          `json:"pinned"`
	Evicted      int            `json:"evicted"`
	Lost         int            `json:"lost"`
	Binaries     int            `json:"binaries"`
	BinaryBytes  int64          `json:"binary_bytes"`
	Jobs         []cacheJobJSON `json:"jobs"`
	Pins         []cachePinJSON `json:"pins"`
}

type cacheJobJSON struct {
	Name         string  `json:"name"`
	Outputs      int     `json:"outputs"`
	Runs         int     `json:"runs"`
	Bytes        int64   `json:"bytes"`
	Hits         int64   `json:"hits"`
	Misses       int64   `json:"misses"`
	SavedSeconds float64 `json:"saved_seconds"`
}

type cachePinJSON struct {
	Job    mr.JobID  `json:"job"`
	Name   string    `json:"name"`
	Output string    `json:"output"`
	At     time.Time `json:"at"`
	Bytes  int64     `json:"bytes"`
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
	var r mr.CacheReport
	c, err := s.cache()
	if err == nil {
		r, err = c.CacheReport(ctx)
	} else {
		r.Stats, err = s.CacheStats(ctx)
	}
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, cacheToJSON(r))
	}
	if _, err := io.WriteString(a.out, cacheText(r)); err != nil {
		return writeError(err)
	}
	return a.printCacheJobs(r)
}

func cacheToJSON(r mr.CacheReport) cacheJSON {
	c := r.Stats
	out := cacheJSON{
		Outputs: c.Outputs, Runs: c.Runs, RunBytes: c.RunBytes, CatalogBytes: c.CatalogBytes, VolumeBytes: c.VolumeBytes,
		Volumes: c.Volumes, Hits: c.Hits, Misses: c.Misses, SavedSeconds: c.SavedSeconds,
		Limit: r.Limit, Disk: r.Disk, Held: r.Held, Pinned: r.Pinned, Evicted: r.Evicted, Lost: r.Lost, Binaries: r.Binaries, BinaryBytes: r.BinaryBytes,
		Jobs: []cacheJobJSON{}, Pins: []cachePinJSON{},
	}
	for _, j := range r.Jobs {
		out.Jobs = append(out.Jobs, cacheJobJSON(j))
	}
	for _, p := range r.Pins {
		out.Pins = append(out.Pins, cachePinJSON(p))
	}
	return out
}

func cacheText(r mr.CacheReport) string {
	c := r.Stats
	var b strings.Builder
	row := func(name, text string) { fmt.Fprintf(&b, "  %-8s %s\n", name, shown(text)) }
	row("outputs", join(comma(c.Outputs)+" of map and reduce tasks", plural(c.Runs, "run"), bytesOf(c.RunBytes)))
	if r.Evicted+r.Lost > 0 {
		row("gone", join(comma(r.Evicted)+" evicted", comma(r.Lost)+" lost"))
	}
	row("on disk", join(bytesOf(c.VolumeBytes)+" in "+plural(c.Volumes, "volume"), bytesOf(c.CatalogBytes)+" of catalog"))
	if r.Binaries > 0 {
		row("binaries", join(comma(r.Binaries)+" of jobs' code", bytesOf(r.BinaryBytes)))
	}
	if r.Limit > 0 {
		row("bound", fmt.Sprintf("%s, %.0f%% of it taken", bytesOf(r.Limit), 100*float64(r.Disk)/float64(r.Limit)))
	}
	if r.Held > 0 {
		row("in use", bytesOf(r.Held)+" by jobs under way")
	}
	rate := "no look-up yet"
	if n := c.Hits + c.Misses; n > 0 {
		rate = fmt.Sprintf("%s of %s, %.0f%%", comma(c.Hits), plural(int(n), "look-up"), 100*float64(c.Hits)/float64(n))
	}
	row("hits", rate)
	row("saved", orElse(seconds(c.SavedSeconds), "0 s")+" of CPU")
	for _, p := range r.Pins {
		row("pinned", join(string(p.Job), p.Name, p.Output, bytesOf(p.Bytes)))
	}
	return b.String()
}

// mostCacheJobs is how many names of jobs the text has room for; --json has all.
const mostCacheJobs = 10

func (a *app) printCacheJobs(r mr.CacheReport) error {
	if len(r.Jobs) == 0 {
		return nil
	}
	t := table{head: []string{"JOB", ">OUTPUTS", ">STORED", ">BYTES", ">HITS", ">SAVED CPU"}}
	for _, j := range r.Jobs[:min(len(r.Jobs), mostCacheJobs)] {
		rate := "-"
		if n := j.Hits + j.Misses; n > 0 {
			rate = fmt.Sprintf("%.0f%%", 100*float64(j.Hits)/float64(n))
		}
		t.add(j.Name, comma(j.Outputs), comma(j.Runs), bytesOf(j.Bytes), rate, orElse(seconds(j.SavedSeconds), "0 s"))
	}
	if _, err := fmt.Fprintln(a.out); err != nil {
		return writeError(err)
	}
	return t.write(a.out)
}

type verdictJSON struct {
	Runs    int           `json:"runs"`
	Bytes   int64         `json:"bytes"`
	Damaged []damagedJSON `json:"damaged"`
}

type damagedJSON struct {
	Task      string   `json:"task"`
	Job       mr.JobID `json:"job"`
	Name      string   `json:"name"`
	Why       string   `json:"why"`
	Forgotten bool     `json:"forgotten"`
}

func (a *app) cacheVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read every stored run, and check its checksums and digests",
		Long: `Read every stored run, and check its checksums and digests. What is damaged is forgotten: the next job that
wants it computes it again. The exit status is 1 if something was damaged.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCache(cmd.Context(), func(c mr.Cache, _ *session) error {
				v, err := c.CacheVerify(cmd.Context())
				if err != nil {
					return err
				}
				return a.printVerdict(v)
			})
		},
	}
}

func (a *app) printVerdict(v mr.CacheVerdict) error {
	out := verdictJSON{Runs: v.Runs, Bytes: v.Bytes, Damaged: []damagedJSON{}}
	for _, d := range v.Damaged {
		out.Damaged = append(out.Damaged, damagedJSON(d))
		if !a.json {
			what := "left as it is"
			if d.Forgotten {
				what = "will be computed again"
			}
			if _, err := fmt.Fprintf(a.out, "%s of %s (%s): %s; %s\n", d.Task, d.Job, shown(orElse(d.Name, "a job no longer on record")), shown(d.Why), what); err != nil {
				return writeError(err)
			}
		}
	}
	if a.json {
		if err := printJSON(a.out, out); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(a.out, "%s read, %s; %s damaged\n", plural(v.Runs, "run"), bytesOf(v.Bytes), comma(len(v.Damaged))); err != nil {
		return writeError(err)
	}
	if n := len(v.Damaged); n > 0 {
		return mr.Errorf(mr.Failed, "%s damaged", plural(n, "stored output")+map[bool]string{true: " was", false: " were"}[n == 1])
	}
	return nil
}

func (a *app) cacheInvalidateCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "invalidate JOB | --all",
		Short: "Never use the outputs of a job again",
		Long: `Never use the outputs of a job again: they are computed anew when a job wants them. JOB is the id of a job, or
'last', or the name of jobs, such as wordcount, which means all of that name.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return noArgs(cmd, args)
			}
			return oneArg("the id or the name of a JOB, or --all")(cmd, args)
		},
		ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withCache(ctx, func(c mr.Cache, s *session) error {
				job := ""
				if !all {
					var err error
					if job, err = jobOrName(ctx, s, args[0]); err != nil {
						return err
					}
				}
				f, err := c.CacheInvalidate(ctx, job)
				if err != nil {
					return err
				}
				return a.printFreed("invalidated", f)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the outputs of all jobs")
	return cmd
}

// jobOrName is the id of the job that was typed, or, if there is none, the name typed.
func jobOrName(ctx context.Context, s *session, typed string) (string, error) {
	jobs, err := s.List(ctx, true)
	if err != nil {
		return "", err
	}
	for _, j := range jobs {
		if j.Name == typed {
			return typed, nil
		}
	}
	id, err := jobID(ctx, s, typed)
	return string(id), err
}

func (a *app) cachePinCommand(pin bool) *cobra.Command {
	use, short := "pin", "Keep the outputs of a job, however full the store gets"
	if !pin {
		use, short = "unpin", "Let go of the outputs of a job that was pinned"
	}
	return &cobra.Command{
		Use: use + " OUTPUT|JOB", Short: short,
		Args: oneArg("an OUTPUT folder, or the id of a JOB"), ValidArgsFunction: a.completeJob,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withCache(ctx, func(c mr.Cache, s *session) error {
				what := a.abs(args[0])
				if !exists(what) {
					id, err := jobID(ctx, s, args[0])
					if err != nil {
						return err
					}
					what = string(id)
				}
				p, err := c.CachePin(ctx, what, pin)
				if err != nil {
					return err
				}
				if a.json {
					return printJSON(a.out, cachePinJSON(p))
				}
				_, err = fmt.Fprintf(a.out, "%sned %s (%s, %s): %s\n", use, p.Job, shown(p.Name), shown(a.relative(p.Output)), bytesOf(p.Bytes))
				return writeError(err)
			})
		},
	}
}

func (a *app) cacheGCCommand() *cobra.Command {
	var req mr.CacheGC
	cmd := &cobra.Command{
		Use:   "gc [--dry-run] [--cache-size SIZE]",
		Short: "Give back what need not be kept",
		Long: `Give back what need not be kept: outputs beyond the bound of the store, those that save least for their bytes
first; garbage; and the records of jobs that ended more than 30 days ago. Outputs of jobs under way and pinned ones stay.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withCache(cmd.Context(), func(c mr.Cache, _ *session) error {
				f, err := c.CacheGC(cmd.Context(), req)
				if err != nil {
					return err
				}
				if req.DryRun {
					return a.printFreed("would evict", f)
				}
				return a.printFreed("evicted", f)
			})
		},
	}
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what would go, and leave it")
	cmd.Flags().Var(size.Value{N: &req.Limit}, "cache-size", "bring the store down to this size (default: the bound of its daemon; without one, a fifth of what is free and what it has)")
	return cmd
}

type freedJSON struct {
	Outputs int     `json:"outputs"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Disk    int64   `json:"disk"`
	Jobs    int     `json:"jobs"`
	InUse   int     `json:"in_use"`

	Binaries int `json:"binaries"`
}

func (a *app) printFreed(verb string, f mr.CacheFreed) error {
	if a.json {
		return printJSON(a.out, freedJSON(f))
	}
	words := []string{fmt.Sprintf("%s %s", verb, plural(f.Outputs, "output"))}
	if f.Outputs > 0 {
		words = append(words, bytesOf(f.Bytes), orElse(seconds(f.Seconds), "0 s")+" of CPU to compute again")
	}
	if f.Disk > 0 {
		words = append(words, bytesOf(f.Disk)+" of disk freed")
	}
	if f.Jobs > 0 {
		words = append(words, plural(f.Jobs, "old job")+" off the record")
	}
	if f.Binaries > 0 {
		words = append(words, comma(f.Binaries)+" job binaries")
	}
	if f.InUse > 0 {
		words = append(words, comma(f.InUse)+" in use until their jobs end")
	}
	_, err := fmt.Fprintln(a.out, join(words...))
	return writeError(err)
}
