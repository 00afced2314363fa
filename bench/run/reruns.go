package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr/bench/corpus"
)

// filled is what a cold run left: its store, for other runs to use, and what it found.
type filled struct {
	out   string // where outputs go
	first string // its answer
	cold  sample
}

// fill runs a job on a fresh store.
func (l *lab) fill(ctx context.Context, job func(out string) command) (f filled, err error) {
	f.out = filepath.Join(l.dir, "out")
	l.remove(f.out, l.store())
	f.cold, _, f.first, err = l.run(ctx, job(f.out), f.out)
	if err == nil {
		l.say("  cold: %.2f s", f.cold.seconds)
	}
	return f, err
}

func rerunText(ctx context.Context, l *lab) (finding, error) {
	input, err := l.text(l.size)
	if err != nil {
		return finding{}, err
	}
	l.settle(l.made[input])
	return l.rerun(ctx, input, 0.10)
}

func rerunTree(ctx context.Context, l *lab) (finding, error) {
	dir, _, err := l.tree()
	if err != nil {
		return finding{}, err
	}
	l.settle(l.made[dir])
	return l.rerun(ctx, dir, 0.5)
}

// rerun fills a store and runs the same job again and again.
func (l *lab) rerun(ctx context.Context, input string, seconds float64) (finding, error) {
	var f finding
	job := l.job(input, "wordcount")
	state, err := l.fill(ctx, job)
	defer l.remove(l.store())
	if err != nil {
		return f, err
	}
	o := outcome{name: "mr", command: l.short(job(state.out).String())}
	for range l.rounds {
		s, st, answer, err := l.run(ctx, job(state.out), state.out)
		if err == nil && (st.Map.Run > 0 || st.Reduce.Run > 0 || answer != state.first) {
			err = fmt.Errorf("nothing has changed, but %d map and %d reduce tasks ran, answers equal: %t", st.Map.Run, st.Reduce.Run, answer == state.first)
		}
		if err != nil {
			return f, err
		}
		l.say("  again: %.3f s", s.seconds)
		o.series = append(o.series, s)
	}
	f.outcomes = []outcome{o}
	f.ratios = []string{fmt.Sprintf("%.1f %% of the cold run's %.2f s", 100*o.series.seconds()/state.cold.seconds, state.cold.seconds)}
	f.reached = f.reached.and(o.series.seconds() <= seconds)
	return f, nil
}

// appended measures a cold run and, after 1 % more has been appended to the file, another run; so many
// times, each on a fresh store and the file as it was.
func appended(ctx context.Context, l *lab) (finding, error) {
	var f finding
	input, err := l.input(fmt.Sprintf("growing-%d", l.size), func(w io.Writer) error { return corpus.Text(w, l.profile, 2, l.size) })
	if err != nil {
		return f, err
	}
	defer l.drop(input)
	defer l.remove(l.store())
	job := l.job(input, "wordcount")
	again, colds := outcome{name: "mr", command: l.short(job("OUT").String())}, series{}
	for range l.rounds {
		if err := os.Truncate(input, l.size); err != nil {
			return f, err
		}
		l.settle(time.Now())
		state, err := l.fill(ctx, job)
		if err != nil {
			return f, err
		}
		if err := l.grow(input); err != nil {
			return f, err
		}
		l.settle(time.Now())
		s, st, answer, err := l.run(ctx, job(state.out), state.out)
		if err != nil {
			return f, err
		}
		l.say("  appended: %.2f s, %d of %d maps", s.seconds, st.Map.Run, st.Map.Tasks)
		again.series, colds = append(again.series, s), append(colds, state.cold)
		f.ours = fmt.Sprintf("%d of %d map tasks, %d of %d reduce tasks", st.Map.Run, st.Map.Tasks, st.Reduce.Run, st.Reduce.Tasks)
		if len(colds) > 1 {
			continue
		}
		if err := l.checkCount(ctx, input, answer); err != nil {
			return f, err
		}
	}
	part := again.series.seconds() / colds.seconds()
	f.outcomes = []outcome{again, {name: "cold", series: colds, command: again.command}}
	f.ratios = []string{fmt.Sprintf("%.1f %% of the cold time", 100*part)}
	f.reached = f.reached.and(part <= 0.04)
	return f, nil
}

// grow appends 1 %.
func (l *lab) grow(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	return errors.Join(corpus.Text(f, l.profile, 3, l.size/100), f.Close())
}

// checkCount compares an answer with the ceiling's.
func (l *lab) checkCount(ctx context.Context, input, answer string) error {
	out := filepath.Join(l.dir, "out")
	defer l.remove(out)
	c := l.ceilingCount(input)
	s, err := c.command(out).measure(ctx)
	if err != nil {
		return err
	}
	want, err := c.answer(out, s)
	if err == nil && want != answer {
		err = errors.New("the answer differs from the ceiling's")
	}
	return err
}

func reducersChanged(ctx context.Context, l *lab) (finding, error) {
	input, err := l.text(l.size)
	if err != nil {
		return finding{}, err
	}
	l.settle(l.made[input])
	job := l.job(input, "wordcount")
	return l.changed(ctx, job, func(round int) (func(string) command, error) {
		return l.job(input, "wordcount", "--reducers", fmt.Sprint(3+round)), nil
	}, true)
}

