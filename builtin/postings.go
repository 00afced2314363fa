package builtin

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"slices"
	"unsafe"

	"github.com/mrd-io/mr/internal/prefetch"
)

// postings collects in which documents words are. A word has a number from when it is seen
// first; the numbers of a document's words are noted in turn, once each; and only in the end
// are they dealt out to lists, one a word, of documents in the order of their paths.
//
// What it holds is bounded by constants: where it is full depends on the documents alone.
type postings struct {
	seed  maphash.Seed
	salt  [2]uint64
	slots []uint32 // a power of two, open addressing: upper bits of a hash, and a word's number + 1 in numberBits
	words []word
	text  []byte // of the words, one behind the other
	paths []byte // of the documents, likewise
	docs  []document
	noted []uint32 // numbers of words, document after document

	keys   [addMost]wordKey
	hashes [addMost]uint64
	lists  []uint32 // numbers of documents, word after word
	starts []uint32 // of each word's list in lists
	value  []byte
}

// word is a word that has been seen. Those seen first, and so most of those seen often, lie
// side by side.
type word struct {
	key wordKey
	end uint32 // in text; it begins where the one before ends
	doc uint32 // the document that it was seen in last
}

// wordKey is a word of at most 15 bytes, with their number in the highest byte of hi; of a
// longer one lo is a hash, and that byte is 0xff.
type wordKey struct{ lo, hi uint64 }

type document struct {
	path  uint32 // its end in paths
	noted uint32 // where its words begin in noted
}

const (
	slotsLeast = 1 << 12
	slotsMost  = 1 << numberBits
	numberBits = 19
	numbers    = 1<<numberBits - 1
	wordsMost  = slotsMost / 4 * 3
	textMost   = 4 << 20
	notedMost  = 1 << 20
	pathsMost  = 4 << 20
)

func newPostings() *postings {
	return &postings{seed: maphash.MakeSeed(), salt: [2]uint64{rand.Uint64(), rand.Uint64()}, slots: make([]uint32, slotsLeast)}
}

// full reports whether it must be flushed before another word is added.
func (p *postings) full() bool {
	return len(p.noted) >= notedMost || len(p.words) >= wordsMost || len(p.text) >= textMost || len(p.paths) >= pathsMost
}

// begin begins a document.
func (p *postings) begin(path string) {
	p.paths = append(p.paths, path...)
	p.docs = append(p.docs, document{uint32(len(p.paths)), uint32(len(p.noted))})
}

// addMost is how many words are added at once.
const addMost = 64

// room returns how many of these words may be added before full is to be asked again.
func (p *postings) room(at []uint32) int {
	n := min(len(at)/2, addMost)
	if len(p.noted)+n > notedMost || len(p.words)+n > wordsMost || len(p.text)+int(at[2*n-1]-at[0]) > textMost {
		return 1
	}
	return n
}

// add notes at most addMost words of the document that was begun last: text[at[0]:at[1]],
// text[at[2]:at[3]] and so on. Next to nothing in it has the processor guess.
func (p *postings) add(text []byte, at []uint32) {
	n := len(at) / 2
	keys, hashes := p.keys[:n], p.hashes[:n]
	// What is needed of the tables is asked for before it is looked at.
	slots, mask := p.slots, uint64(len(p.slots)-1)
	for i := range keys {
		start, end := at[2*i], at[2*i+1]
		key := &keys[i]
		if n := uint64(end - start); n > 15 || uint64(start)+16 > uint64(len(text)) {
			*key = p.keyOf(text[start:end])
		} else {
			b := (*[16]byte)(text[start:])
			key.lo = binary.LittleEndian.Uint64(b[:8]) & (1<<(8*min(n, 8)) - 1)
			key.hi = binary.LittleEndian.Uint64(b[8:])&(1<<(8*max(n, 8)-64)-1) | n<<56
		}
		hashes[i] = p.hash(key)
		prefetch.Line(unsafe.Pointer(&slots[hashes[i]&mask]))
	}
	for _, h := range hashes {
		if i := slots[h&mask]&numbers - 1; int(i) < len(p.words) {
			prefetch.Line(unsafe.Pointer(&p.words[i]))
		}
	}
	doc := uint32(len(p.docs) - 1)
	p.noted = slices.Grow(p.noted, n)
	noted, next := p.noted[len(p.noted):len(p.noted)+n], 0
	for i := range keys {
		h, key := hashes[i], &keys[i]
		s := p.slots[h&uint64(len(p.slots)-1)]
		number := s&numbers - 1
		if s&^numbers != uint32(h>>32)&^numbers || s == 0 || p.words[number].key != *key || key.hi == longKey {
			number = p.find(h, key, text[at[2*i]:at[2*i+1]])
		}
		w := &p.words[number]
		noted[next] = number
		if w.doc != doc {
			next++
		}
		w.doc = doc
	}
	p.noted = p.noted[:len(p.noted)+next]
}

