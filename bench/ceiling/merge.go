package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
)

// merger adds up the counts of one partition after the other. It keeps its memory: to have the pages of
// new memory cleared by the kernel would take longer than the merge.
type merger struct {
	table []record // open addressing; n == 0 means that the place is free
	used  int
	longs []longSum // likewise
	many  int
	arena []byte // the long words
	sums  []sum
	order []prefix
}

// reset makes m ready for another partition.
func (m *merger) reset() {
	clear(m.table)
	clear(m.longs)
	m.used, m.many, m.arena = 0, 0, m.arena[:0]
}

// longSum is a word of more than 16 bytes: arena[at:at+size].
type longSum struct {
	hash     uint64
	n        uint64
	at, size uint32
}

// sum is a distinct word, ready to be sorted: its first 16 bytes as big-endian integers, which compare
// as the bytes do.
type sum struct {
	a, b uint64
	n    uint64
	size uint32
	at   uint32 // of a long word, in the arena
}

// prefix is what is sorted of a sum: most comparisons end here.
type prefix struct {
	a uint64
	i uint32 // which sum
}

// words returns the number of distinct words.
func (m *merger) words() int { return m.used + m.many }

// add adds what one worker has counted.
func (m *merger) add(p *partition) {
	for _, chunk := range p.full {
		m.addShort(chunk)
	}
	m.addShort(p.chunk)
	for _, chunk := range p.longFull {
		m.addLong(chunk)
	}
	m.addLong(p.long)
}

func (m *merger) addShort(chunk []record) {
	if 2*(m.used+len(chunk)) > len(m.table) {
		m.grow(4 * (m.used + len(chunk)))
	}
	mask := uint64(len(m.table) - 1)
	for i := range chunk {
		r := &chunk[i]
		for k := r.place() & mask; ; k = (k + 1) & mask {
			t := &m.table[k]
			if t.short == r.short && uint8(t.n) == uint8(r.n) && t.n != 0 {
				t.n += r.n &^ 0xff
				break
			}
			if t.n == 0 {
				*t = *r
				m.used++
				break
			}
		}
	}
}

// place hashes a record otherwise than the counters' tables did, whose low bits its neighbours share.
func (r *record) place() uint64 {
	hi, lo := bits.Mul64(r.a^0xa0761d6478bd642f, r.b^0xe7037ed1a0b428db)
	return hi ^ lo ^ lo>>32
}

func (m *merger) grow(places int) {
	old := m.table
	m.table, m.used = make([]record, 1<<bits.Len(uint(places-1))), 0
	for i := range old {
		if old[i].n != 0 {
			m.addShort(old[i : i+1])
		}
	}
}

func (m *merger) addLong(spill []byte) {
	for len(spill) > 0 {
		size, n := binary.LittleEndian.Uint32(spill), binary.LittleEndian.Uint64(spill[4:])
		word := spill[12 : 12+size]
		spill = spill[12+size:]
		if 2*m.many >= len(m.longs) {
			m.growLong()
		}
		h := hashLong(word)
		mask := uint64(len(m.longs) - 1)
		for k := h >> 20 & mask; ; k = (k + 1) & mask {
			t := &m.longs[k]
			if t.n == 0 {
				*t = longSum{h, n, uint32(len(m.arena)), size}
				m.arena = append(m.arena, word...)
				m.many++
				break
			}
			if t.hash == h && string(m.arena[t.at:t.at+t.size]) == string(word) {
				t.n += n
				break
			}
		}
	}
}

func (m *merger) growLong() {
	old := m.longs
	m.longs = make([]longSum, max(1024, 4*len(old)))
	mask := uint64(len(m.longs) - 1)
	for _, s := range old {
		if s.n != 0 {
			k := s.hash >> 20 & mask
			for m.longs[k].n != 0 {
				k = (k + 1) & mask
			}
			m.longs[k] = s
		}
	}
}

// print appends the partition's lines to out, in order.
func (m *merger) print(out []byte) []byte {
	sums := m.sums[:0]
	for i := range m.table {
		if r := &m.table[i]; r.n != 0 {
			sums = append(sums, sum{a: bits.ReverseBytes64(r.a), b: bits.ReverseBytes64(r.b), n: r.n >> 8, size: uint32(uint8(r.n))})
		}
	}
	for i := range m.longs {
		if l := &m.longs[i]; l.n != 0 {
			w := m.arena[l.at:]
			sums = append(sums, sum{binary.BigEndian.Uint64(w), binary.BigEndian.Uint64(w[8:]), l.n, l.size, l.at})
		}
	}
	order := m.order[:0]
	for i := range sums {
		order = append(order, prefix{sums[i].a, uint32(i)})
	}
	slices.SortFunc(order, func(x, y prefix) int {
		if x.a != y.a {
			return cmp.Compare(x.a, y.a)
		}
		return m.compare(&sums[x.i], &sums[y.i])
	})
	m.sums, m.order = sums, order
	for _, o := range order {
		s := &sums[o.i]
		if s.size > shortWord {
			out = append(out, m.arena[s.at:s.at+s.size]...)
		} else {
			out = binary.BigEndian.AppendUint64(out, s.a)
			out = binary.BigEndian.AppendUint64(out, s.b)
			out = out[:len(out)-shortWord+int(s.size)]
		}
		out = append(out, '\t')
		out = strconv.AppendUint(out, s.n, 10)
		out = append(out, '\n')
	}
	return out
}

// compare orders words with equal first eight bytes by the others. Of two short words that differ in nothing but the zeros that pad
// them, or of a short one and a longer one that begins with it, the shorter comes first.
func (m *merger) compare(x, y *sum) int {
	switch {
	case x.b != y.b:
		return cmp.Compare(x.b, y.b)
	case x.size > shortWord && y.size > shortWord:
		return bytes.Compare(m.arena[x.at:x.at+x.size], m.arena[y.at:y.at+y.size])
	}
	return cmp.Compare(x.size, y.size)
}
