// Frequent counts words and keeps the frequent ones. The benchmarks run it, edit its reducer and run it
// again: the mapper's outputs must serve both.
package main

import (
	"bytes"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("frequent", mr.Map(words), mr.Combine(mr.Sum[int64]), mr.Reduce(frequent)))
}

func words(_ *mr.Task, line []byte, emit mr.Emit[[]byte, int64]) error {
	for word := range bytes.FieldsSeq(line) {
		emit(word, 1)
	}
	return nil
}
