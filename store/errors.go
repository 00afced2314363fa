package store

import "errors"

// What callers branch on. Refusals of Open are *mr.Error instead.
var (
	// ErrNoRun says that no run with that id is on record.
	ErrNoRun = errors.New("no such run")
	// ErrDamaged says that a run's bytes are lost. The error names run and volume.
	ErrDamaged = errors.New("damaged")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrReadOnly says that the store was opened for reading.
	ErrReadOnly = errors.New("store is open for reading only")
	// ErrUncertain says that the disk refused the last step of a commit and then its
	// repair: the transaction is visible now, and may or may not survive a crash.
	ErrUncertain = errors.New("commit may not be durable")
)
