package builtin

import (
	"flag"

	"github.com/mrd-io/mr"
)

const wordcountVersion = "1"

func wordcount() *mr.Definition {
	return mr.JobFunc("wordcount", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		words := wordFlags(fs)
		return func(args []string) ([]mr.Option, error) {
			if err := noArgs("wordcount", args); err != nil {
				return nil, err
			}
			return []mr.Option{
				mr.Version(wordcountVersion),
				mr.MapSpans(func(t *mr.Task, block []byte, emit mr.EmitSpans[int64]) error {
					z := words()
					one := func(text []byte, spans []uint32) { emit(text, spans, 1) }
					if t.Format().Kind != mr.Fixed { // words end where lines end
						z.spans(block, one)
						return nil
					}
					for _, record := range mr.Records(t.Format(), block) {
						z.spans(record, one)
					}
					return nil
				}),
				mr.Combine(mr.Sum[int64]),
			}, nil
		}
	}).About("[--letters] [--lower]", "Counts words: what stands between ASCII white space. Output: word TAB n.")
}

// wordFlags declares the flags that say what a word is, and returns a function that
// makes tokenizers accordingly.
func wordFlags(fs *flag.FlagSet) func() *tokenizer {
	letters := fs.Bool("letters", false, "words are maximal runs of Unicode letters")
	lower := fs.Bool("lower", false, "words are counted in lower case")
	return func() *tokenizer { return &tokenizer{letters: *letters, lower: *lower} }
}

func noArgs(job string, args []string) error {
	if len(args) > 0 {
		return mr.Errorf(mr.Usage, "%s takes flags only, not %q; inputs are given with --input", job, args[0])
	}
	return nil
}
