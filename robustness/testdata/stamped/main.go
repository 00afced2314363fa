// Stamped is a job whose combiner looks at the clock: what it folds must not be shared, maps that
// fold nothing may be.
package main

import (
	"time"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("stamped",
		mr.Map(func(_ *mr.Task, word string, emit mr.Emit[string, int64]) error {
			emit(word, 1)
			return nil
		}),
		mr.Combine(func(a, _ int64) int64 { return max(a, time.Now().UnixNano()) })))
}