// find returns the number of a word, which is a new one if need be.
func (p *postings) find(hash uint64, key *wordKey, text []byte) uint32 {
	tag, mask := uint32(hash>>32)&^numbers, uint64(len(p.slots)-1)
	for i := hash; ; i++ {
		s := p.slots[i&mask]
		if s == 0 {
			p.slots[i&mask] = tag | uint32(len(p.words)+1)
			p.text = append(p.text, text...)
			p.words = append(p.words, word{*key, uint32(len(p.text)), ^uint32(0)})
			if len(p.words) > len(p.slots)/4*3 {
				p.grow()
			}
			return uint32(len(p.words) - 1)
		}
		n := s&numbers - 1
		if s&^numbers == tag && p.words[n].key == *key && (key.hi != longKey || bytes.Equal(p.word(n), text)) {
			return n
		}
	}
}

// longKey is in the keys of words of more than 15 bytes.
const longKey = 0xff << 56

// keyOf returns the key of any word.
func (p *postings) keyOf(w []byte) wordKey {
	if len(w) > 15 {
		return wordKey{maphash.Bytes(p.seed, w), longKey}
	}
	var b [16]byte
	copy(b[:], w)
	return wordKey{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:]) | uint64(len(w))<<56}
}

func (p *postings) hash(key *wordKey) uint64 { return mix(key.lo^p.salt[0], key.hi^p.salt[1]) }

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (p *postings) grow() {
	if len(p.slots) == slotsMost {
		return // and full
	}
	p.slots = make([]uint32, 2*len(p.slots))
	p.words = append(make([]word, 0, len(p.slots)/4*3+1), p.words...)
	p.text = append(make([]byte, 0, 2*cap(p.text)), p.text...)
	mask := uint64(len(p.slots) - 1)
	for n := range p.words {
		hash := p.hash(&p.words[n].key)
		i := hash
		for p.slots[i&mask] != 0 {
			i++
		}
		p.slots[i&mask] = uint32(hash>>32)&^numbers | uint32(n+1)
	}
}

func (p *postings) word(i uint32) []byte {
	if i == 0 {
		return p.text[:p.words[0].end]
	}
	return p.text[p.words[i-1].end:p.words[i].end]
}

func (p *postings) path(i uint32) []byte {
	if i == 0 {
		return p.paths[:p.docs[0].path]
	}
	return p.paths[p.docs[i-1].path:p.docs[i].path]
}

// flush emits each word with its documents' paths, and forgets all.
func (p *postings) flush(emit func(word, paths []byte)) {
	p.deal()
	ordered := p.ordered()
	start := uint32(0)
	for i := range p.words {
		list := p.lists[start:p.starts[i]]
		start = p.starts[i]
		if !ordered {
			slices.SortFunc(list, func(a, b uint32) int { return bytes.Compare(p.path(a), p.path(b)) })
			list = slices.CompactFunc(list, func(a, b uint32) bool { return bytes.Equal(p.path(a), p.path(b)) })
		}
		p.value = p.appendPaths(p.value[:0], list)
		emit(p.word(uint32(i)), p.value)
	}
	clear(p.slots)
	p.text, p.words, p.paths, p.docs, p.noted = p.text[:0], p.words[:0], p.paths[:0], p.docs[:0], p.noted[:0]
}

func (p *postings) appendPaths(dst []byte, list []uint32) []byte {
	var before []byte
	for _, doc := range list {
		path := p.path(doc)
		dst = appendPath(dst, before, path)
		before = path
	}
	return dst
}

// deal makes the lists of documents. A word's list ends where starts has the next one's.
func (p *postings) deal() {
	p.starts = slices.Grow(p.starts[:0], len(p.words)+1)[:len(p.words)+1]
	p.lists = slices.Grow(p.lists[:0], len(p.noted))[:len(p.noted)]
	starts := p.starts
	clear(starts)
	for _, word := range p.noted {
		starts[word+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	// While it is dealt, starts[i] is where the next document of word i goes: in the end,
	// where its list ends.
	for i := range p.docs {
		end := len(p.noted)
		if i+1 < len(p.docs) {
			end = int(p.docs[i+1].noted)
		}
		for _, word := range p.noted[p.docs[i].noted:end] {
			p.lists[starts[word]] = uint32(i)
			starts[word]++
		}
	}
}

// ordered reports whether the documents' paths ascend, as they do where files are read in
// their order.
func (p *postings) ordered() bool {
	for i := 1; i < len(p.docs); i++ {
		if bytes.Compare(p.path(uint32(i-1)), p.path(uint32(i))) >= 0 {
			return false
		}
	}
	return true
}
