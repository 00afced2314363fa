package builtin

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// literal is a string that every match of an expression has in it.
type literal struct {
	text []byte // empty: nothing is known
	fold bool   // in either case; then text is ASCII, in lower case
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
	return literal{text: []byte(strings.ToLower(longestRun(re, folded))), fold: true}
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
