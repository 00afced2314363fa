package mr

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error. Kinds are few, stable and cross
// the wire; everything else about an error is its message.
type Kind uint8

// The kinds of errors. Numbers are part of the wire format: append only.
const (
	Failed      Kind = 1 // the job, or one of its tasks, failed (exit 1)
	Usage       Kind = 2 // the request is wrong and would be wrong again (exit 2)
	Unreachable Kind = 3 // no daemon or store to be reached, or another process holds it (exit 3)
	Damaged     Kind = 4 // the store is damaged or of another version (exit 4)
	Refused     Kind = 5 // output exists, not authorised, submit id mismatch (exit 5)
	NotFound    Kind = 6 // no such job, output or file on record (exit 2)
	Interrupted Kind = 7 // the caller gave up (exit 130)
)

// Sentinels, one a Kind, for errors.Is on both sides of an RPC.
var (
	ErrFailed      = errors.New("failed")
	ErrUsage       = errors.New("wrong usage")
	ErrUnreachable = errors.New("not reachable")
	ErrDamaged     = errors.New("store damaged or of another version")
	ErrRefused     = errors.New("refused")
	ErrNotFound    = errors.New("not found")
	ErrInterrupted = errors.New("interrupted")
)

var sentinels = [...]error{
	Failed: ErrFailed, Usage: ErrUsage, Unreachable: ErrUnreachable, Damaged: ErrDamaged,
	Refused: ErrRefused, NotFound: ErrNotFound, Interrupted: ErrInterrupted,
}

// Error is an error with a Kind. Its message stands by itself: it names the file,
// the offset or the flag, and says what to do.
type Error struct {
	Kind Kind
	Msg  string
	Err  error // the cause, or nil; its text is already in Msg
}

// Errorf makes an *Error; a %w verb in format sets its cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Msg: err.Error(), Err: errors.Unwrap(err)}
}

func (e *Error) Error() string { return e.Msg }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is(err, mr.ErrUsage) and its siblings work.
func (e *Error) Is(target error) bool {
	return int(e.Kind) < len(sentinels) && e.Kind > 0 && target == sentinels[e.Kind]
}

// KindOf returns the Kind of the first *Error in err's chain, or Failed.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Failed
}
