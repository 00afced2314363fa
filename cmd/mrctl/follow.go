package main

import (
	"context"
	"errors"
	"time"

	mr "github.com/mrd-io/mr"
)

// onInterrupt says what the first Ctrl-C does to the job that is waited for.
type onInterrupt int

const (
	killJob   onInterrupt = iota // it is this command's job: cancel it
	leaveJob                     // it is the daemon's job: it goes on
	watchBeat = 100 * time.Millisecond
)

// follow waits until the job has ended, and shows its progress. It returns the final status.
func (a *app) follow(ctx context.Context, s *session, job mr.JobID, interrupt onInterrupt) (mr.Status, error) {
	show := a.newProgress()
	defer show.close()

	// The watch outlives ctx: after an interrupt the job still has to be seen to its end.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	updates := make(chan update)
	go watch(watching, s, job, updates)

	beat := time.NewTicker(watchBeat)
	defer beat.Stop()
	interrupted := ctx.Done()
	var killed chan error
	told := 0 // warnings; an engine in this process tells what it waits for by its log
	for {
		select {
		case u := <-updates:
			if u.err != nil {
				return mr.Status{}, a.stillOnRecord(u.err, s, job)
			}
			if u.note != "" {
				show.note(u.note)
				continue
			}
			show.update(u.Status, time.Now())
			for ; s.daemon != "" && !u.State.Done() && told < len(u.Warnings); told++ {
				show.note("warning: " + u.Warnings[told])
			}
			if u.State.Done() {
				show.close()
				if killed != nil && u.State == mr.Killed {
					return u.Status, mr.Errorf(mr.Interrupted, "interrupted: job %s was cancelled and left no output", job)
				}
				return u.Status, nil
			}
		case now := <-beat.C:
			show.tick(now)
		case <-interrupted:
			interrupted = nil
			if interrupt == leaveJob {
				return mr.Status{}, mr.Errorf(mr.Interrupted, "stopped waiting; job %s goes on: '%s' waits again, '%s' ends it", job, a.typed("wait "+string(job)), a.typed("kill "+string(job)))
			}
			show.note("cancelling the job; Ctrl-C again leaves at once")
			killed = make(chan error, 1)
			go func() { killed <- s.Kill(watching, job) }()
		case err := <-killed:
			if err != nil {
				return mr.Status{}, mr.Errorf(mr.Interrupted, "interrupted, and job %s could not be cancelled: %w", job, err)
			}
			// The watch brings its end; a nil channel is never ready.
			killed = make(chan error)
		}
	}
}

// stillOnRecord adds to a watch's error what became of the job, where only the daemon is away.
func (a *app) stillOnRecord(err error, s *session, job mr.JobID) error {
	if s.daemon == "" || !errors.Is(err, mr.ErrUnreachable) {
		return err
	}
	return mr.Errorf(mr.Unreachable, "%w; job %s is on record: it goes on when the daemon runs again, and '%s' waits for it", err, job, a.typed("wait "+string(job)))
}

// update is what a watch has seen: a status, an error, or something to tell.
type update struct {
	mr.Status
	err  error
	note string
}

// watch sends the job's status at first and after every change, until it has ended or ctx is done.
func watch(ctx context.Context, s *session, job mr.JobID, updates chan<- update) {
	send := func(u update) bool {
		select {
		case updates <- u:
			return true
		case <-ctx.Done():
			return false
		}
	}
	tell := func(text string) { send(update{note: text}) }
	var u update
	for {
		u.err = retry(ctx, s, tell, func() (err error) {
			if u.Job == "" {
				u.Status, err = s.Status(ctx, job)
				return err
			}
			// A failed Wait must not lose what is known, or the next would be told too much.
			status, err := s.Wait(ctx, job, u.Version)
			if err == nil {
				u.Status = status
			}
			return err
		})
		if !send(u) || u.err != nil || u.State.Done() {
			return
		}
	}
}
