package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	mr "github.com/mrd-io/mr"
)

// outcome is the error that a job's end means to the command that waited for it.
func outcome(s mr.Status) error {
	switch s.State {
	case mr.FailedJob:
		return mr.Errorf(mr.Failed, "job %s failed: %s", s.Job, orElse(s.Error, "no reason is on record"))
	case mr.Killed:
		return mr.Errorf(mr.Failed, "job %s was killed%s", s.Job, prefixed(" ", strings.TrimPrefix(s.Error, "killed ")))
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
