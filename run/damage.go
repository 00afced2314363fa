package run

import (
	"errors"
	"fmt"
)

// ErrDamaged is what errors.Is finds in an error about bytes that are not those
// written. What is damaged is computed again; a failure to read may pass.
var ErrDamaged = errors.New("run: damaged")

// DamageError says which blob of a run is damaged.
type DamageError struct {
	Blob int
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("run: blob %d is damaged: %v", e.Blob, e.Err)
}

// Unwrap returns what is wrong with the blob.
func (e *DamageError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

func damaged(blob int, format string, args ...any) error {
	return &DamageError{Blob: blob, Err: fmt.Errorf(format, args...)}
}
