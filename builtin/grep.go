package builtin

import (
	"bytes"
	"flag"
	"iter"
	"regexp"
	"strconv"

	"github.com/mrd-io/mr"
)

const grepVersion = "1"

// place is where a record begins: a file, and an offset in it. Its order is the order
// of the lines in their file.
type place = mr.Tuple2[string, int64]

func grep() *mr.Definition {
	return mr.JobFunc("grep", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		fixed := fs.Bool("fixed", false, "PATTERN is text, not a regular expression")
		ignoreCase := fs.Bool("ignore-case", false, "letters match in either case")
		counts := fs.Bool("count", false, "write the number of matching lines of each file that has some")
		return func(args []string) ([]mr.Option, error) {
			if len(args) != 1 {
				return nil, mr.Errorf(mr.Usage, "grep takes one PATTERN, not %d; inputs are given with --input", len(args))
			}
			find, err := newFinder(args[0], *fixed, *ignoreCase)
			if err != nil {
				return nil, err
			}
			opts := []mr.Option{mr.Version(grepVersion), mr.Positions()}
			if *counts {
				return append(opts, countMatches(find), mr.Combine(mr.Sum[int64])), nil
			}
			return append(opts, writeMatches(find), mr.Reduce(showMatches)), nil
		}
	}).About("PATTERN [--fixed] [--ignore-case] [--count]", "Finds lines that match the RE2 expression PATTERN. Output: path:offset TAB line, the offset\n"+
		"being that of the line's first byte; with --count, path TAB n.")
}

func countMatches(find finder) mr.Option {
	return mr.MapBlock(func(t *mr.Task, block []byte, emit mr.Emit[string, int64]) error {
		var n int64
		for range find.records(t.Format(), block) {
			n++
		}
		if n > 0 {
			emit(t.Path(), n)
		}
		return nil
	})
}

func writeMatches(find finder) mr.Option {
	return mr.MapBlock(func(t *mr.Task, block []byte, emit mr.Emit[place, []byte]) error {
		for off, line := range find.records(t.Format(), block) {
			emit(mr.T2(t.Path(), t.Offset()+int64(off)), line)
		}
		return nil
	})
}

func showMatches(_ *mr.Task, at place, lines iter.Seq[[]byte], emit mr.Emit[[]byte, []byte]) error {
	var where []byte
	for line := range lines {
		where = append(append(where[:0], at.A...), ':')
		emit(strconv.AppendInt(where, at.B, 10), line)
	}
	return nil
}

// finder finds records that match. It may be used by several goroutines at once.
type finder struct {
	literal literal        // every match has it
	re      *regexp.Regexp // nil: the literal is all there is to match
}

func newFinder(pattern string, fixed, ignoreCase bool) (finder, error) {
	if fixed && !ignoreCase {
		return finder{literal: literal{text: []byte(pattern)}}, nil
	}
	expr := pattern
	if fixed {
		expr = regexp.QuoteMeta(pattern)
	}
	if ignoreCase {
		expr = "(?i:" + expr + ")"
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		if _, alone := regexp.Compile(pattern); alone != nil {
			err = alone // shows the pattern as it was typed
		}
		return finder{}, mr.Errorf(mr.Usage, "grep: %w", err)
	}
	return finder{literal: requiredLiteral(expr), re: re}, nil
}

func (f finder) matches(record []byte) bool {
	if f.re == nil {
		return bytes.Contains(record, f.literal.text)
	}
	return f.re.Match(record)
}

// records returns offset and record of every record of block that matches. If a match
// must have some literal in it, only records that have it are ever looked at.
func (f finder) records(format mr.Format, block []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		if len(f.literal.text) == 0 {
			for off, record := range mr.Records(format, block) {
				if f.matches(record) && !yield(off, record) {
					return
				}
			}
			return
		}
		find := f.literal.search()
		for from := 0; ; {
			at := find.next(block, from)
			if at < 0 {
				return
			}
			start, end := recordAt(format, block, at)
			for _, record := range mr.Records(format, block[start:end]) {
				if f.matches(record) && !yield(start, record) {
					return
				}
			}
			from = end
		}
	}
}

// recordAt returns where the record that holds the byte at begins, and where the next one does.
func recordAt(format mr.Format, block []byte, at int) (start, end int) {
	switch format.Kind {
	case mr.Fixed:
		start = at - at%format.N
		return start, min(start+format.N, len(block))
	case mr.Whole:
		return 0, len(block)
	}
	start = bytes.LastIndexByte(block[:at], '\n') + 1
	if i := bytes.IndexByte(block[at:], '\n'); i >= 0 {
		return start, at + i + 1
	}
	return start, len(block)
}
