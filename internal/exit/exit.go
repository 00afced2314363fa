// Package exit turns outcomes into exit statuses, for mrctl and mrd alike. Scripts rely on them: the
// table is part of the contract.
package exit

import (
	"context"
	"errors"

	mr "github.com/mrd-io/mr"
)

// Interrupted is the status of a program that was told to stop before it was done: the shell's
// convention, 128 and SIGINT.
const Interrupted = 130

// Status is the exit status that err means. A job that ended badly arrives here as an error of kind
// Failed.
func Status(err error) int {
	if err == nil {
		return 0
	}
	kind := mr.KindOf(err)
	if _, ours := errors.AsType[*mr.Error](err); !ours && errors.Is(err, context.Canceled) {
		kind = mr.Interrupted
	}
	switch kind {
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
		return Interrupted
	default:
		return 1 // a kind of a later version
	}
}
