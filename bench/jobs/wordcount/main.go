// Wordcount is the benchmarks' word count as an author writes it: a mapper and a combiner over the
// generic API, run in a child process.
package main

import "github.com/mrd-io/mr"

func main() {
	mr.Main(mr.Job("wordcount", mr.Map(words), mr.Combine(mr.Sum[int64])))
}

// words emits what stands between ASCII white space.
func words(_ *mr.Task, line []byte, emit mr.Emit[[]byte, int64]) error {
	start := 0
	for i, c := range line {
		if c == ' ' || c-'\t' < 5 {
			if i > start {
				emit(line[start:i], 1)
			}
			start = i + 1
		}
	}
	if start < len(line) {
		emit(line[start:], 1)
	}
	return nil
}
