package mr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// Whoever emits too late is told so, whatever the types.
func TestEmittingTooLate(t *testing.T) {
	for name, err := range map[string]any{
		"bytes": tooLate(t, []byte("x"), mr.Combine(mr.Sum[int64])), "string": tooLate(t, "x", mr.Combine(mr.Sum[int64])),
		"int": tooLate(t, 1, mr.Combine(mr.Sum[int64])), "without a combiner": tooLate(t, []byte("x"), mr.Pass[[]byte, int64]()),
	} {
		if e, ok := err.(*mr.Error); !ok || !strings.Contains(e.Error(), "after the mapper had returned for the last time") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func tooLate[K any](t *testing.T, key K, reduce mr.Option) (panicked any) {
	t.Helper()
	var late mr.Emit[K, int64]
	job := mr.Job("j", reduce, mr.Map(func(_ *mr.Task, _ []byte, emit mr.Emit[K, int64]) error {
		late = emit
		emit(key, 1)
		return nil
	}))
	if _, err := configure(t, job).Map(t.Context(), mr.TaskEnv{SpillDir: t.TempDir()}, &blocks{path: "f", data: []byte("a\n")}, &sink{}); err != nil {
		t.Fatal(err)
	}
	defer func() { panicked = recover() }()
	late(key, 1)
	return nil
}

// busy is a sink that is busy with its first record until another goroutine has emitted.
type busy struct{ entered, done chan struct{} }

func (b *busy) Record([]byte, []byte) error {
	close(b.entered)
	<-b.done
	return nil
}

// Of two goroutines that emit at once one is told so.
func TestEmittingAtOnce(t *testing.T) {
	var panicked any
	twice := func(b *busy, emit func()) {
		first := make(chan struct{})
		go func() {
			defer close(first)
			emit()
		}()
		<-b.entered
		func() {
			defer func() { panicked = recover() }()
			emit()
		}()
		close(b.done)
		<-first
	}
	at := &busy{make(chan struct{}), make(chan struct{})}
	p := configure(t, mr.Job("j", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int]) error {
		twice(at, func() { emit(line, 1) })
		return nil
	})))
	_, err := p.Map(t.Context(), mr.TaskEnv{}, &blocks{path: "f", data: []byte("a\n")}, at)
	if e, ok := panicked.(*mr.Error); err != nil || !ok || !strings.Contains(e.Error(), "two goroutines at once") {
		t.Errorf("a mapper's: %v, %v", panicked, err)
	}
	in := &busy{make(chan struct{}), make(chan struct{})}
	p = configure(t, mr.Job("j", mr.Map(words), mr.Reduce(func(_ *mr.Task, k string, _ iter.Seq[int64], emit mr.Emit[string, int]) error {
		twice(in, func() { emit(k, 1) })
		return nil
	})))
	panicked = nil
	recs, _ := runMap(t, p, "a\n")
	_, err = p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, in)
	if e, ok := panicked.(*mr.Error); err != nil || !ok || !strings.Contains(e.Error(), "two goroutines at once") {
		t.Errorf("a reducer's: %v, %v", panicked, err)
	}
}

// The stack of a combiner's panic is the author's, and nobody else's.
func TestPanicsOfCombiners(t *testing.T) {
	job := mr.Job("j", mr.Combine(func(_, _ []byte) []byte { panic("odd") }), mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[[]byte, []byte]) error {
		emit(line, line)
		return nil
	}))
	_, err := configure(t, job).Map(t.Context(), mr.TaskEnv{SpillDir: t.TempDir()}, &blocks{path: "f", data: []byte("a\na\n")}, &sink{})
	if err == nil || !strings.Contains(err.Error(), "mapper_test.go") || strings.Contains(err.Error(), "collect.") {
		t.Error(err)
	}
}

// stopping cancels its task with the first record.
type stopping struct {
	stop context.CancelFunc
	n    int
}

func (s *stopping) Record([]byte, []byte) error {
	s.stop()
	s.n++
	return nil
}

// What a task has collected, which may be gigabytes, is not written to its end if the task is cancelled meanwhile.
func TestDrainingIsCancelled(t *testing.T) {
	for name, reduce := range map[string]mr.Option{"combined": mr.Combine(mr.Sum[int64]), "sorted": mr.Pass[[]byte, int64]()} {
		job := mr.Job("j", reduce, mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[[]byte, int64]) error {
			for i := range 20_000 {
				emit(fmt.Append(nil, i), 1)
			}
			return nil
		}))
		ctx, stop := context.WithCancel(t.Context())
		out := &stopping{stop: stop}
		_, err := configure(t, job).Map(ctx, mr.TaskEnv{SpillDir: t.TempDir()}, &blocks{path: "f", data: []byte("a\n")}, out)
		if !errors.Is(err, context.Canceled) || out.n > 5000 {
			t.Errorf("%s: %d records, %v", name, out.n, err)
		}
	}
}

// oneEach serves blocks of 64 KiB, each of which begins with a record that no other has.
type oneEach struct {
	left int
	data []byte
}

func (b *oneEach) Next() (mr.Block, error) {
	if b.left == 0 {
		return mr.Block{}, io.EOF
	}
	b.left--
	copy(b.data, fmt.Sprintf("%08d", b.left))
	return mr.Block{Path: "f", Data: b.data}, nil
}

// A short value cut out of a record does not keep the input around it in memory for as long as the
// table has it.
func TestValuesInATableKeepNoInput(t *testing.T) {
	const keys = 1000
	for name, env := range map[string]mr.TaskEnv{"plain": {}, "skipping": {Skip: func(mr.BadRecord) error { return nil }}} {
		t.Run(name, func(t *testing.T) {
			env.Memory, env.SpillDir = 1<<20, t.TempDir()
			var used runtime.MemStats
			seen := 0
			job := mr.Job("j", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
				if line[0] == '-' {
					return nil
				}
				if seen++; seen == keys {
					runtime.GC()
					runtime.ReadMemStats(&used)
				}
				key, value, _ := strings.Cut(line, " ")
				emit(key, value)
				return nil
			}), mr.Combine(func(a, _ string) string { return a }))
			in := &oneEach{keys, []byte("00000000 value\n" + strings.Repeat(strings.Repeat("-", 99)+"\n", 650))}
			out := &sink{}
			if _, err := configure(t, job).Map(t.Context(), env, in, out); err != nil {
				t.Fatal(err)
			}
			if len(out.recs) != keys || out.recs[keys-1] != (pair{"00000999", "value"}) {
				t.Fatalf("%d records", len(out.recs))
			}
			if mb := used.HeapAlloc >> 20; mb > 32 {
				t.Errorf("%d MiB are in use for %d values of 5 bytes", mb, keys)
			}
		})
	}
}
