//go:build !linux

package clock

import "time"

// bootTime is not known here; a suspend shows as a jump of the wall clock.
func bootTime() time.Duration { return 0 }
