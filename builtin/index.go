package builtin

import (
	"bytes"
	"flag"
	"hash/maphash"
	"iter"
	"strconv"

	"github.com/mrd-io/mr"
)

const indexVersion = "1"

// A posting says that a word is in a document.
type (
	posting    = mr.Tuple2[[]byte, string]
	occurrence = mr.None
)

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
				mr.MapFrom(func(t *mr.Task) (mr.Mapper[[]byte, posting, occurrence], error) {
					return &indexer{task: t, words: words(), seen: newSeen()}, nil
				}),
				mr.GroupFirst(1),
				mr.ReducePairs(listDocuments),
			}, nil
		}
	}).About("[--letters] [--lower]", "Makes an inverted index: for each word the documents it is in, sorted.\nOutput: word TAB n path,path,…")
}

// indexer emits each word of a document once, however often it stands there, but for
// documents of very many words or of more than one split. There is no combiner: nearly
// all that it would see is distinct, and sorting is faster without.
type indexer struct {
	task  *mr.Task
	words *tokenizer
	path  string
	seen  *seen
}

func (x *indexer) Map(record []byte, emit mr.Emit[posting, occurrence]) error {
	if path := x.task.Path(); path != x.path {
		x.path = path
		x.seen.reset()
	}
	x.words.each(record, func(word []byte) {
		if x.seen.add(word) {
			emit(mr.T2(word, x.path), occurrence{})
		}
	})
	return nil
}

// listDocuments writes one word's documents. The list is one record of the output, so
// it is in memory in any case.
func listDocuments(_ *mr.Task, postings iter.Seq2[posting, occurrence], emit mr.Emit[[]byte, []byte]) error {
	var word, paths []byte
	n := 0
	var last string
	for p := range postings {
		switch {
		case n == 0:
			word = bytes.Clone(p.A)
		case p.B == last:
			continue
		default:
			paths = append(paths, ',')
		}
		paths = append(paths, p.B...)
		last = p.B
		n++
	}
	line := strconv.AppendInt(nil, int64(n), 10)
	line = append(line, ' ')
	emit(word, append(line, paths...))
	return nil
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
