package builtin

import (
	"bytes"
	"encoding/binary"
	"flag"
	"iter"
	"regexp"
	"strconv"
	"sync/atomic"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/dfa"
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
	expr    *dfa.Program // nil: a match is what has a needle
	choices []needles    // any of them will do
	chosen  *atomic.Pointer[needles]
}

func newFinder(pattern string, fixed, ignoreCase bool) (finder, error) {
	if fixed && !ignoreCase {
		return finder{choices: []needles{{{text: []byte(pattern)}}}}, nil
	}
	expr := pattern
	if fixed {
		expr = regexp.QuoteMeta(pattern)
	}
	if ignoreCase {
		expr = "(?i:" + expr + ")"
	}
	prog, err := dfa.Compile(expr)
	if err != nil {
		if _, alone := regexp.Compile(pattern); alone != nil {
			err = alone // shows the pattern as it was typed
		}
		return finder{}, mr.Errorf(mr.Usage, "grep: %w", err)
	}
	return finder{expr: prog, choices: requiredNeedles(expr), chosen: new(atomic.Pointer[needles])}, nil
}

// records returns offset and record of every record of block that matches.
func (f finder) records(format mr.Format, block []byte) iter.Seq2[int, []byte] {
	if f.expr == nil {
		return f.fixed(format, block)
	}
	return func(yield func(int, []byte) bool) {
		m := f.expr.Matcher()
		defer m.Release()
		at, waiting := -1, []byte(nil) // a record for another: see Match2
		for off, record := range f.choose(format, block).candidates(format, block) {
			if at < 0 {
				at, waiting = off, record
				continue
			}
			first, second := m.Match2(waiting, record)
			if first && !yield(at, waiting) || second && !yield(off, record) {
				return
			}
			at = -1
		}
		if at >= 0 && m.Match(waiting) {
			yield(at, waiting)
		}
	}
}

// fixed is records for a pattern that is text.
func (f finder) fixed(format mr.Format, block []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for off, record := range f.choices[0].candidates(format, block) {
			if bytes.Contains(record, f.choices[0][0].text) && !yield(off, record) { // it may end behind its record
				return
			}
		}
	}
}

// What is rare is seen in the first block that is long enough to tell.
const (
	sampleMost  = 64 << 10
	sampleLeast = 4 << 10
)

// choose returns the needles that are in the fewest records, or none if they are in most.
func (f finder) choose(format mr.Format, block []byte) needles {
	if c := f.chosen.Load(); c != nil {
		return *c
	}
	sample := block[:min(len(block), sampleMost)]
	var best needles
	least := 0
	for range mr.Records(format, sample) {
		least++
	}
	least /= 2
	for _, n := range f.choices {
		has := 0
		for range n.candidates(format, sample) {
			has++
		}
		if has < least || has == least && best == nil {
			best, least = n, has
		}
	}
	if len(sample) >= sampleLeast {
		f.chosen.Store(&best)
	}
	return best
}

// candidates returns the records of block in which a needle begins, with their offsets: without needles, all.
func (n needles) candidates(format mr.Format, block []byte) iter.Seq2[int, []byte] {
	if len(n) == 0 || len(n[0].text) == 0 {
		return mr.Records(format, block)
	}
	return func(yield func(int, []byte) bool) {
		find := n.search()
		for at := find.next(block, 0); at >= 0; {
			start, end := recordAt(format, block, at)
			record := block[start:end:end]
			if format.Kind == mr.Text {
				record = cutEnd(record)
			}
			if !yield(start, record) {
				return
			}
			at = find.next(block, end)
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
	start = lineStart(block[:at])
	if i := bytes.IndexByte(block[at:], '\n'); i >= 0 {
		return start, at + i + 1
	}
	return start, len(block)
}

// cutEnd drops a line's end, as mr.Records does: without its LF, a last line keeps a CR.
func cutEnd(line []byte) []byte {
	if n := len(line); n > 1 && line[n-2] == '\r' && line[n-1] == '\n' {
		return line[:n-2]
	}
	return bytes.TrimSuffix(line, []byte{'\n'})
}

// lineStart returns where the last line of b begins.
func lineStart(b []byte) int {
	n := len(b)
	for ; n >= 8; n -= 8 {
		if x := binary.LittleEndian.Uint64(b[n-8:]) ^ ones*'\n'; zeros(x) != 0 {
			break
		}
	}
	return bytes.LastIndexByte(b[:n], '\n') + 1
}
