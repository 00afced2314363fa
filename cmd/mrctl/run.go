package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) runCommand() *cobra.Command {
	var r request
	var profile string
	cmd := &cobra.Command{
		Use:   "run JOB [JOB ARGS] --input PATTERN... --output DIR [FLAGS] [-- JOB FLAGS]",
		Short: "Run a job to its end, with progress",
		Long: `Run a job to its end. The daemon that serves the store runs it, if there is one, and this process
otherwise; what was computed is kept in the store either way.

JOB is a built-in (below), a Go package or file with an mr main (anything with a / in it), or a job
binary. Flags may stand anywhere. The flags of a built-in do, too; an author's own follow --.

Ctrl-C cancels the job; a second one leaves at once. Without a daemon the same line, after that or
after a crash, goes on with what was computed.
` + a.builtinHelp(),
		Example: `  mrctl run wordcount --letters --input books --output counts
  mrctl run grep 'timeout|refused' --input 'logs/**/*.gz' --output found
  mrctl run ./examples/wordstats --job top --input books --output top -- --n 20`,
		DisableFlagParsing: true, // see parseLine
		ValidArgsFunction:  a.completeLine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runJob(cmd, args, &r, &profile)
		},
	}
	r.jobFlags(cmd.Flags())
	cmd.Flags().StringVar(&profile, "profile", "", "write cpu.pprof and heap.pprof of this process to `DIR`")
	return cmd
}

// builtinHelp lists the jobs in the box with their flags.
func (a *app) builtinHelp() string {
	var b strings.Builder
	b.WriteString("\nBuilt-in jobs:\n")
	for _, j := range a.system.Builtins() {
		b.WriteString("  " + strings.ReplaceAll(strings.TrimSpace(j.Help()), "\n", "\n  ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func (a *app) runJob(cmd *cobra.Command, args []string, r *request, profile *string) error {
	b, helped, err := a.parse(cmd, args, r)
	if err != nil || helped {
		return err
	}
	return profiled(*profile, func() error { return a.runParsed(cmd.Context(), b, r) })
}

func (a *app) runParsed(ctx context.Context, b builtins, r *request) error {
	c, err := a.locate(ctx, b, r)
	if err != nil {
		return err
	}
	defer c.done()
	return a.with(ctx, toRun, a.nodeOptions(r), func(s *session) error {
		a.noteDaemon(s, r)
		spec, err := a.spec(s, r, c)
		if err != nil {
			return err
		}
		if r.dryRun {
			return a.dryRun(ctx, s, spec)
		}
		published, err := a.replaceStray(ctx, s, spec)
		if err != nil {
			return err
		}
		spec.Overwrite = spec.Overwrite || published
		job, err := a.submit(ctx, s, r.id(s), spec)
		if err != nil {
			return err
		}
		return a.finish(ctx, s, job, killJob)
	})
}

// finish follows a job to its end and reports it.
func (a *app) finish(ctx context.Context, s *session, job mr.JobID, interrupt onInterrupt) error {
	status, err := a.follow(ctx, s, job, interrupt)
	if status.State.Done() {
		if err := a.report(status); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return outcome(status)
}

func (a *app) dryRun(ctx context.Context, s *session, spec mr.Spec) error {
	e, err := s.DryRun(ctx, spec)
	if err != nil {
		return err
	}
	return a.printExplanation(e)
}

// id is the submission's: the one typed, or a new one.
func (r *request) id(s *session) mr.SubmitID {
	switch {
	case r.submitID != "":
		return mr.SubmitID(r.submitID)
	case s.daemon == "":
		return ownPrefix + newSubmitID(time.Now())
	}
	return newSubmitID(time.Now())
}

// ownPrefix begins the ids of what mrctl run submits to the engine in its own process.
const ownPrefix = "own_"

// replaceStray cancels a job that writes to output and has nobody left: an earlier mrctl run's,
// whose process, which was the engine, too, has been killed. The job that is about to be
// submitted uses what it has computed. Jobs of a daemon stay: it goes on with them. A stray that was
// publishing can't be cancelled any more: its output, which nobody was told of, is then published,
// and to be replaced. What another run has published before this one had the store stays: somebody was told.
func (a *app) replaceStray(ctx context.Context, s *session, spec mr.Spec) (published bool, err error) {
	if s.daemon != "" {
		return false, nil
	}
	stray := func(j mr.Status) bool {
		return j.Output == spec.Output && strings.HasPrefix(string(j.Submit), ownPrefix)
	}
	jobs, err := s.List(ctx, false)
	if err != nil {
		return false, err
	}
	for _, j := range jobs {
		if !stray(j) {
			continue
		}
		if !a.quiet {
			a.say("job %s, which was interrupted, gives way; what it has computed is used", j.Job)
		}
		if err := s.Kill(ctx, j.Job); err != nil {
			return false, fmt.Errorf("cancelling job %s, which was interrupted: %w", j.Job, err)
		}
		end, err := s.Status(ctx, j.Job)
		if err != nil {
			return false, err
		}
		published = published || end.State == mr.Succeeded
	}
	if published || spec.Overwrite || !exists(spec.Output) {
		return published, nil
	}
	if jobs, err = s.List(ctx, true); err != nil { // it may have ended since the store is this process's
		return false, err
	}
	return slices.ContainsFunc(jobs, func(j mr.Status) bool {
		return stray(j) && j.State == mr.Succeeded && j.Ended.After(s.node.Opened())
	}), nil
}

func (a *app) nodeOptions(r *request) nodeOptions {
	o := nodeOptions{Idle: r.dryRun, Workers: r.workers, Memory: r.memory, Logger: slog.New(warnings{w: a.err})}
	if !r.dryRun { // which evicts nothing
		o.Cache = r.cacheSize
	}
	return o
}

// noteDaemon says so when flags of the engine do nothing, since the daemon has settings of its own.
func (a *app) noteDaemon(s *session, r *request) {
	if s.daemon == "" || a.quiet {
		return
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"--workers", r.workers != 0}, {"--memory", r.memory != 0}, {"--cache-size", r.cacheSize != 0}} {
		if f.set {
			a.say("%s has no effect here: the daemon at %s runs the job, with its own", f.name, s.daemon)
		}
	}
}

// printID prints a job's id on stdout: all that submit prints there.
func (a *app) printID(job mr.JobID) error {
	_, err := fmt.Fprintln(a.out, job)
	return writeError(err)
}
