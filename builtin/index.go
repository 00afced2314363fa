package builtin

import (
	"flag"
	"iter"
	"sync"

	"github.com/mrd-io/mr"
)

const indexVersion = "3"

func index() *mr.Definition {
	return mr.JobFunc("index", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		words := wordFlags(fs)
		return func(args []string) ([]mr.Option, error) {
			if err := noArgs("index", args); err != nil {
				return nil, err
			}
			tables := &sync.Pool{New: func() any { return newPostings() }}
			return []mr.Option{
				mr.Version(indexVersion),
				mr.Positions(),
				mr.MapBlocksFrom(func(t *mr.Task) (mr.Mapper[[]byte, []byte, []byte], error) {
					return newIndexer(t, words(), tables), nil
				}),
				mr.ReduceFrom(func(*mr.Task) (mr.Reducer[[]byte, []byte, []byte, []byte], error) {
					return newDocuments(), nil
				}),
			}, nil
		}
	}).About("[--letters] [--lower]", "Makes an inverted index: for each word the documents it is in, sorted.\nOutput: word TAB n path,path,…")
}

// indexer emits each word of its task's documents with the list of their paths: once, but
// for tasks with more words than postings holds. Pairs of a word and a path would be several
// times as many records. There is no combiner: lists are put together where the reducer
// renders them. Paths are values, not a part of the key: they come in their order anyway.
type indexer struct {
	task   *mr.Task
	words  *tokenizer
	tables *sync.Pool // of postings, whose memory is worth keeping
	found  *postings
	name   string
	begun  bool // found has the document name
	emit   mr.Emit[[]byte, []byte]
	take   func(text []byte, at []uint32)
}

func newIndexer(t *mr.Task, words *tokenizer, tables *sync.Pool) *indexer {
	x := &indexer{task: t, words: words, tables: tables, found: tables.Get().(*postings)}
	x.take = func(text []byte, at []uint32) {
		for len(at) > 0 {
			if !x.begun || x.found.full() {
				x.begin()
			}
			n := x.found.room(at)
			x.found.add(text, at[:2*n])
			at = at[2*n:]
		}
	}
	return x
}

// begin begins the document name, or goes on with it after a flush.
func (x *indexer) begin() {
	if x.found.full() {
		x.found.flush(x.emit)
	}
	x.found.begin(x.name)
	x.begun = true
}

func (x *indexer) Map(block []byte, emit mr.Emit[[]byte, []byte]) error {
	if name := x.task.Path(); name != x.name {
		x.name, x.begun = name, false
	}
	x.emit = emit
	if x.task.Format().Kind != mr.Fixed { // words end where lines end
		x.words.spans(block, x.take)
		return nil
	}
	for _, record := range mr.Records(x.task.Format(), block) {
		x.words.spans(record, x.take)
	}
	return nil
}

// Cleanup emits what is left.
func (x *indexer) Cleanup(emit mr.Emit[[]byte, []byte]) error {
	x.found.flush(emit)
	x.tables.Put(x.found)
	x.found = nil
	return nil
}

// documents writes a word's documents.
type documents struct {
	line pathLine
	err  error
	add  func(list []byte) bool
}

func newDocuments() *documents {
	d := &documents{}
	d.add = func(list []byte) bool {
		d.err = d.line.add(list)
		return d.err == nil
	}
	return d
}

func (d *documents) Reduce(word []byte, lists iter.Seq[[]byte], emit mr.Emit[[]byte, []byte]) error {
	d.line.reset()
	if lists(d.add); d.err != nil {
		return d.err
	}
	emit(word, d.line.finish())
	return nil
}
