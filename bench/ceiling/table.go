package main

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

const (
	lineBits  = 14 // of short words' table: 1 MiB, what a core has of its own cache
	longBits  = 12
	shortWord = 16
	longWord  = 64 // longer ones go to their partition at once
	batchSize = 128
	chunkSize = 512
	slabSize  = 64 * chunkSize
	longChunk = 16 << 10 // bytes
)

// short is a word of up to 16 bytes: two little-endian integers, padded with zeros, so that the first
// byte is the lowest. Its length is beside it, for a word may end in zeros.
type short struct{ a, b uint64 }

// line is a cache line of the table: three words that hash to it, the most frequent ones first.
type line struct {
	word [3]short
	n    [3]uint32 // how often; 0 means that the place is free
	size [4]uint8
}

// long is a place for one word of 17 to 64 bytes.
type long struct {
	hash uint64
	n    uint32
	size uint32
	word [longWord]byte
}

// record is a short word that left the table: count<<8 | length.
type record struct {
	short
	n uint64
}

// partition holds what left the tables in one range of words.
type partition struct {
	full  [][]record
	chunk []record
	// Long words: length and count as 4 and 8 bytes, and the word; and so on.
	longFull [][]byte
	long     []byte
}

// counter is what one worker has counted.
type counter struct {
	ranges *rangeTable
	lines  []line
	longs  []long
	parts  [partitions]partition
	slab   []record // of which chunks are cut
	edges  edges
	batch  [batchSize]probe
	staged int
	since  int64 // bytes since the table was emptied: counts have 32 bits
	sink   uint64
	spills int // records in the partitions
}

// probe is a short word on its way to the table.
type probe struct {
	short
	line uint32
	size uint32
}

func newCounter(ranges *rangeTable) *counter {
	return &counter{ranges: ranges, lines: make([]line, 1<<lineBits), longs: make([]long, 1<<longBits)}
}

// keep are the masks that keep the first n bytes of a word's two integers.
var keep = func() (masks [shortWord + 1]short) {
	for n := range masks {
		masks[n].a = 1<<(8*min(n, 8)) - 1
		masks[n].b = 1<<(8*max(n-8, 0)) - 1
	}
	return masks
}()

// count counts the words of text, behind which there is padding.
func (c *counter) count(text []byte) {
	if c.since += int64(len(text)); c.since > math.MaxUint32 {
		c.flush()
		c.since = int64(len(text))
	}
	if len(text) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(text))
	e := &c.edges
	e.n = 0
	end := (len(text) + 64) &^ 63 // one byte of padding at least, which ends the last word
	inWord := uint64(0)
	for off := 0; off < end; off += stretch {
		inWord = e.scan(p, off, min(off+stretch, end), inWord)
		c.words(p, e.at[:e.n&^1])
		e.at[0], e.n = e.at[e.n&^1], e.n&1 // the beginning of a word that goes on
	}
	c.probeAll()
}

// words counts the words that begin and end at those offsets, in turn.
func (c *counter) words(text unsafe.Pointer, at []uint32) {
	const multA, multB = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	staged := c.staged
	for i := 0; i+1 < len(at); i += 2 {
		start := int(at[i])
		n := int(at[i+1]) - start
		if uint(n) > shortWord {
			c.long(unsafe.Slice((*byte)(unsafe.Add(text, start)), n))
			continue
		}
		m := &keep[n]
		s := short{load(text, start) & m.a, load(text, start+8) & m.b}
		hi, lo := bits.Mul64(s.a^multA, s.b^multB^uint64(n))
		k := uint32((hi ^ lo) >> (64 - lineBits))
		c.sink += uint64(c.lines[k].size[3]) // fetched while the others are looked up
		c.batch[staged%batchSize] = probe{s, k, uint32(n)}
		if staged++; staged == batchSize {
			c.staged = staged
			c.probeAll()
			staged = 0
		}
	}
	c.staged = staged
}

