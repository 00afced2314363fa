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

// needles are literals of which every match of an expression has one.
type needles []literal

const (
	needlesMost = 3 // a search for each takes a third of what matching does
	choicesMost = 4
)

// requiredNeedles returns needles of expr that are easily seen, those that should be the rarest
// first: longer ones, and ones in their exact case before ones in any.
func requiredNeedles(expr string) []needles {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	type choice struct {
		texts []string
		fold  bool
	}
	var found []choice
	for _, texts := range choices(re, exact) {
		found = append(found, choice{texts, false})
	}
	for _, texts := range choices(re, folded) {
		if !slices.ContainsFunc(found, func(c choice) bool { return slices.Equal(c.texts, texts) }) {
			found = append(found, choice{texts, true})
		}
	}
	slices.SortStableFunc(found, func(a, b choice) int { return shortest(b.texts) - shortest(a.texts) })
	var all []needles
	for _, c := range found[:min(len(found), choicesMost)] {
		var n needles
		for _, text := range c.texts {
			if c.fold {
				text = strings.ToLower(text)
			}
			n = append(n, literal{[]byte(text), c.fold})
		}
		all = append(all, n)
	}
	return all
}

func shortest(texts []string) int {
	n := len(texts[0])
	for _, text := range texts[1:] {
		n = min(n, len(text))
	}
	return n
}

// choices returns sets of strings: of each, every match of re has one. They are made of literals of one sort.
func choices(re *syntax.Regexp, sort func(*syntax.Regexp) bool) (all [][]string) {
	switch re.Op {
	case syntax.OpLiteral:
		if sort(re) {
			return [][]string{{string(re.Rune)}}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return choices(re.Sub[0], sort)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return choices(re.Sub[0], sort)
		}
	case syntax.OpConcat:
		run := "" // adjacent literals are one
		for _, sub := range re.Sub {
			if only(sub, sort) {
				run += textOf(sub)
				continue
			}
			if run != "" {
				all = append(all, []string{run})
			}
			run = ""
			all = append(all, choices(sub, sort)...)
		}
		if run != "" {
			all = append(all, []string{run})
		}
	case syntax.OpAlternate:
		var either []string
		for _, sub := range re.Sub {
			of := choices(sub, sort)
			if len(of) == 0 {
				return nil
			}
			either = append(either, slices.MaxFunc(of, func(a, b []string) int { return shortest(a) - shortest(b) })...)
		}
		if len(either) <= needlesMost {
			return [][]string{either}
		}
	}
	return all
}

// textOf is the literal of what is only that.
func textOf(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCapture:
		return textOf(re.Sub[0])
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
