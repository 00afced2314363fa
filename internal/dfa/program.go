package dfa

import (
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Program is a compiled expression. It may be used by several goroutines at once.
type Program struct {
	re     *regexp.Regexp
	insts  []syntax.Inst // nil: regexp decides
	start  uint32
	begins bool // matches begin where the text does

	// Characters of one class lead from every state to the same one. ASCII has a table, in which
	// other bytes have a class of their own; the i-th of the others' ranges begins at from[i] and is of class of[i].
	ascii [256]uint16
	from  []rune
	of    []uint16
	class []class

	kinds    [last + 1]kind // what a kind of character before is taken for: not all matter
	matchers sync.Pool      // *Matcher
}

// class is a class of characters.
type class struct {
	sample rune // one of them; -1 of the text's end
	kind   kind
}

// kind is what empty-width assertions want to know of a character.
type kind uint8

const (
	begin   kind = iota // no character: where the text begins
	newline             // \n
	word                // as \w
	other
	last = other
)

// sample returns a character of that kind, as syntax.EmptyOpContext takes it.
func (k kind) sample() rune { return [...]rune{begin: -1, newline: '\n', word: 'a', other: ' '}[k] }

func kindOf(r rune) kind {
	switch {
	case r == '\n':
		return newline
	case syntax.IsWordChar(r):
		return word
	}
	return other
}

// questionsMost bounds the work of telling characters apart: that many questions whether an instruction takes one.
const questionsMost = 1 << 22

// Compile compiles an expression in the syntax of package regexp. The error is regexp's.
func Compile(expr string) (*Program, error) {
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	p := &Program{re: re}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return p, nil //nolint:nilerr // regexp took it, and so may decide
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return p, nil //nolint:nilerr // likewise
	}
	p.start, p.begins = uint32(prog.Start), prog.StartCond()&syntax.EmptyBeginText != 0
	var asks syntax.EmptyOp // of all assertions
	for i := range prog.Inst {
		if in := &prog.Inst[i]; in.Op == syntax.InstEmptyWidth {
			asks |= syntax.EmptyOp(in.Arg)
		}
	}
	if p.classify(prog.Inst, asks) {
		p.insts = prog.Inst
	}
	return p, nil
}

// classify finds the classes of characters. It returns false if that takes too long.
func (p *Program) classify(insts []syntax.Inst, asks syntax.EmptyOp) bool {
	lines := asks&(syntax.EmptyBeginLine|syntax.EmptyEndLine) != 0
	words := asks&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0
	for k := range p.kinds {
		switch k := kind(k); {
		case k == begin && asks != 0, k == newline && lines, k == word && words:
			p.kinds[k] = k
		default:
			p.kinds[k] = other
		}
	}

	ends := []rune{0, utf8.RuneSelf, unicode.MaxRune + 1} // where ranges begin
	add := func(lo, hi rune) { ends = append(ends, lo, hi+1) }
	add('\n', '\n')
	if words {
		add('0', '9')
		add('A', 'Z')
		add('_', '_')
		add('a', 'z')
	}
	var takers []*syntax.Inst // of characters, but not of every one
	for i := range insts {
		in := &insts[i]
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1:
			takers = append(takers, in)
			if len(in.Rune) == 1 {
				r := in.Rune[0]
				for add(r, r); ; add(r, r) {
					if r = unicode.SimpleFold(r); r == in.Rune[0] {
						break
					}
				}
				continue
			}
			for j := 0; j+1 < len(in.Rune); j += 2 {
				add(in.Rune[j], in.Rune[j+1])
			}
		case syntax.InstRuneAnyNotNL:
			takers = append(takers, in)
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	if len(ends)*len(takers) > questionsMost {
		return false
	}

	known := make(map[string]uint16)
	sign := make([]byte, 0, len(takers)+1)
	for i, r := range ends[:len(ends)-1] {
		k := p.kinds[kindOf(r)]
		sign = append(sign[:0], byte(k))
		for _, in := range takers {
			took := byte(0)
			if takes(in, r) {
				took = 1
			}
			sign = append(sign, took)
		}
		c, ok := known[string(sign)]
		if !ok {
			if len(p.class) >= math.MaxUint16-1 {
				return false
			}
			c = uint16(len(p.class))
			known[string(sign)] = c
			p.class = append(p.class, class{sample: r, kind: k})
		}
		if r < utf8.RuneSelf {
			for a := r; a < ends[i+1]; a++ {
				p.ascii[a] = c
			}
		} else if n := len(p.of); n == 0 || p.of[n-1] != c {
			p.from, p.of = append(p.from, r), append(p.of, c)
		}
	}
	for b := utf8.RuneSelf; b < len(p.ascii); b++ {
		p.ascii[b] = uint16(len(p.class)) + 1 // behind the text's end
	}
	return true
}

// classOf returns the class of a character beyond ASCII.
func (p *Program) classOf(r rune) uint16 {
	lo, hi := 0, len(p.from)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) >> 1); p.from[mid] <= r {
			lo = mid
		} else {
			hi = mid
		}
	}
	return p.of[lo]
}

// Matcher returns a Matcher for one goroutine. Release gives it back.
func (p *Program) Matcher() *Matcher {
	if m, ok := p.matchers.Get().(*Matcher); ok {
		return m
	}
	return newMatcher(p)
}
