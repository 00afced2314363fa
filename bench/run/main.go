package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mrd-io/mr/bench/corpus"
	"github.com/mrd-io/mr/internal/size"
)

// options are the flags that are no settings of rows.
type options struct {
	only  string
	scale float64
	temp  string
	keep  bool
	out   string
	list  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (settings, options, error) {
	s := settings{size: 1e9, big: 8e9, memory: 1 << 30, profile: corpus.Mixed}
	var o options
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.only, "only", "", "`ROWS` to run, separated by commas (default all)")
	fs.BoolVar(&o.list, "list", false, "list the rows and stop")
	fs.Float64Var(&o.scale, "scale", 1, "multiply all sizes and counts, for a try")
	fs.StringVar(&o.temp, "temp", os.TempDir(), "`DIR` for inputs, stores and outputs; what is made there is deleted at the end")
	fs.BoolVar(&o.keep, "keep", false, "do not delete it")
	fs.StringVar(&o.out, "out", "", "`FILE` that takes the table (default stdout)")
	fs.Var(sizeFlag{size.Value{N: &s.size}}, "size", "`SIZE` of text and of sort records (default 1GB)")
	fs.Var(sizeFlag{size.Value{N: &s.big}}, "big", "`SIZE` of the sort beyond memory (default 8GB)")
	fs.Var(sizeFlag{size.Value{N: &s.memory}}, "memory", "`SIZE` of memory for that one (default 1GiB)")
	fs.IntVar(&s.files, "files", 50000, "files of the tree")
	fs.IntVar(&s.tasks, "tasks", 20000, "tasks that do nothing")
	growth := fs.String("growth", "250MB,1GB,4GB,16GB", "`SIZES` of the growth row")
	fs.IntVar(&s.rounds, "rounds", 5, "runs of each contestant")
	fs.IntVar(&s.bigRounds, "big-rounds", 3, "runs in the rows that take long: sort-big, growth")
	profile := fs.String("profile", string(corpus.Mixed), "words of texts: mixed or go")
	if err := fs.Parse(args); err != nil {
		return s, o, err
	}
	if fs.NArg() > 0 || s.rounds < 1 || s.bigRounds < 1 || o.scale <= 0 {
		return s, o, errors.New("flags only, and at least one round; see --help")
	}
	for text := range strings.SplitSeq(*growth, ",") {
		n, err := size.Parse(text)
		if err != nil {
			return s, o, fmt.Errorf("--growth %s: %w", text, err)
		}
		s.growth = append(s.growth, n)
	}
	s.profile = corpus.Profile(*profile)
	s.scale(o.scale)
	return s, o, nil
}

// scale makes everything smaller or larger. What is divided among records stays whole ones.
func (s *settings) scale(by float64) {
	for _, n := range append([]*int64{&s.size, &s.big, &s.memory}, pointers(s.growth)...) {
		*n = int64(float64(*n)*by) / corpus.RecordSize * corpus.RecordSize
	}
	s.files, s.tasks = max(1, int(float64(s.files)*by)), max(2, int(float64(s.tasks)*by))
}

func pointers(s []int64) (ps []*int64) {
	for i := range s {
		ps = append(ps, &s[i])
	}
	return ps
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	rows, err := choose(o.only)
	if err != nil {
		return err
	}
	l := &lab{settings: s, log: stderr, digest: newDigester(), made: map[string]time.Time{}, tools: look(ctx), began: time.Now(), machine: machine()}
	if o.list {
		for _, r := range rows {
			fmt.Fprintf(stdout, "%-12s %s (%s)\n", r.key, r.work(l), r.aim)
		}
		return nil
	}
	if l.root, err = moduleRoot(ctx); err != nil {
		return err
	}
	if err := checkRoom(o.temp, rows, s); err != nil {
		return err
	}
	if l.dir, err = os.MkdirTemp(o.temp, "mr-bench-*"); err != nil {
		return err
	}
	if l.dir, err = filepath.Abs(l.dir); err != nil {
		return err
	}
	if o.keep {
		l.say("keeping %s", l.dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(l.dir)) }()
	}
	if err := l.build(ctx); err != nil {
		return err
	}
	return l.all(ctx, rows, o.out, stdout)
}

// all runs the rows. A row that fails is a line of the table; the others go on.
func (l *lab) all(ctx context.Context, rows []row, out string, stdout io.Writer) error {
	var entries []entry
	for _, r := range rows {
		l.say("%s: %s", r.key, r.work(l))
		f, err := r.run(ctx, l)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.say("%s: %v", r.key, err)
		}
		entries = append(entries, entry{r, f, err})
	}
	if out == "" {
		return l.report(ctx, stdout, entries)
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(l.report(ctx, f, entries), f.Close())
}

// choose returns the rows of those keys, in the table's order.
func choose(keys string) ([]row, error) {
	rows := allRows()
	if keys == "" {
		return rows, nil
	}
	wanted := strings.Split(keys, ",")
	for _, k := range wanted {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.key == k }) {
			return nil, fmt.Errorf("--only %s: there is no such row; --list shows them", k)
		}
	}
	return slices.DeleteFunc(rows, func(r row) bool { return !slices.Contains(wanted, r.key) }), nil
}

// checkRoom refuses to begin what the disk cannot hold.
func checkRoom(dir string, rows []row, s settings) error {
	var inputs, temp int64
	for _, r := range rows {
		inputs, temp = max(inputs, r.input(s)), max(temp, r.temp(s))
	}
	// Beside the largest input, the text and the tree, which several rows share.
	need := inputs + temp + s.size + int64(s.files)*13<<10
	free, err := freeBytes(dir)
	if err == nil && free < need {
		err = fmt.Errorf("%s has room for %s, and these rows need up to %s: choose another --temp, fewer rows with --only, or smaller sizes", dir, bytesText(free), bytesText(need))
	}
	return err
}

// moduleRoot finds the folder of the sources, for what is measured is built from them.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/mrd-io/mr").Output()
	if err != nil {
		return "", fmt.Errorf("the benchmarks build mrctl from its sources, so run them inside of its module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// sizeFlag drops the method that only pflag's values have.
type sizeFlag struct{ size.Value }
