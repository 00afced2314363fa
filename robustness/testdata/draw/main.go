// Draw is a job whose reducer throws dice: its parts must not be shared, its maps may be.
package main

import (
	"iter"
	"math/rand"
	"strings"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("draw",
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
			for w := range strings.FieldsSeq(line) {
				emit(w, 1)
			}
			return nil
		}),
		mr.Reduce(func(_ *mr.Task, word string, _ iter.Seq[int64], emit mr.Emit[string, int64]) error {
			emit(word, 100_000+rand.Int63n(900_000))
			return nil
		})))
}
