package builtin

import (
	"bytes"
	"math"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// literal is a string that every match of an expression has in it.
type literal struct {
	text []byte // empty: nothing is known
	fold bool   // in either case; then text is ASCII, in lower case
	rare int    // index in text of the byte to look for first, if fold
}

// requiredLiteral returns the longest literal of expr that is easily seen, one in its
// exact case rather than one in any.
func requiredLiteral(expr string) literal {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return literal{}
	}
	if s := longestRun(re, exact); s != "" {
		return literal{text: []byte(s)}
	}
	return foldedLiteral(longestRun(re, folded))
}

// longestRun returns the longest string that every match of re has in it, among those
// made of literals of one sort.
func longestRun(re *syntax.Regexp, sort func(*syntax.Regexp) bool) string {
	switch re.Op {
	case syntax.OpLiteral:
		if sort(re) {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return longestRun(re.Sub[0], sort)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return longestRun(re.Sub[0], sort)
		}
	case syntax.OpConcat:
		var longest, run string
		for _, sub := range re.Sub {
			l := longestRun(sub, sort)
			if only(sub, sort) {
				run += l // adjacent literals are one
				l = run
			} else {
				run = ""
			}
			if len(l) > len(longest) {
				longest = l
			}
		}
		return longest
	}
	return ""
}

// only reports whether re matches its literal and nothing else. An empty-width
// assertion is as good: it does not part what stands beside it.
func only(re *syntax.Regexp, sort func(*syntax.Regexp) bool) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return sort(re)
	case syntax.OpCapture:
		return only(re.Sub[0], sort)
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary, syntax.OpEmptyMatch:
		return true
	}
	return false
}

// exact literals match one string. U+FFFD in an expression also matches any byte that is
// not UTF-8.
func exact(re *syntax.Regexp) bool {
	return re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError)
}

// folded literals match a string of ASCII in either case. K and S also fold to letters
// beyond ASCII.
func folded(re *syntax.Regexp) bool {
	return !slices.ContainsFunc(re.Rune, func(r rune) bool {
		return r >= utf8.RuneSelf || strings.ContainsRune("kKsS", r)
	})
}

// common are the bytes of English text and of code, the most frequent first, as far as
// it matters.
const common = " etaoinsrhldcumfpgwybvkxjqz0123456789_-.,"

func foldedLiteral(s string) literal {
	l := literal{text: []byte(strings.ToLower(s)), fold: true}
	best := -1
	for i, c := range l.text {
		rank := strings.IndexByte(common, c)
		if rank < 0 {
			rank = len(common)
		}
		if rank > best {
			best, l.rare = rank, i
		}
	}
	return l
}

// search finds the places of a literal in one block, from the left.
type search struct {
	literal
	block        []byte
	lower, upper int // where the rare byte is next, in either case; -1: not known
}

func (l literal) in(block []byte) *search {
	return &search{literal: l, block: block, lower: -1, upper: -1}
}

// next returns where the first literal is that begins at from or behind, or -1. from
// must not decrease.
func (s *search) next(from int) int {
	if !s.fold {
		i := bytes.Index(s.block[from:], s.text)
		if i < 0 {
			return -1
		}
		return from + i
	}
	c := s.text[s.rare]
	for {
		s.lower = s.seek(s.lower, from+s.rare, c)
		if c-'a' < 26 {
			s.upper = s.seek(s.upper, from+s.rare, c-'a'+'A')
		} else {
			s.upper = nowhere
		}
		at := min(s.lower, s.upper) - s.rare
		if at+len(s.text) > len(s.block) {
			return -1
		}
		if equalFold(s.block[at:at+len(s.text)], s.text) {
			return at
		}
		from = at + 1
	}
}

const nowhere = math.MaxInt / 2

// seek returns where the first c at or behind from is, which is known if that is not
// before from.
func (s *search) seek(known, from int, c byte) int {
	if known >= from {
		return known
	}
	if from < len(s.block) {
		if i := bytes.IndexByte(s.block[from:], c); i >= 0 {
			return from + i
		}
	}
	return nowhere
}

// equalFold compares b with lower-case ASCII.
func equalFold(b, lower []byte) bool {
	for i, c := range b {
		if c-'A' < 26 {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
