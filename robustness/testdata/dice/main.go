// Dice is a job whose mapper throws dice: its outputs must not be shared.
package main

import (
	"math/rand"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("dice",
		mr.Map(func(_ *mr.Task, _ string, emit mr.Emit[int64, int64]) error {
			emit(rand.Int63n(1_000_000), 1)
			return nil
		}),
		mr.Combine(mr.Sum[int64])))
}