// probeAll counts the batch.
func (c *counter) probeAll() {
	for i := range c.batch[:c.staged] {
		p := &c.batch[i]
		l := &c.lines[p.line]
		size := uint8(p.size)
		switch {
		case l.word[0] == p.short && l.size[0] == size:
			l.n[0]++
		case l.word[1] == p.short && l.size[1] == size:
			if l.n[1]++; l.n[1] > l.n[0] {
				l.swap(0, 1)
			}
		case l.word[2] == p.short && l.size[2] == size:
			if l.n[2]++; l.n[2] > l.n[1] {
				l.swap(1, 2)
			}
		default:
			if l.n[2] != 0 {
				c.spill(l.word[2], uint64(l.n[2])<<8|uint64(l.size[2]))
			}
			l.word[2], l.n[2], l.size[2] = p.short, 1, size
		}
	}
	c.staged = 0
}

func (l *line) swap(i, j int) {
	l.word[i], l.word[j] = l.word[j], l.word[i]
	l.n[i], l.n[j] = l.n[j], l.n[i]
	l.size[i], l.size[j] = l.size[j], l.size[i]
}

// spill appends a record to its partition.
func (c *counter) spill(s short, n uint64) {
	p := &c.parts[c.ranges[s.a&0xffff]]
	if len(p.chunk) == cap(p.chunk) {
		if p.chunk != nil {
			p.full = append(p.full, p.chunk)
		}
		if len(c.slab) == 0 {
			c.slab = make([]record, slabSize)
		}
		p.chunk, c.slab = c.slab[:0:chunkSize], c.slab[chunkSize:]
	}
	p.chunk = append(p.chunk, record{s, n})
	c.spills++
}

// long counts a word of more than 16 bytes.
func (c *counter) long(word []byte) {
	if len(word) > longWord {
		c.spillLong(word, 1)
		return
	}
	h := hashLong(word)
	l := &c.longs[h>>(64-longBits)]
	if l.hash == h && l.n != 0 && string(l.word[:l.size]) == string(word) {
		l.n++
		return
	}
	if l.n != 0 {
		c.spillLong(l.word[:l.size], uint64(l.n))
	}
	l.hash, l.n, l.size = h, 1, uint32(len(word))
	copy(l.word[:], word)
}

// hashLong hashes a word of at least 8 bytes; its last bytes may count twice.
func hashLong(word []byte) uint64 {
	h := uint64(len(word))
	for i := 0; ; i += 8 {
		i = min(i, len(word)-8)
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(word[i:]), 0x9e3779b97f4a7c15)
		h = hi ^ lo
		if i == len(word)-8 {
			return h * 0xd6e8feb86659fd93
		}
	}
}

func (c *counter) spillLong(word []byte, n uint64) {
	p := &c.parts[c.ranges[int(word[0])|int(word[1])<<8]]
	if len(p.long)+12+len(word) > cap(p.long) {
		if p.long != nil {
			p.longFull = append(p.longFull, p.long)
		}
		p.long = make([]byte, 0, max(longChunk, 12+len(word)))
	}
	p.long = binary.LittleEndian.AppendUint32(p.long, uint32(len(word)))
	p.long = binary.LittleEndian.AppendUint64(p.long, n)
	p.long = append(p.long, word...)
	c.spills++
}

// flush moves everything to the partitions.
func (c *counter) flush() {
	for i := range c.lines {
		l := &c.lines[i]
		for k, n := range l.n {
			if n != 0 {
				c.spill(l.word[k], uint64(n)<<8|uint64(l.size[k]))
			}
		}
		*l = line{}
	}
	for i := range c.longs {
		if l := &c.longs[i]; l.n != 0 {
			c.spillLong(l.word[:l.size], uint64(l.n))
			l.n = 0
		}
	}
}

// spilled counts the records in all partitions.
func spilled(counters []*counter) (n int) {
	for _, c := range counters {
		n += c.spills
	}
	return n
}
