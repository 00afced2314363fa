package collect

import "sync"

// memory is where large buffers rest between tasks, so that a worker doesn't fault in and
// clear fresh pages for each split. It is the package's only shared state and cannot be
// observed but by speed; sync.Pool gives what is not used back to the collector. Nothing is
// given back before the last use of what refers to it: Drain and Discard are the only places.
var memory pools

type pools struct {
	chunks  sync.Pool // *[chunkMax]byte: of arenas
	entries sync.Pool // *[entryChunk]entry: of Buffers
	sorted  sync.Pool // *[]entry: of sorters, of any length
	slots   sync.Pool // *[]slot[V], cleared, of tables of full size
	keys    sync.Pool // *[]byte, of the same
	totals  sync.Pool // *totals, reset
	lines   sync.Pool // *[1<<lineBits]line, cleared
}

func (p *pools) chunk() []byte {
	if c, ok := p.chunks.Get().(*[chunkMax]byte); ok {
		return c[:]
	}
	return make([]byte, chunkMax)
}

// keepChunk takes a chunk, if it is of the one size that is worth it.
func (p *pools) keepChunk(c []byte) {
	if len(c) == chunkMax && cap(c) == chunkMax {
		p.chunks.Put((*[chunkMax]byte)(c))
	}
}

// entryChunk returns an empty chunk of entries.
func (p *pools) entryChunk() []entry {
	if c, ok := p.entries.Get().(*[entryChunk]entry); ok {
		return c[:0]
	}
	return make([]entry, 0, entryChunk)
}

func (p *pools) keepEntryChunk(c []entry) {
	if cap(c) == entryChunk {
		p.entries.Put((*[entryChunk]entry)(c[:entryChunk]))
	}
}

// sortable returns n entries, of any content.
func (p *pools) sortable(n int) []entry {
	if n < entryChunk {
		return make([]entry, n)
	}
	if s, ok := p.sorted.Get().(*[]entry); ok && cap(*s) >= n {
		return (*s)[:n]
	}
	return make([]entry, n, n+n/4)
}

func (p *pools) keepSortable(s []entry) {
	if cap(s) >= entryChunk {
		p.sorted.Put(&s)
	}
}

// slotsFor returns n empty slots, which are a table of full size.
func slotsFor[V any](p *pools, n int) []slot[V] {
	if s, ok := p.slots.Get().(*[]slot[V]); ok && len(*s) == n {
		return *s
	}
	return make([]slot[V], n)
}

// keysFor returns room for the long keys of a table of full size, after those it has.
func (p *pools) keysFor(have []byte) []byte {
	if b, ok := p.keys.Get().(*[]byte); ok {
		return append((*b)[:0], have...)
	}
	return append(make([]byte, 0, keysMax+stagedMax+longestKey), have...)
}

// fullLines returns as many lines as a table can have.
func (p *pools) fullLines() []line {
	if l, ok := p.lines.Get().(*[1 << lineBits]line); ok {
		return l[:]
	}
	return make([]line, 1<<lineBits)
}

// keepLines takes lines that are cleared, if they are as many.
func (p *pools) keepLines(l []line) {
	if len(l) == 1<<lineBits {
		p.lines.Put((*[1 << lineBits]line)(l))
	}
}
