package worker

import (
	"testing"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// A part with a record that is too long for a run is written, and not kept.
func TestPartWithAHugeRecordIsNotKept(t *testing.T) {
	for _, more := range []int{0, 1} {
		runs := &madeRuns{}
		p := &partWriter{f: nowhere{}, hash: blake3.New(), format: FormatRaw}
		p.keep(runs.Create(), 1<<40, func() float64 { return 1 })
		if err := p.Record([]byte("one"), nil); err != nil {
			t.Fatal(err)
		}
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
		if more > 0 {
			p.buf = make([]byte, run.MaxRecord+more) // as Record leaves it; untouched, it takes no memory
		}
		var made plan.Made
		if err := p.finish(t.Context(), &made); err != nil || (made.Run != 0) != (more == 0) {
			t.Errorf("%d bytes too many: kept as run %d, %v", more, made.Run, err)
		}
	}
}
