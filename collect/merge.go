package collect

import "bytes"

// Merge returns a cursor over the records of all of cs in key order. Equal keys
// come in the order of cs. It stops at the first cursor that fails.
//
// It is a tree of losers: a leaf for each cursor, and in each inner node the
// loser of the match played there. A step replays the matches between the last
// winner's leaf and the root, one comparison a level. Nearly all comparisons
// end at the 8-byte prefixes, which lie next to each other in memory.
func Merge(cs []Cursor) Cursor {
	switch len(cs) {
	case 0:
		return &merge{done: true}
	case 1:
		return cs[0]
	}
	return &merge{leaves: make([]leaf, len(cs)), losers: make([]int32, len(cs)), cursors: cs}
}

type merge struct {
	leaves  []leaf
	losers  []int32 // losers[0] is the overall winner
	cursors []Cursor
	started bool
	done    bool
	err     error
}

// leaf is a cursor's current record as matches see it.
type leaf struct {
	head  uint64
	key   []byte
	ended bool
}

func (m *merge) Next() bool {
	if m.done {
		return false
	}
	if !m.started {
		m.start()
	} else {
		m.replay()
	}
	if m.err != nil || m.leaves[m.losers[0]].ended {
		m.done = true
		return false
	}
	return true
}

func (m *merge) Key() []byte   { return m.leaves[m.losers[0]].key }
func (m *merge) Value() []byte { return m.cursors[m.losers[0]].Value() }
func (m *merge) Err() error    { return m.err }

// advance steps cursor i and refreshes its leaf.
func (m *merge) advance(i int32) {
	l := &m.leaves[i]
	c := m.cursors[i]
	if c.Next() {
		l.key = c.Key()
		l.head = head(l.key)
		return
	}
	// The head of an ended leaf loses or draws against every other.
	l.key, l.head, l.ended = nil, ^uint64(0), true
	if err := c.Err(); err != nil && m.err == nil {
		m.err = err
	}
}

// start plays all matches. The leaf of cursor i stands below node (n+i)/2, so any
// number of cursors makes a tree.
func (m *merge) start() {
	m.started = true
	n := len(m.cursors)
	winner := make([]int32, 2*n)
	for i := range m.cursors {
		m.advance(int32(i))
		winner[n+i] = int32(i)
	}
	for node := n - 1; node > 0; node-- {
		a, b := winner[2*node], winner[2*node+1]
		if m.before(b, a) {
			a, b = b, a
		}
		winner[node], m.losers[node] = a, b
	}
	m.losers[0] = winner[1]
}

func (m *merge) replay() {
	w := m.losers[0]
	m.advance(w)
	h := m.leaves[w].head
	losers, leaves := m.losers, m.leaves
	// Which of two heads is less is as good as a coin, and guessing wrong is what a match costs: so
	// what follows from it is written for conditional moves. Equal heads are rare.
	for node := (len(m.cursors) + int(w)) / 2; node > 0; node /= 2 {
		l := losers[node]
		lh := leaves[l].head
		if lh == h {
			if m.before(l, w) {
				losers[node], w = w, l
			}
			continue
		}
		win, lose, wh := w, l, h
		if lh < h {
			win, lose, wh = l, w, lh
		}
		losers[node] = lose
		w, h = win, wh
	}
	m.losers[0] = w
}

// before reports whether leaf a comes before leaf b.
func (m *merge) before(a, b int32) bool {
	x, y := &m.leaves[a], &m.leaves[b]
	if x.head != y.head {
		return x.head < y.head
	}
	if x.ended || y.ended {
		return !x.ended || (y.ended && a < b)
	}
	if len(x.key) > 8 && len(y.key) > 8 {
		if c := bytes.Compare(x.key[8:], y.key[8:]); c != 0 {
			return c < 0
		}
		return a < b
	}
	// One ends within the prefix, and zeros pad it: the shorter is a prefix of the
	// longer.
	if len(x.key) != len(y.key) {
		return len(x.key) < len(y.key)
	}
	return a < b
}
