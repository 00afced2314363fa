package mr

import (
	"context"
	"runtime"
	"sync"
)

// maxStrands bounds the strands of a task beside its own goroutine. Each takes a table, and
// its share of the task's memory.
const maxStrands = 7

// maxCopied bounds the blocks that are copied for a strand: those with a record of many
// megabytes are mapped where they are.
const maxCopied = 4 << 20

// strands share the blocks of one map task among cores that nobody else wants at the moment.
// Each is a mapTask with a table of its own, and the tables are drained as one. Only a combiner
// that is Sum of integers allows that: it gives the same in any order and in any parts.
//
// It belongs to the task's own goroutine, which asks for a core for each block and maps the
// block itself if there is none. So a strand never keeps a core from other tasks for longer
// than a block takes, and whoever reads the blocks (and unpacks them) is busy all the time.
type strands[I Input, K, V any] struct {
	spare func() (done func(), ok bool)
	begin func() *strand[I, K, V] // makes another one
	most  int
	all   []*strand[I, K, V]
	idle  chan *strand[I, K, V]
	wg    sync.WaitGroup

	mu     sync.Mutex
	failed int64 // the first block that failed, from 1; 0: none
	err    error
}

// strand is a mapTask that runs beside the task's own, one block at a time.
type strand[I Input, K, V any] struct {
	*mapTask[I, K, V]
	data []byte // of the block: readers use theirs again
}

// newStrands returns nil if the task is not to have any.
func newStrands[I Input, K, V any](ctx context.Context, p *Program, env TaskEnv, f *mapFuncs[I, K, V], out RecordSink) *strands[I, K, V] {
	if env.Spare == nil || env.Skip != nil || f.from != nil || f.blocks != nil || !p.traits.Sums {
		return nil
	}
	most := min(runtime.GOMAXPROCS(0)-1, maxStrands)
	s := &strands[I, K, V]{spare: env.Spare, most: most, idle: make(chan *strand[I, K, V], max(most, 1))}
	env.Memory = max(env.Memory/int64(2*max(most, 1)), 1) // beyond it a table's evicted records go to a file
	s.begin = func() *strand[I, K, V] {
		return &strand[I, K, V]{mapTask: newMapTask(ctx, newMapping(p, env), f, newEmitter[K, V](p, env, out))}
	}
	return s
}

// take maps a copy of the block beside the caller, if there is a core for it. n is the number
// of the block, from 1.
func (s *strands[I, K, V]) take(n int64, b Block) bool {
	if s == nil || len(b.Data) == 0 || len(b.Data) > maxCopied {
		return false
	}
	done, ok := s.spare()
	if !ok {
		return false
	}
	var one *strand[I, K, V]
	select {
	case one = <-s.idle:
	default:
		if len(s.all) == s.most {
			done()
			return false
		}
		one = s.begin()
		s.all = append(s.all, one)
	}
	one.data = append(one.data[:0], b.Data...)
	b.Data = one.data
	s.wg.Go(func() {
		defer done()
		if err := one.task.guard("map", func() error { return one.next(b) }); err != nil {
			s.fail(n, err)
		}
		s.idle <- one
	})
	return true
}

func (s *strands[I, K, V]) fail(n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == 0 || n < s.failed {
		s.failed, s.err = n, err
	}
}

// wait returns when all blocks are mapped: the error of the first that failed, where err is
// that of block n, which the task's own goroutine had, or nil.
func (s *strands[I, K, V]) wait(n int64, err error) error {
	if s == nil {
		return err
	}
	s.wg.Wait()
	if err != nil {
		s.fail(n, err)
	}
	return s.err
}

// broken reports whether a block has failed.
func (s *strands[I, K, V]) broken() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// join adds what the strands have counted and collected to m.
func (s *strands[I, K, V]) join(m *mapTask[I, K, V]) {
	if s == nil {
		return
	}
	for _, one := range s.all {
		m.records += one.records
		m.bytes += one.bytes
		m.emitter.beside = append(m.emitter.beside, one.emitter.table)
		for id, c := range one.task.counters {
			m.task.Count(id[0], id[1], c.Value)
		}
	}
}

// discard releases what a failed task's strands have collected.
func (s *strands[I, K, V]) discard() {
	if s == nil {
		return
	}
	s.wg.Wait()
	for _, one := range s.all {
		one.emitter.discard()
	}
}
