package dfa

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// Matcher matches texts, and remembers the states that these have led to. It serves one goroutine.
type Matcher struct {
	p      *Program
	stride uint32 // of a state in next: one for each class

	// next has, of each state and class, the state behind it: a state is the index of its
	// first class, and indexes below stride are none. Behind the classes of characters come that of
	// the text's end, and one that stands for all beyond ASCII, of which the state is never known.
	next   []uint32
	states []state // of index i × stride, from 1
	known  map[string]uint32
	first  uint32 // where a text begins

	began int   // how often it began without states
	seen  int64 // bytes since then
	given bool  // up: regexp decides

	visited []uint32 // instructions, by the walk that came by last
	walk    uint32
	stack   []uint32
	leaves  []uint32
	key     []byte
}

// What stands in next in place of a state.
const (
	unknown = iota
	failed  // nothing that follows makes it a match
	matched // nothing that follows makes it none
	specials
)

// state is a set of instructions, of which each takes a character or makes an assertion, behind
// a character of that kind.
type state struct {
	insts []uint32
	kind  kind
}

const (
	entriesMost = 1 << 18 // of Matcher.next: one MiB
	worthBytes  = 10      // for each state: states that see less text than that were not worth making
)

func newMatcher(p *Program) *Matcher {
	m := &Matcher{p: p, stride: uint32(len(p.class) + 2), visited: make([]uint32, len(p.insts))}
	m.given = p.insts == nil || m.stride > entriesMost/64
	if !m.given {
		m.forget()
	}
	return m
}

// Release gives m back to its Program.
func (m *Matcher) Release() { m.p.matchers.Put(m) }

// forget begins anew, without states.
func (m *Matcher) forget() {
	m.next = append(m.next[:0], make([]uint32, m.stride)...)
	m.states = append(m.states[:0], state{})
	m.known = make(map[string]uint32)
	m.began++
	m.seen = 0
	m.walk++
	m.leaves = m.leaves[:0]
	m.first = matched
	if !m.follow(m.p.start, 0) {
		m.first = m.state(m.p.kinds[begin])
	}
}

// Match reports whether text has a match in it.
func (m *Matcher) Match(text []byte) bool {
	if m.given {
		return m.p.re.Match(text)
	}
	m.seen += int64(len(text))
	return m.run(text, 0, m.first)
}

// Match2 is Match of two texts at once, which takes less time: each step waits for the one before,
// but not for the other text's.
func (m *Matcher) Match2(a, b []byte) (inA, inB bool) {
	if m.given {
		return m.Match(a), m.Match(b)
	}
	m.seen += int64(len(a) + len(b))
	i, s, t := 0, m.first, m.first
	if s >= specials {
		next, ascii := m.next, &m.p.ascii
		for n := min(len(a), len(b)); i < n; i++ {
			u, v := next[s+uint32(ascii[a[i]])], next[t+uint32(ascii[b[i]])]
			if u < specials || v < specials {
				break
			}
			s, t = u, v
		}
	}
	began := m.began
	inA = m.run(a, i, s)
	if m.began != began { // and t is no state any more
		return inA, m.Match(b)
	}
	return inA, m.run(b, i, t)
}

// run matches text from i on, where the state is s.
func (m *Matcher) run(text []byte, i int, s uint32) bool {
	if s < specials {
		return s == matched
	}
	next, ascii := m.next, &m.p.ascii
	for {
		for i < len(text) {
			to := next[s+uint32(ascii[text[i]])]
			if to < specials {
				break
			}
			s = to
			i++
		}
		c, n := m.end(), 0
		if i < len(text) {
			if c, n = uint32(ascii[text[i]]), 1; text[i] >= utf8.RuneSelf {
				var r rune
				r, n = utf8.DecodeRune(text[i:])
				c = uint32(m.p.classOf(r))
			}
		}
		to := next[s+c]
		if to == unknown {
			if to = m.step(s, c); m.given {
				return m.p.re.Match(text)
			}
			next = m.next
		}
		if to < specials {
			return to == matched
		}
		s = to
		i += n
	}
}

// end is the class of the text's end.
func (m *Matcher) end() uint32 { return m.stride - 2 }

// step finds what is behind a state and a class.
func (m *Matcher) step(s, class uint32) uint32 {
	from := &m.states[s/m.stride]
	end := class == m.end()
	r, k := rune(-1), other
	if !end {
		r, k = m.p.class[class].sample, m.p.class[class].kind
	}
	// What the assertions between the two characters let through comes first: that takes the second.
	m.walk++
	m.leaves = m.leaves[:0]
	holds := syntax.EmptyOpContext(from.kind.sample(), r)
	to := uint32(failed)
	for _, pc := range from.insts {
		if m.follow(pc, holds) {
			to = matched
		}
	}
	if to != matched && !end {
		takers := slices.Clone(m.leaves)
		m.walk++
		m.leaves = m.leaves[:0]
		if !m.p.begins && m.follow(m.p.start, 0) { // a match may begin here as well
			to = matched
		}
		for _, pc := range takers {
			if in := &m.p.insts[pc]; takes(in, r) && m.follow(in.Out, 0) {
				to = matched
			}
		}
		if to != matched && len(m.leaves) > 0 {
			if len(m.next)+int(m.stride) > entriesMost {
				return m.overflow(m.leaves, k)
			}
			to = m.state(k)
		}
	}
	m.next[s+class] = to
	return to
}

// overflow begins anew with one state, if those before were worth it.
func (m *Matcher) overflow(leaves []uint32, k kind) uint32 {
	if m.seen < worthBytes*int64(len(m.states)) {
		m.given = true
		m.next, m.states, m.known = nil, nil, nil
		return failed
	}
	kept := slices.Clone(leaves)
	m.forget()
	m.leaves = kept
	return m.state(k)
}

// takes reports whether an instruction takes a character.
func takes(in *syntax.Inst, r rune) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1:
		return in.MatchRune(r)
	case syntax.InstRuneAny:
		return true
	case syntax.InstRuneAnyNotNL:
		return r != '\n'
	}
	return false
}

// follow adds to leaves what is reached from pc without a character: instructions that take
// one, and assertions but those of holds, which are passed. It reports whether that is a match.
func (m *Matcher) follow(pc uint32, holds syntax.EmptyOp) (match bool) {
	m.stack = append(m.stack[:0], pc)
	for len(m.stack) > 0 {
		pc := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if m.visited[pc] == m.walk {
			continue
		}
		m.visited[pc] = m.walk
		switch in := &m.p.insts[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			m.stack = append(m.stack, in.Arg, in.Out)
		case syntax.InstCapture, syntax.InstNop:
			m.stack = append(m.stack, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^holds == 0 {
				m.stack = append(m.stack, in.Out)
			} else {
				m.leaves = append(m.leaves, pc)
			}
		case syntax.InstMatch:
			match = true
		case syntax.InstFail:
		default:
			m.leaves = append(m.leaves, pc)
		}
	}
	return match
}

// state returns the state of leaves behind a character of that kind, which is a new one if need be.
func (m *Matcher) state(k kind) uint32 {
	slices.Sort(m.leaves)
	m.key = append(m.key[:0], byte(k))
	for _, pc := range m.leaves {
		m.key = binary.AppendUvarint(m.key, uint64(pc))
	}
	if s, ok := m.known[string(m.key)]; ok {
		return s
	}
	s := uint32(len(m.next))
	m.next = append(m.next, make([]uint32, m.stride)...)
	m.states = append(m.states, state{slices.Clone(m.leaves), k})
	m.known[string(m.key)] = s
	return s
}
