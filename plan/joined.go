package plan

import "time"

// A worker that has joined from another process also answers Beat, and is told when to
// leave. Fields are only added.

// Beat asks a worker for a sign of life.
type Beat struct{ Number uint64 }

// Alive is the answer to a Beat: how well the worker knows the master's time.
type Alive struct {
	Number uint64
	Clock  string        // the state of its clock: "synced", "unsynced", …
	Offset time.Duration // the master's clock minus the worker's
	Bound  time.Duration // the offset is right to within this; meaningless unless Known
	Known  bool
}

// Leave tells a worker that it is not wanted any more.
type Leave struct{ Reason string }

// Moment is a moment on the master's clock as a worker knows it.
type Moment struct {
	Nanos int64         // since 1970
	Bound time.Duration // it is right to within this
	Known bool          // false: the worker's clock was not synchronised, and nothing is said
}

// Here is the moment now on the clock of the master's own process.
func Here(now time.Time) Moment { return Moment{Nanos: now.UnixNano(), Known: true} }

// Time is the moment as a time; zero if it is not known.
func (m Moment) Time() time.Time {
	if !m.Known {
		return time.Time{}
	}
	return time.Unix(0, m.Nanos)
}
