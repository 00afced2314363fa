package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

// timeSource is a daemon's time service.
type timeSource interface {
	clock.Exchanger
	io.Closer
}

// exchanges are enough that one of them meets no queue, and few enough not to be waited for.
const exchanges = 16

func (a *app) timeCommand() *cobra.Command {
	var watch bool
	var check time.Duration
	cmd := &cobra.Command{
		Use:   "time",
		Short: "Compare this machine's clock with the daemon's",
		Long: `Compare this machine's clock with the daemon's, by Cristian's algorithm: the offset with the bound that
the exchanges prove, never a guess.

With --check the exit status is 1 unless the offset is proven to be within DURATION either way.`,
		Example: `  mrctl time
  mrctl time --watch
  mrctl time --check 5ms --addr tcp:master:7070`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check < 0 || cmd.Flags().Changed("check") && check == 0 {
				return mr.Errorf(mr.Usage, "--check %v: the most that the clocks may differ is more than nothing", check)
			}
			return a.withClock(cmd.Context(), func(c *clock.Clock, addr string) error {
				if watch {
					return a.watchTime(cmd.Context(), c, addr)
				}
				if err := c.Sync(cmd.Context(), exchanges); err != nil {
					return clockError(cmd.Context(), addr, err)
				}
				r := c.Report()
				if err := a.printTime(addr, r); err != nil {
					return err
				}
				return checkTime(r, check)
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on, and show it live until Ctrl-C")
	cmd.Flags().DurationVar(&check, "check", 0, "exit 1 unless the clocks differ by less than `DURATION`, such as 5ms")
	cmd.MarkFlagsMutuallyExclusive("watch", "check")
	return cmd
}

func (a *app) withClock(ctx context.Context, f func(c *clock.Clock, addr string) error) error {
	to, err := a.target()
	if err != nil {
		return err
	}
	if !to.mayAnswer() {
		return mr.Errorf(mr.Unreachable, "no daemon serves %s to ask for its time; start one with 'mrd --store %s', or name one with --addr", to.store, to.store)
	}
	x, err := dialled(ctx, to, a.system.Time)
	if err != nil {
		return err
	}
	err = f(clock.New(x, clock.Options{}), to.addr)
	if closeErr := x.Close(); err == nil {
		err = closeErr
	}
	return err
}

func clockError(ctx context.Context, addr string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return mr.Errorf(mr.Unreachable, "the time of %s: %w", addr, err)
}

// checkTime fails unless r proves that the clocks differ by less than most; 0 asks for nothing.
func checkTime(r clock.Report, most time.Duration) error {
	switch worst := r.Offset.Abs() + r.Bound; {
	case most == 0:
	case r.Master.IsZero():
		return mr.Errorf(mr.Failed, "the clocks cannot be compared: %s", join(r.State.String(), r.LastAlarm))
	case worst > most:
		return mr.Errorf(mr.Failed, "the clocks differ by %s: up to %s, and --check allows %s", offsetWords(r), boundWords(worst), most)
	}
	return nil
}

// watchTime shows the clock once a second, on a terminal in place, until ctx ends. With --json each
// moment is an object of its own.
func (a *app) watchTime(ctx context.Context, c *clock.Clock, addr string) error {
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- c.Run(running) }()
	defer func() {
		stop()
		<-done //nolint:errcheck // nil, when running ends
	}()
	before, after := "", "\n"
	if a.outTerminal && !a.json {
		before, after = "\r\x1b[K", ""
		defer fmt.Fprintln(a.out)
	}
	for pause := 200 * time.Millisecond; sleep(ctx, pause); pause = time.Second {
		r := c.Report()
		if a.json {
			if err := a.printTime(addr, r); err != nil {
				return err
			}
			continue
		}
		line := shown(timeLine(r))
		if before != "" {
			line = cut(line, a.outWidth()-1) // a line that wraps could not be drawn over
		}
		if _, err := fmt.Fprintf(a.out, "%s%s%s", before, line, after); err != nil {
			return writeError(err)
		}
	}
	return nil // Ctrl-C is how it is meant to end
}

func timeLine(r clock.Report) string {
	if r.Master.IsZero() {
		return join(r.State.String(), r.LastAlarm)
	}
	return join(r.State.String(), "offset "+offsetWords(r), "round trip "+shortTime(r.RTTMin)+" to "+shortTime(r.RTTMedian), driftWords(r),
		fmt.Sprintf("%s used, %s refused", comma(r.Used), comma(r.Refused)))
}

type timeJSON struct {
	Addr string `json:"addr"`
	clock.Report
}

func (a *app) printTime(addr string, r clock.Report) error {
	if a.json {
		return printJSON(a.out, timeJSON{addr, r})
	}
	var b strings.Builder
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %s %s\n", a.painted(dim, fmt.Sprintf("%-10s", name)), shown(text))
		}
	}
	row("master", r.Master.UTC().Format("2006-01-02 15:04:05.000000 UTC"))
	row("offset", offsetWords(r))
	row("round trip", fmt.Sprintf("%s at least, %s mostly", shortTime(r.RTTMin), shortTime(r.RTTMedian)))
	row("drift", driftWords(r))
	row("age", shortTime(r.Age))
	row("samples", fmt.Sprintf("%s used, %s to warm up, %s refused", comma(r.Used), comma(r.Warmup), comma(r.Refused)))
	for _, f := range r.Refusals {
		row("", fmt.Sprintf("%s: %s", comma(f.N), f.Reason))
	}
	row("alarm", r.LastAlarm)
	row("state", r.State.String())
	_, err := io.WriteString(a.out, b.String())
	return writeError(err)
}

// offsetWords is what the daemon's clock is ahead, and how sure that is. The offset has the digits that
// the bound is worth, and the bound makes up for what was rounded: what is printed is as true as r.
func offsetWords(r clock.Report) string {
	sign := "+"
	if r.Offset < 0 {
		sign = "-"
	}
	offset := r.Offset.Round(min(digit(r.Offset.Abs(), 3), digit(r.Bound, 2)))
	return fmt.Sprintf("%s%s ± %s", sign, plainTime(offset.Abs()), boundWords(r.Bound+(offset-r.Offset).Abs()))
}

// boundWords is a bound to three digits, rounded up.
func boundWords(d time.Duration) string {
	step := digit(d, 3)
	return plainTime((d + step - 1) / step * step)
}

// digit is the size of the n-th digit of d, and no less than a nanosecond.
func digit(d time.Duration, n int) time.Duration {
	step := time.Duration(1)
	for ; d/10 >= step; step *= 10 {
	}
	for ; n > 1 && step > 1; n-- {
		step /= 10
	}
	return step
}

// driftWords is empty while too little time went by for the drift to be known to within reason.
func driftWords(r clock.Report) string {
	if r.DriftErr == 0 || r.DriftErr > 1000 {
		return ""
	}
	return fmt.Sprintf("drift %+.1f ± %.1f ppm", r.Drift, r.DriftErr)
}

// shortTime is d to three digits, down to nanoseconds.
func shortTime(d time.Duration) string { return plainTime(d.Round(digit(d, 3))) }

// plainTime is d with all its digits, in the largest unit that it has one of.
func plainTime(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d >= unit.size {
			return strconv.FormatFloat(float64(d)/float64(unit.size), 'f', -1, 64) + " " + unit.name
		}
	}
	return fmt.Sprintf("%d ns", d.Nanoseconds())
}