// reducerEdited edits the reducer in an overlay of the go command: the sources stay as they are.
func reducerEdited(ctx context.Context, l *lab) (finding, error) {
	input, err := l.text(l.size)
	if err != nil {
		return finding{}, err
	}
	l.settle(l.made[input])
	const pkg = "bench/jobs/frequent"
	source := filepath.Join(l.root, pkg, "reduce.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return finding{}, err
	}
	return l.changed(ctx, l.job(input, "./"+pkg), func(round int) (func(string) command, error) {
		edited := filepath.Join(l.dir, fmt.Sprintf("reduce%d.go", round))
		to := strings.Replace(string(text), "least = 100", fmt.Sprintf("least = %d", 200+round), 1)
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: edited}})
		if err != nil {
			return nil, err
		}
		list := filepath.Join(l.dir, fmt.Sprintf("overlay%d.json", round))
		if err := errors.Join(os.WriteFile(edited, []byte(to), 0o666), os.WriteFile(list, overlay, 0o666)); err != nil {
			return nil, err
		}
		return func(out string) command {
			c := l.job(input, "./"+pkg)(out)
			c.env = append(c.env, "GOFLAGS=-overlay="+list)
			return c
		}, nil
	}, false)
}

// changed fills a store with job and then runs, in each round, another one that ought to use all its maps.
func (l *lab) changed(ctx context.Context, job func(string) command, another func(round int) (func(string) command, error), same bool) (finding, error) {
	var f finding
	state, err := l.fill(ctx, job)
	defer l.remove(l.store())
	if err != nil {
		return f, err
	}
	o := outcome{name: "mr"}
	var reduce []float64
	maps := 0
	for round := range l.rounds {
		next, err := another(round)
		if err != nil {
			return f, err
		}
		c := next(state.out)
		s, st, answer, err := l.run(ctx, c, state.out)
		if err == nil && same != (answer == state.first) {
			err = fmt.Errorf("the answer ought to be the cold run's: %t; is: %t", same, answer == state.first)
		}
		if err != nil {
			return f, err
		}
		l.say("  changed: %.2f s, %d of %d maps", s.seconds, st.Map.Run, st.Map.Tasks)
		o.command, o.series = l.short(c.String()), append(o.series, s)
		reduce, maps = append(reduce, st.Seconds.Reduce), max(maps, st.Map.Run)
	}
	f.outcomes = []outcome{o}
	f.ours = fmt.Sprintf("%d maps; reduce alone %.2f s", maps, median(reduce))
	f.ratios = []string{fmt.Sprintf("%.1f %% of the cold run's %.2f s", 100*o.series.seconds()/state.cold.seconds, state.cold.seconds)}
	f.reached = f.reached.and(maps == 0)
	return f, nil
}

// nothingTasks searches for what is not there, in splits of one page.
func nothingTasks(ctx context.Context, l *lab) (finding, error) {
	var f finding
	size := int64(l.tasks) << 12
	input, err := l.input("tasks", func(w io.Writer) error { return corpus.Text(w, l.profile, 4, size) })
	if err != nil {
		return f, err
	}
	defer l.drop(input)
	none := contestant{name: "mr", command: l.job(input, "grep", "no such line", "--fixed", "--count", "--split-size", "4096"), answer: grepCount,
		check: func(out string, s sample) error {
			st, err := statusOf(s)
			if err == nil && st.Map.Run != l.tasks {
				err = fmt.Errorf("%d map tasks ran, not %d", st.Map.Run, l.tasks)
			}
			return err
		}}
	if f.outcomes, err = l.contest(ctx, l.rounds, none); err != nil {
		return f, err
	}
	speed := float64(l.tasks) / f.outcomes[0].series.seconds()
	f.ratios = []string{fmt.Sprintf("%.0f tasks/s", speed)}
	f.reached = f.reached.and(speed >= 8000)
	return f, nil
}

// growth measures ours and the ceiling on each size, and how much the time per GB varies.
func growth(ctx context.Context, l *lab) (finding, error) {
	var f finding
	perGB := map[string][]float64{}
	var texts []string
	for _, size := range l.growth {
		l.say(" %s", sizeText(size))
		input, err := l.text(size)
		if err != nil {
			return f, err
		}
		if err := warm(input); err != nil {
			return f, err
		}
		ours := contestant{name: "mr", command: l.job(input, "wordcount"), answer: l.partLines, check: cold}
		rs, err := l.contest(ctx, min(l.rounds, l.bigRounds), ours, l.ceilingCount(input))
		if size != l.size {
			l.drop(input)
		}
		if err != nil {
			return f, err
		}
		for _, r := range rs {
			if len(r.series) > 0 {
				perGB[r.name] = append(perGB[r.name], r.series.seconds()/float64(size)*1e9)
			}
			r.name = fmt.Sprintf("%s, %s", r.name, sizeText(size))
			f.outcomes = append(f.outcomes, r)
		}
		texts = append(texts, fmt.Sprintf("%s: %.2f s/GB", sizeText(size), rs[0].series.seconds()/float64(size)*1e9))
	}
	f.ours = strings.Join(texts, "<br>")
	for _, name := range []string{"mr", "ceiling"} {
		if v := perGB[name]; len(v) == len(l.growth) {
			f.ratios = append(f.ratios, fmt.Sprintf("%s: slowest per GB %.0f %% above fastest", name, 100*spread(v)))
		}
	}
	f.reached = f.reached.and(spread(perGB["mr"]) <= 0.15)
	return f, nil
}

func spread(v []float64) float64 { return slices.Max(v)/slices.Min(v) - 1 }
