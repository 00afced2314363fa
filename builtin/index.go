package builtin

import (
	"bytes"
	"flag"
	"hash/maphash"
	"iter"
	"slices"
	"strconv"

	"github.com/mrd-io/mr"
)

const indexVersion = "2"

func index() *mr.Definition {
	return mr.JobFunc("index", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		words := wordFlags(fs)
		return func(args []string) ([]mr.Option, error) {
			if err := noArgs("index", args); err != nil {
				return nil, err
			}
			return []mr.Option{
				mr.Version(indexVersion),
				mr.Positions(),
				mr.MapFrom(func(t *mr.Task) (mr.Mapper[[]byte, []byte, []byte], error) {
					return newIndexer(t, words()), nil
				}),
				mr.ReduceFrom(func(*mr.Task) (mr.Reducer[[]byte, []byte, []byte, []byte], error) {
					return newDocuments(), nil
				}),
			}, nil
		}
	}).About("[--letters] [--lower]", "Makes an inverted index: for each word the documents it is in, sorted.\nOutput: word TAB n path,path,…")
}

// indexer emits each word of a document once, with the document's path, however often it
// stands there, but for documents of very many words or of more than one split. There is no
// combiner: nearly all that it would see is distinct, and sorting is faster without. Paths
// are values, not a part of the key: they come in their order anyway.
type indexer struct {
	task  *mr.Task
	words *tokenizer
	seen  *seen
	name  string
	path  []byte // name
	emit  mr.Emit[[]byte, []byte]
	word  func(word []byte)
}

func newIndexer(t *mr.Task, words *tokenizer) *indexer {
	x := &indexer{task: t, words: words, seen: newSeen()}
	x.word = func(word []byte) {
		if x.seen.add(word) {
			x.emit(word, x.path)
		}
	}
	return x
}

func (x *indexer) Map(record []byte, emit mr.Emit[[]byte, []byte]) error {
	if name := x.task.Path(); name != x.name {
		x.name, x.path = name, []byte(name)
		x.seen.reset()
	}
	x.emit = emit
	x.words.each(record, x.word)
	return nil
}

// documents writes a word's documents. The list is one record of the output, so it is
// in memory in any case.
type documents struct {
	line []byte // room for their number, and the paths with a comma behind each
	ends []int  // of the paths in line, behind their commas
	less bool   // a path was less than the one before
	add  func(path []byte) bool
}

// numberRoom is for a number and a blank.
const numberRoom = 21

func newDocuments() *documents {
	d := &documents{line: make([]byte, numberRoom)}
	d.add = func(path []byte) bool {
		if n := len(d.ends); n > 0 {
			switch bytes.Compare(path, d.path(n-1)) {
			case 0:
				return true
			case -1:
				d.less = true
			}
		}
		d.line = append(append(d.line, path...), ',')
		d.ends = append(d.ends, len(d.line))
		return true
	}
	return d
}

func (d *documents) path(i int) []byte {
	start := numberRoom
	if i > 0 {
		start = d.ends[i-1]
	}
	return d.line[start : d.ends[i]-1]
}

func (d *documents) Reduce(word []byte, paths iter.Seq[[]byte], emit mr.Emit[[]byte, []byte]) error {
	d.line, d.ends, d.less = d.line[:numberRoom], d.ends[:0], false
	paths(d.add)
	if d.less {
		d.order()
	}
	var number [numberRoom]byte
	n := append(strconv.AppendInt(number[:0], int64(len(d.ends)), 10), ' ')
	copy(d.line[numberRoom-len(n):], n)
	emit(word, d.line[numberRoom-len(n):len(d.line)-1])
	return nil
}

// order sorts the paths, which come in order as long as files are read in theirs.
func (d *documents) order() {
	paths := make([][]byte, len(d.ends))
	for i := range paths {
		paths[i] = bytes.Clone(d.path(i))
	}
	slices.SortFunc(paths, bytes.Compare)
	d.line, d.ends = d.line[:numberRoom], d.ends[:0]
	for _, p := range paths {
		d.add(p)
	}
}

// seen is a set of words that is emptied often: a reset is one addition. It is bounded
// and may forget words, which costs a needless emit and nothing else.
type seen struct {
	seed  maphash.Seed
	slots []slot
	words []byte
	round uint32
	n     int
}

type slot struct {
	hash  uint64
	at    uint32
	size  uint32
	round uint32
}

const (
	seenSlots = 1 << 15
	seenBytes = 1 << 20
)

func newSeen() *seen {
	return &seen{seed: maphash.MakeSeed(), slots: make([]slot, seenSlots), round: 1}
}

func (s *seen) reset() {
	s.words, s.n = s.words[:0], 0
	if s.round++; s.round == 0 {
		clear(s.slots)
		s.round = 1
	}
}

// add reports whether word was not in the set.
func (s *seen) add(word []byte) bool {
	h := maphash.Bytes(s.seed, word)
	for i := h; ; i++ {
		e := &s.slots[i%seenSlots]
		if e.round != s.round {
			if s.n > seenSlots/2 || len(s.words) > seenBytes {
				s.reset()
				return s.add(word)
			}
			*e = slot{h, uint32(len(s.words)), uint32(len(word)), s.round}
			s.words = append(s.words, word...)
			s.n++
			return true
		}
		if e.hash == h && string(s.words[e.at:e.at+e.size]) == string(word) {
			return false
		}
	}
}
