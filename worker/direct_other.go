//go:build !linux

package worker

import (
	"errors"
	"os"
)

// setDirect is for Linux alone.
func setDirect(_ *os.File, on bool) error {
	if on {
		return errors.ErrUnsupported
	}
	return nil
}
