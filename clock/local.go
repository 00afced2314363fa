package clock

import "time"

const (
	// bracket is how far apart the readings around one of another clock may be.
	bracket = 200 * time.Microsecond
	// pairing is how exactly the wall and monotonic halves of one time.Now should belong together. How
	// exactly they do nobody can tell but for the readings around them: see Local.Pair.
	pairing = time.Microsecond
)

// localReader reads this machine's clocks.
type localReader struct{ base time.Time }

func newLocalReader() localReader { return localReader{time.Now()} }

// mono places a reading of time.Now on the Mono axis.
func (r localReader) mono(t time.Time) time.Duration { return t.Sub(r.base) }

// read reads all clocks at one moment, or as near as the scheduler allows: a thread
// that is stopped between two readings tries again, and at last says that Boot is not known.
func (r localReader) read() Local {
	var now time.Time
	var apart time.Duration
	for range 8 {
		before := time.Now()
		boot := bootTime()
		now = time.Now()
		apart = now.Sub(before) // the wall clock was read in between: before the monotonic one of now
		if apart <= bracket && (wallBetween(before, now)-apart).Abs() <= pairing {
			return Local{Mono: r.mono(now), Wall: time.Duration(now.UnixNano()), Boot: boot, Pair: apart + 2*tick}
		}
	}
	return Local{Mono: r.mono(now), Wall: time.Duration(now.UnixNano()), Pair: apart + 2*tick}
}

// wallBetween is b − a on the wall clock; Sub uses the monotonic one.
func wallBetween(a, b time.Time) time.Duration { return time.Duration(b.UnixNano() - a.UnixNano()) }
