package main

import (
	"context"
	"errors"
	"fmt"

	mr "github.com/mrd-io/mr"
)

// exitInterrupted is the shell's convention: 128 and SIGINT.
const exitInterrupted = 130

// exitStatus is the only place that turns an outcome into an exit status. A job that ended badly
// arrives here as the error that outcome makes of it.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	switch mr.KindOf(err) {
	case mr.Failed:
		return 1
	case mr.Usage, mr.NotFound:
		return 2
	case mr.Unreachable:
		return 3
	case mr.Damaged:
		return 4
	case mr.Refused:
		return 5
	case mr.Interrupted:
		return exitInterrupted
	default:
		return 1
	}
}

// outcome is the error that a job's end means to the command that waited for it.
func outcome(s mr.Status) error {
	switch s.State {
	case mr.FailedJob:
		return mr.Errorf(mr.Failed, "job %s failed: %s", s.Job, orElse(s.Error, "no reason is on record"))
	case mr.Killed:
		return mr.Errorf(mr.Failed, "job %s was killed%s", s.Job, orElse(prefixed(": ", s.Error), ""))
	default:
		return nil
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// message is what a person reads of err.
func message(err error) string {
	switch {
	case errors.Is(err, context.Canceled) && mr.KindOf(err) != mr.Interrupted:
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer in time: %v", err)
	default:
		return err.Error()
	}
}
