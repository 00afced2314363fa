package lineage

import (
	"time"

	"github.com/mrd-io/mr/plan"
)

// A moment on record: its nanoseconds, 0 if it is not known, and then its bound.

func (e *enc) moment(m plan.Moment) {
	if !m.Known {
		e.num(0)
		return
	}
	e.num(m.Nanos)
	e.num(int64(m.Bound))
}

func (d *dec) moment() (m plan.Moment) {
	if m.Nanos = d.num(); m.Nanos != 0 {
		m.Known, m.Bound = true, time.Duration(d.num())
	}
	return m
}
