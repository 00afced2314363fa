// Shuffled is a job whose mapper emits the values of a key in the order of a Go map: the
// same records each time, in another order.
package main

import (
	"iter"
	"strings"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("shuffled",
		mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
			words := map[string]bool{}
			for w := range strings.FieldsSeq(line) {
				words[w] = true
			}
			for w := range words {
				emit("words", w)
			}
			return nil
		}),
		mr.Reduce(func(_ *mr.Task, key string, words iter.Seq[string], emit mr.Emit[string, int64]) error {
			var n int64
			for range words {
				n++
			}
			emit(key, n)
			return nil
		})))
}
