// Wordcount counts the words of its input: the smallest useful job.
//
//	mrctl run ./examples/wordcount --input 'books/*.txt' --output counts
package main

import (
	"iter"
	"strings"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("wordcount", mr.Map(words), mr.Combine(mr.Sum[int64]), mr.Reduce(total)))
}

// words emits 1 for every word of a line.
func words(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
	for word := range strings.FieldsSeq(line) {
		emit(word, 1)
	}
	return nil
}

// total adds up. The job would do without it, since the combiner has added up already;
// it is here to show where a reducer goes.
func total(_ *mr.Task, word string, counts iter.Seq[int64], emit mr.Emit[string, int64]) error {
	var n int64
	for count := range counts {
		n += count
	}
	emit(word, n)
	return nil
}
