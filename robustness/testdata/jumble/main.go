// Jumble is a job whose reducer goes by the order of a Go map: the same records each time,
// in another order.
package main

import (
	"iter"
	"strings"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("jumble",
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
			for w := range strings.FieldsSeq(line) {
				emit(w[:1], w)
			}
			return nil
		}),
		mr.Reduce(func(_ *mr.Task, first string, words iter.Seq[string], emit mr.Emit[string, string]) error {
			all := map[string]bool{}
			for w := range words {
				all[w] = true
			}
			for w := range all {
				emit(first, w)
			}
			return nil
		})))
}
