package clock

import "time"

// bracket is how far apart the readings around one of another clock may be.
const bracket = 200 * time.Microsecond

// localReader reads this machine's clocks.
type localReader struct{ base time.Time }

func newLocalReader() localReader { return localReader{time.Now()} }

// mono places a reading of time.Now on the Mono axis.
func (r localReader) mono(t time.Time) time.Duration { return t.Sub(r.base) }

// read reads all clocks at one moment, or as near as the scheduler allows: a thread
// that is stopped between two readings tries again, and then says that Boot is not known.
func (r localReader) read() Local {
	var now time.Time
	for range 5 {
		before := time.Now()
		boot := bootTime()
		now = time.Now()
		if boot == 0 {
			break
		}
		if now.Sub(before) <= bracket {
			return Local{Mono: r.mono(now), Wall: time.Duration(now.UnixNano()), Boot: boot}
		}
	}
	return Local{Mono: r.mono(now), Wall: time.Duration(now.UnixNano())}
}
