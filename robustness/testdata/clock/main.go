// Clock is a job whose mapper looks at the clock: its outputs must not be shared.
package main

import (
	"time"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("clock",
		mr.Map(func(_ *mr.Task, _ string, emit mr.Emit[int64, int64]) error {
			emit(time.Now().UnixNano(), 1)
			return nil
		}),
		mr.Combine(mr.Sum[int64])))
}
