package input

import (
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/mrd-io/mr"
)

// maxGlob bounds a glob's components, which are bits of a word, and maxBraces the patterns
// that its braces stand for.
const (
	maxGlob   = 60
	maxBraces = 4096
)

// glob is a glob's components below its literal beginning.
type glob []string

// all is the state in which everything below is taken.
func (g glob) all() uint64 { return 1 << len(g) }

// step returns the states that an entry's name leads to from a folder's states: down through
// ** and below what is taken, named by a component that matches the name. Hidden names match
// only a component that begins with a dot itself.
func (g glob) step(states uint64, name string) (down, named uint64) {
	hidden := name[0] == '.'
	if !hidden {
		down = states & g.all()
	}
	for i, c := range g {
		if states&(1<<i) == 0 {
			continue
		}
		if c != "**" {
			if (!hidden || c[0] == '.' || strings.HasPrefix(c, `\.`)) && doublestar.MatchUnvalidated(c, name) {
				named |= 1 << (i + 1)
			}
			continue
		}
		if !hidden {
			down |= 1 << i
		}
		if i+1 < len(g) {
			states |= 1 << (i + 1) // ** may stand for no folder at all
		} else if !hidden {
			down |= g.all()
		}
	}
	return down, named
}

// glob adds the files that one glob without braces matches.
func (l *lister) glob(pattern string) error {
	base, err := filepath.Abs(".") // never part of the glob, whatever characters it has
	if err != nil {
		return mr.Errorf(mr.Failed, "input %q: %w", pattern, err)
	}
	if filepath.IsAbs(pattern) {
		base = "/"
	}
	path := filepath.Clean(pattern)
	if !doublestar.ValidatePattern(path) {
		return mr.Errorf(mr.Usage, "input %q: the glob is malformed; put a backslash before [ ] { } * ? or \\ that stand for themselves", pattern)
	}
	rest := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for len(rest) > 0 && !hasMeta(rest[0]) {
		base, rest = filepath.Join(base, rest[0]), rest[1:]
	}
	if len(rest) == 0 {
		_, err := l.named(base)
		return err
	}
	if strings.HasSuffix(pattern, "/") { // folders alone, as in a shell
		rest = append(rest, "**")
	}
	var g glob
	for _, c := range rest {
		if c == "**" && len(g) > 0 && g[len(g)-1] == "**" {
			continue
		}
		g = append(g, c)
	}
	if len(g) > maxGlob {
		return mr.Errorf(mr.Usage, "input %q: a glob may have at most %d components", pattern, maxGlob)
	}
	return l.walk(base, g)
}

func hasMeta(s string) bool { return strings.ContainsAny(s, `*?[{\`) }

// expandBraces returns the patterns that a glob's braces stand for, so that an alternative
// may hold slashes: a/{b/c,d}/*.log.
func expandBraces(pattern string) ([]string, error) {
	done, todo := []string(nil), []string{pattern}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		open, commas, end := findBraces(p)
		switch {
		case open < 0:
			done = append(done, p)
		case end < 0:
			return nil, mr.Errorf(mr.Usage, "input %q: a { of the glob is not closed; write \\{ for the character itself", pattern)
		default:
			from := open + 1
			for _, to := range append(commas, end) {
				todo = append(todo, p[:open]+p[from:to]+p[end+1:])
				from = to + 1
			}
		}
		if len(done)+len(todo) > maxBraces {
			return nil, mr.Errorf(mr.Usage, "input %q: the braces of the glob stand for more than %d patterns; name a folder instead", pattern, maxBraces)
		}
	}
	return done, nil
}

// findBraces finds the first brace of a glob, the commas on its level and its end; open < 0:
// there is none, end < 0: it is not closed. Escaped characters and [classes] are skipped.
func findBraces(p string) (open int, commas []int, end int) {
	open, depth, class := -1, 0, false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '{':
			if depth++; depth == 1 {
				open = i
			}
		case c == ',' && depth == 1:
			commas = append(commas, i)
		case c == '}' && depth > 0:
			if depth--; depth == 0 {
				return open, commas, i
			}
		}
	}
	return open, commas, -1
}
