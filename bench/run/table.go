package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// entry is a row with what it found.
type entry struct {
	row
	finding
	err error
}

// report writes the table, and below it every contestant's figures.
func (l *lab) report(ctx context.Context, w io.Writer, entries []entry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Begun %s on %s; mr %s.\n\n", l.began.Format("2006-01-02 15:04 MST"), l.machine, commit(ctx, l.root))
	fmt.Fprintf(&b, "Text: profile %s. %d rounds, %d of the long ones; contestants in turn, medians, warm page cache, `sync` before each run.\n\n", l.profile, l.rounds, l.bigRounds)
	b.WriteString("| work | mr | against | aim | reached |\n|---|---|---|---|---|\n")
	for i := range entries {
		e := &entries[i]
		if e.err != nil {
			fmt.Fprintf(&b, "| %s | failed: %s | | %s | no |\n", e.work(l), cell(e.err.Error()), e.aim)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", e.work(l), e.oursCell(), strings.Join(e.ratios, "<br>"), e.aim, orDash(e.reached))
	}
	b.WriteString("\n`N × NAME`: so many times as fast as NAME. Every contestant's figures:\n\n")
	b.WriteString("| work | contestant | median | fastest–slowest | MB/s | CPU | peak RSS | of which |\n|---|---|---|---|---|---|---|---|\n")
	for i := range entries {
		for j := range entries[i].outcomes {
			writeOutcome(&b, &entries[i], &entries[i].outcomes[j])
		}
	}
	b.WriteString("\nCommands:\n\n")
	for i := range entries {
		for _, o := range entries[i].outcomes {
			if o.command != "" {
				fmt.Fprintf(&b, "- %s, %s: `` %s ``\n", entries[i].key, o.name, strings.Join(strings.Fields(o.command), " "))
			}
		}
	}
	b.WriteString("\nVersions: " + l.tools.String() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func orDash(v verdict) verdict {
	if v == "" {
		return unknown
	}
	return v
}

// oursCell is the table's second cell.
func (e *entry) oursCell() string {
	if len(e.outcomes) == 0 {
		return e.ours
	}
	s := e.outcomes[0].series
	if e.key == "growth" {
		return e.ours
	}
	text := secondsText(s.seconds())
	if e.bytes > 0 {
		text += fmt.Sprintf(", %.0f MB/s", float64(e.bytes)/1e6/s.seconds())
	}
	text += ", " + bytesText(s.peak())
	if e.ours != "" {
		text += "<br>" + e.ours
	}
	return text
}

func writeOutcome(b *strings.Builder, e *entry, o *outcome) {
	switch {
	case o.missing:
		fmt.Fprintf(b, "| %s | %s | not installed | | | | |\n", e.key, o.name)
		return
	case o.err != nil:
		fmt.Fprintf(b, "| %s | %s | failed: %s | | | | |\n", e.key, o.name, cell(o.err.Error()))
		return
	case len(o.series) == 0:
		return
	}
	low, high := o.series[0].seconds, o.series[0].seconds
	for _, s := range o.series {
		low, high = min(low, s.seconds), max(high, s.seconds)
	}
	speed := ""
	if e.bytes > 0 {
		speed = fmt.Sprintf("%.0f", float64(e.bytes)/1e6/o.series.seconds())
	}
	cpu := median(o.series.each(func(s sample) float64 { return s.cpu }))
	fmt.Fprintf(b, "| %s | %s | %s | %s–%s | %s | %s | %s | %s |\n", e.key, o.name, secondsText(o.series.seconds()), secondsText(low), secondsText(high), speed, secondsText(cpu), bytesText(o.series.peak()), o.note)
}

// cell makes text fit in a table's cell.
func cell(s string) string {
	s = strings.NewReplacer("\n", " ", "|", `\|`).Replace(s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

func secondsText(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3f s", s)
	}
	return fmt.Sprintf("%.2f s", s)
}

// sizeText shows input sizes, which are decimal.
func sizeText(n int64) string {
	switch {
	case n >= 1e8:
		return fmt.Sprintf("%g GB", float64(n/1e7)/100)
	case n >= 1e6:
		return fmt.Sprintf("%g MB", float64(n/1e5)/10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// bytesText shows memory, which is binary.
func bytesText(n int64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", (n+1<<19)>>20)
}

func (t toolbox) String() string {
	var all []string
	for _, name := range []string{"sort", "grep", "mawk", "duckdb", "rg", "parallel"} {
		if t[name] == "" {
			all = append(all, name+": not installed")
		} else {
			all = append(all, t[name])
		}
	}
	return strings.Join(all, "; ") + "; " + runtime.Version() + "."
}

func cores() int { return runtime.GOMAXPROCS(0) }

// machine describes the machine as far as it says, and how busy it is.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			model = strings.TrimSpace(strings.TrimLeft(line, "\t :"))
		}
	}
	system := runtime.GOOS
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		system += " " + strings.TrimSpace(string(b))
	}
	load := ""
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load average " + strings.Join(strings.Fields(string(b))[:3], " ")
	}
	return fmt.Sprintf("%s, %d cores, %s, %s%s", model, cores(), bytesText(ram()), system, load)
}

// commit names the sources, and says if they were changed since.
func commit(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--tags")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return "of unknown commit"
	}
	return strings.TrimSpace(string(out))
}

// short shows the lab's paths as people would write them.
func (l *lab) short(s string) string {
	return strings.NewReplacer(l.dir+"/", "", l.root+"/", "", l.dir, ".").Replace(s)
}
