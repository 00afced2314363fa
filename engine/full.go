package engine

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
)

// This file is what the engine does about a full disk: it waits. Nothing that has been
// computed is given up, nothing is acknowledged that is not on record, questions are
// answered meanwhile, and everything goes on within seconds of there being room.

// noRoom says whether an error means that the disk, or a quota, is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// errDraining ends a wait for room because the engine is to stop, or the job's end.
var errDraining = errors.New("the engine is stopping")

// Pauses between tries to record progress.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// pause waits before another try to record progress, in the loop. It answers questions
// and takes messages, which are stepped when the records are durable. Workers of other processes
// go on: they hear from the engine, or would take it for dead and give up what they are at.
func (l *loop) pause(d time.Duration, why error) error {
	if !l.paused {
		l.paused = true
		l.e.log.Error("the store has no room; paused until there is", "store", l.e.o.Store.Dir(), "err", why)
		for _, j := range l.jobs {
			l.warnFull(j, "the store", why.Error())
			l.wake(j)
		}
	}
	l.beatAll()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case fn := <-l.e.requests:
			fn(l)
		case call := <-l.e.replies:
			l.answered(call)
		case <-l.e.draining:
			return errDraining
		}
	}
}

// unpause notes that there is room again.
func (l *loop) unpause() {
	if l.paused {
		l.paused = false
		l.e.log.Info("there is room again", "store", l.e.o.Store.Dir())
	}
}

// warnFull warns of a full disk, once for each place where it is met: what is said there differs with
// every attempt, and there is one a second.
func (l *loop) warnFull(j *job, place, what string) {
	if !j.warned[place] {
		j.warned[place] = true
		l.warn(j, "storage is full: "+what+"; the job goes on when there is room")
	}
}

// view is a job's status for outsiders. While the loop is paused, the end of a job may be
// known here and not be on record: nobody is to hear of it.
func (l *loop) view(j *job) mr.Status {
	s := j.status(l.e.o.Now())
	if l.paused && s.State.Done() {
		s.State, s.Error, s.Ended = mr.Running, "", time.Time{}
	}
	return s
}

// whenRoom runs fn, a step of a job beside the loop, again and again as long as it fails
// for lack of room. It returns errDraining if ctx ends first, as it does when the engine stops.
func (e *Engine) whenRoom(ctx context.Context, id mr.JobID, step string, fn func() error) error {
	for {
		err := fn()
		if err == nil || !noRoom(err) {
			return err
		}
		e.log.Error("no room; trying again", "step", step, "job", string(id), "err", err)
		if e.request(ctx, func(l *loop) {
			if j := l.jobs[id]; j != nil {
				l.warnFull(j, step, step+": "+err.Error())
				l.wake(j)
			}
		}) != nil {
			return errDraining
		}
		select {
		case <-time.After(spaceRetry):
		case <-ctx.Done():
			return errDraining
		}
	}
}
