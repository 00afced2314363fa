// Wordstats has three jobs over one and the same map:
//
//	mrctl run ./examples/wordstats --job count   --input books --output counts
//	mrctl run ./examples/wordstats --job top     --input books --output top -- --n 20
//	mrctl run ./examples/wordstats --job longest --input books --output longest
//
// Whichever runs first does the mapping; the others reduce what it has left, and read no
// input at all. What makes that possible is that all three are given the very same
// options for Map and Combine, and that --n is declared to be the reducer's alone.
package main

import (
	"cmp"
	"flag"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mrd-io/mr"
)

func main() {
	counted := []mr.Option{mr.Map(words), mr.Combine(mr.Sum[int64])}

	mr.Main(
		mr.Job("count", counted...).
			About("", "Every word and how often it occurs."),
		mr.JobFunc("top", withN(counted, func(n int) mr.Option { return mr.ReducePairs(top(n)) })).
			About("[--n N]", "The most frequent words."),
		mr.JobFunc("longest", withN(counted, func(n int) mr.Option { return mr.ReducePairs(longest(n)) })).
			About("[--n N]", "The longest words."),
	)
}

// withN declares a job over the words counted that has a flag --n, which only its
// reducer sees. All words are one group: a list of the best needs to see them all.
func withN(counted []mr.Option, reduce func(n int) mr.Option) func(*flag.FlagSet) func([]string) ([]mr.Option, error) {
	return func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		n := fs.Int("n", 10, "how many words")
		return func([]string) ([]mr.Option, error) {
			if *n < 1 {
				return nil, mr.Errorf(mr.Usage, "--n %d: ask for one word at least", *n)
			}
			return append(slices.Clone(counted), mr.ReduceOnly("n"), mr.GroupAll(), reduce(*n)), nil
		}
	}
}

// words emits the runs of letters of a line, in lower case.
func words(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
	for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return !unicode.IsLetter(r) }) {
		emit(strings.ToLower(word), 1)
	}
	return nil
}

// count is a word and how often it occurs.
type count struct {
	word string
	n    int64
}

type pairs = iter.Seq2[string, int64]

// top emits the n words with the highest counts; of equal counts, the first in the alphabet.
func top(n int) func(*mr.Task, pairs, mr.Emit[string, int64]) error {
	return best(n, func(a, b count) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.word, b.word))
	})
}

// longest emits the n words with the most letters; of equal length, the first in the alphabet.
func longest(n int) func(*mr.Task, pairs, mr.Emit[string, int64]) error {
	return best(n, func(a, b count) int {
		return cmp.Or(cmp.Compare(utf8.RuneCountInString(b.word), utf8.RuneCountInString(a.word)), cmp.Compare(a.word, b.word))
	})
}

// best emits the first n words by order, best first. It keeps only twice as many in
// memory, however many words there are.
func best(n int, order func(a, b count) int) func(*mr.Task, pairs, mr.Emit[string, int64]) error {
	return func(_ *mr.Task, all pairs, emit mr.Emit[string, int64]) error {
		var kept []count
		trim := func() {
			slices.SortFunc(kept, order)
			kept = kept[:min(n, len(kept))]
		}
		for word, times := range all {
			if kept = append(kept, count{word, times}); len(kept) >= 2*n {
				trim()
			}
		}
		trim()
		for _, c := range kept {
			emit(c.word, c.n)
		}
		return nil
	}
}
