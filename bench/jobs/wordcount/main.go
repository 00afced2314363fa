// Wordcount is the benchmarks' word count as an author writes it: a mapper and a combiner over the
// generic API, run in a child process.
package main

import "github.com/mrd-io/mr"

func main() {
	mr.Main(mr.Job("wordcount", mr.Map(words), mr.Combine(mr.Sum[int64])))
}

// words emits what stands between ASCII white space.
func words(_ *mr.Task, line []byte, emit mr.Emit[[]byte, int64]) error {
	for word := range mr.Words(line) {
		emit(word, 1)
	}
	return nil
}
