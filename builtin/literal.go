package builtin

import (
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// requiredLiteral returns a string that every text which expr matches has in it, the
// longest that is easily seen; nil if none is.
func requiredLiteral(expr string) []byte {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	return []byte(literalOf(re))
}

func literalOf(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if exact(re) {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literalOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return literalOf(re.Sub[0])
		}
	case syntax.OpConcat:
		var longest, run string
		for _, sub := range re.Sub {
			l := literalOf(sub)
			if exact(sub) {
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

// exact reports whether re matches its literal and nothing else. An empty-width
// assertion is as good: it does not part what stands beside it.
func exact(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		// U+FFFD in an expression also matches any byte that is not UTF-8.
		return re.Flags&syntax.FoldCase == 0 && !slices.Contains(re.Rune, utf8.RuneError)
	case syntax.OpCapture:
		return exact(re.Sub[0])
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary, syntax.OpEmptyMatch:
		return true
	}
	return false
}
