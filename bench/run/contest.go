package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// contestant does a row's work once.
type contestant struct {
	name    string
	command func(out string) command                   // writes its output below or to out
	answer  func(out string, s sample) (string, error) // what it found, in a form that can be compared
	needs   string                                     // the tool without which it cannot run; see toolbox
	check   func(out string, s sample) error           // of ours: what must be true of the run besides
}

// outcome is what a contest found out about one contestant.
type outcome struct {
	name    string
	command string
	series  series
	note    string // of the last run of ours: where the time went
	missing bool   // not installed
	err     error  // failed, or its answer is not the first one's
}

// contest lets the contestants take turns.
func (l *lab) contest(ctx context.Context, rounds int, cs ...contestant) ([]outcome, error) {
	results := make([]outcome, len(cs))
	first := ""
	for round := range rounds {
		for i, c := range cs {
			r := &results[i]
			r.name = c.name
			if r.err != nil || r.missing {
				continue
			}
			if !l.tools.has(c.needs) {
				r.missing = true
				l.say("  %s: not installed", c.name)
				continue
			}
			out := filepath.Join(l.dir, "out")
			cmd := c.command(out)
			r.command = l.short(cmd.String())
			s, err := l.once(ctx, cmd)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil && c.check != nil {
				err = c.check(out, s)
			}
			if err == nil && round == 0 {
				err = agree(&first, c, out, s)
			}
			l.remove(out, l.store())
			if err != nil {
				l.say("  %s: %v", c.name, err)
				r.err = err
				continue
			}
			if st, err := statusOf(s); err == nil {
				r.note = st.times()
			}
			s.stdout = nil
			r.series = append(r.series, s)
			l.say("  %s: %.2f s, %s", c.name, s.seconds, bytesText(s.peak))
		}
	}
	return results, results[0].err
}

// once measures a run after others' writes are on disk.
func (l *lab) once(ctx context.Context, cmd command) (sample, error) {
	syscall.Sync()
	return cmd.measure(ctx)
}

// agree compares a contestant's answer with the first one's.
func agree(first *string, c contestant, out string, s sample) error {
	answer, err := c.answer(out, s)
	switch {
	case err != nil:
		return err
	case *first == "":
		*first = answer
	case *first != answer:
		return fmt.Errorf("its answer differs: %s, not %s", answer, *first)
	}
	return nil
}

// best returns the fastest of the outcomes that have a time.
func best(rs ...outcome) (outcome, error) {
	var b outcome
	for _, r := range rs {
		if len(r.series) > 0 && r.err == nil && (b.series == nil || r.series.seconds() < b.series.seconds()) {
			b = r
		}
	}
	if b.series == nil {
		return b, errors.New("nobody to compare with")
	}
	return b, nil
}
