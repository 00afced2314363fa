package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

func (a *app) workersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "workers",
		Short: "List a daemon's workers",
		Long: `List a daemon's workers: its own, and those that have joined with 'mrd worker --join'. CLOCK is what the
daemon's clock is ahead of the worker's, with the bound that is proven.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), toDaemon, nodeOptions{}, func(s *session) error {
				f, err := s.fleet()
				if err != nil {
					return err
				}
				list, err := f.Workers(cmd.Context())
				if err != nil {
					return err
				}
				return a.printWorkers(list, time.Now())
			})
		},
	}
}

// fleet is the session's engine as the one who knows its workers.
func (s *session) fleet() (mr.Fleet, error) {
	if f, ok := s.Jobs.(mr.Fleet); ok {
		return f, nil
	}
	return nil, mr.Errorf(mr.Usage, "the engine at %s does not tell of its workers; restart it with the present mrd", orElse(s.daemon, "hand"))
}

type workerJSON struct {
	Name    string         `json:"name"`
	Host    string         `json:"host"`
	PID     int            `json:"pid"`
	State   mr.WorkerState `json:"state"`
	Slots   int            `json:"slots"`
	Running int            `json:"running"`
	Joined  time.Time      `json:"joined"`
	Local   bool           `json:"local"` // in the daemon's own process
	Lease   float64        `json:"lease_seconds"`
	Silent  float64        `json:"silent_seconds"`
	Clock   string         `json:"clock"`
	Offset  *int64         `json:"clock_offset_ns"` // null: not known
	Bound   *int64         `json:"clock_bound_ns"`
}

// printWorkers prints a table of workers, or {"workers":[…]}.
func (a *app) printWorkers(list []mr.Worker, now time.Time) error {
	if a.json {
		out := struct {
			Workers []workerJSON `json:"workers"`
		}{Workers: []workerJSON{}}
		for _, w := range list {
			j := workerJSON{
				Name: w.Name, Host: w.Host, PID: w.PID, State: w.State, Slots: w.Slots, Running: w.Running, Joined: w.Joined,
				Local: w.Lease == 0, Lease: w.Lease.Seconds(), Silent: w.Silent.Seconds(), Clock: w.Clock,
			}
			if j.Local || w.Bound > 0 {
				offset, bound := int64(w.Offset), int64(w.Bound)
				j.Offset, j.Bound = &offset, &bound
			}
			out.Workers = append(out.Workers, j)
		}
		return printJSON(a.out, out)
	}
	t := table{head: []string{"WORKER", "HOST", "STATE", ">RUNNING", ">SLOTS", "JOINED", "CLOCK"}}
	for _, w := range list {
		state := string(w.State)
		switch w.State {
		case mr.WorkerSilent:
			state += prefixed(" for ", seconds(w.Silent.Seconds()))
		case mr.WorkerResting:
			state += prefixed(" for ", seconds(w.Rests.Sub(now).Seconds()))
		}
		ahead := w.Clock
		if w.Lease > 0 && w.Bound > 0 {
			ahead = offsetWords(clock.Report{Offset: w.Offset, Bound: w.Bound})
			if w.Clock != "synced" {
				ahead += ", " + w.Clock
			}
		}
		t.add(w.Name, w.Host, state, comma(w.Running), comma(w.Slots), ago(w.Joined, now), ahead)
	}
	t.paint = func(row, column int, cell string) string {
		if s := list[row].State; column == 2 && (s == mr.WorkerSilent || s == mr.WorkerResting) {
			return a.painted(stateColour(mr.FailedJob), cell)
		}
		return cell
	}
	return t.write(a.out)
}

// showTimeline prints when the attempts of a job ran.
func (a *app) showTimeline(ctx context.Context, s *session, job mr.JobID) error {
	f, err := s.fleet()
	if err != nil {
		return err
	}
	list, err := f.Timeline(ctx, job)
	if err != nil {
		return err
	}
	if a.json {
		return a.printTimelineJSON(job, list)
	}
	if len(list) == 0 {
		a.say("no attempt of job %s has made an output: all were cached, or none has ended", job)
		return nil
	}
	return a.printTimeline(list)
}

type timesJSON struct {
	Task    string     `json:"task"`
	Attempt string     `json:"attempt"`
	Worker  string     `json:"worker"`
	State   mr.State   `json:"state"`
	Synced  bool       `json:"synced"` // false: the worker's clock was not, and nothing is said
	Began   *time.Time `json:"began"`
	Ended   *time.Time `json:"ended"`
	BeganNS int64      `json:"began_bound_ns"`
	EndedNS int64      `json:"ended_bound_ns"`
	Took    float64    `json:"took_seconds"` // on the worker's monotonic clock
}

func (a *app) printTimelineJSON(job mr.JobID, list []mr.TaskTimes) error {
	out := struct {
		Job      mr.JobID    `json:"job"`
		Timeline []timesJSON `json:"timeline"`
	}{job, []timesJSON{}}
	known := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	for _, t := range list {
		out.Timeline = append(out.Timeline, timesJSON{
			Task: t.Task, Attempt: t.Attempt, Worker: t.Worker, State: t.State, Synced: t.Known,
			Began: known(t.Began), Ended: known(t.Ended), BeganNS: int64(t.BeganBound), EndedNS: int64(t.EndedBound),
			Took: t.Took.Seconds(),
		})
	}
	return printJSON(a.out, out)
}

// chartWidth is how many columns the time from a job's first attempt to its last end has.
const chartWidth = 40

// printTimeline prints a table with a bar for each attempt, from the first one's beginning.
func (a *app) printTimeline(list []mr.TaskTimes) error {
	var first, last time.Time
	for _, t := range list {
		if !t.Known {
			continue
		}
		if first.IsZero() || t.Began.Before(first) {
			first = t.Began
		}
		if end := ending(t); end.After(last) {
			last = end
		}
	}
	tab := table{head: []string{"TASK", "WORKER", ">BEGAN", "", ">TOOK", ""}}
	for _, t := range list {
		took := seconds(t.Took.Seconds())
		if !t.Known {
			tab.add(t.Task, t.Worker, "?", "not synchronised", took, "")
			continue
		}
		bound := ""
		if most := max(t.BeganBound, t.EndedBound); most > 0 {
			bound = "± " + boundWords(most)
		}
		tab.add(t.Task, t.Worker, fmt.Sprintf("+%.3f s", t.Began.Sub(first).Seconds()), bound, took, bar(t, first, last))
	}
	return tab.write(a.out)
}

// ending is when an attempt has ended, or, of one that runs, the daemon's present.
func ending(t mr.TaskTimes) time.Time {
	if t.Ended.IsZero() {
		return t.Began.Add(t.Took)
	}
	return t.Ended
}

// bar draws an attempt: solid where it was surely running, thin where its worker's clock
// leaves that open.
func bar(t mr.TaskTimes, first, last time.Time) string {
	span := max(last.Sub(first), time.Nanosecond)
	column := func(at time.Time) int {
		return min(max(int(float64(at.Sub(first))/float64(span)*chartWidth), 0), chartWidth-1)
	}
	end := ending(t)
	line := []rune{}
	for i := range chartWidth {
		switch {
		case i >= column(t.Began.Add(t.BeganBound)) && i <= column(end.Add(-t.EndedBound)):
			line = append(line, '━')
		case i >= column(t.Began.Add(-t.BeganBound)) && i <= column(end.Add(t.EndedBound)):
			line = append(line, '╌')
		default:
			line = append(line, ' ')
		}
	}
	if t.State == mr.Running {
		line[column(end)] = '▶'
	}
	return string(line)
}
