package mr

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// Task is what an author's function sees of the task that it runs in. It belongs to
// that task's goroutine. What it does not offer (the task's number, its memory, its
// attempt) is left out on purpose: the output must not depend on it. A new(Task) does
// for tests of mappers and reducers.
type Task struct {
	job       string
	positions bool
	mapping   bool
	format    Format
	block     Block
	pos       int           // offset of the current record in block
	key       func() []byte // of the current group, in a reduce task
	counters  map[[2]string]*Counter
	last      *Counter // the one counted last: most mappers count one thing
	marks     []marked // the counters before the current record; see mark
}

func newTask(job string) *Task {
	return &Task{job: job}
}

// Path returns the path of the file that the current record is from. The job must have
// the option Positions; otherwise the task fails, since its output would depend on
// something that its identity leaves out.
func (t *Task) Path() string {
	t.needPositions("Path")
	return t.block.Path
}

// Offset returns where in the (decompressed) file the current record begins, in bytes;
// for MapBlock, where the block begins. The job must have the option Positions.
func (t *Task) Offset() int64 {
	t.needPositions("Offset")
	return t.block.Off + int64(t.pos)
}

// Format returns the format of the task's records, for mappers made by MapBlock.
func (t *Task) Format() Format { return t.format }

func (t *Task) needPositions(method string) {
	if !t.mapping {
		panic(Errorf(Usage, "job %s: Task.%s was called outside a mapper: only records of the input have a place", t.job, method))
	}
	if !t.positions {
		panic(Errorf(Usage, "job %s: the mapper calls Task.%s, so the job needs the option mr.Positions()", t.job, method))
	}
}

// Counter returns the counter of that group and name, to be kept and added to. It panics if
// the group is "mr", which is the engine's.
func (t *Task) Counter(group, name string) *Counter {
	if group == system {
		panic(Errorf(Usage, "job %s: counter %q: the group %q is the engine's; choose another", t.job, name, group))
	}
	return t.counter(group, name)
}

func (t *Task) counter(group, name string) *Counter {
	if c := t.last; c != nil && c.Group == group && c.Name == name {
		return c
	}
	id := [2]string{group, name}
	c := t.counters[id]
	if c == nil {
		c = &Counter{Group: group, Name: name}
		if t.counters == nil {
			t.counters = map[[2]string]*Counter{}
		}
		t.counters[id] = c
	}
	t.last = c
	return c
}

// Count adds delta to the counter of that group and name.
func (t *Task) Count(group, name string, delta int64) { t.Counter(group, name).Value += delta }

// count adds to a counter of the engine.
func (t *Task) count(name string, delta int64) { t.counter(system, name).Value += delta }

// Add adds delta to the counter.
func (c *Counter) Add(delta int64) { c.Value += delta }

// system is the group of the engine's own counters.
const system = "mr"

// sums returns the counters of a task that has ended so, in their canonical order.
func (t *Task) sums(err error) (Counters, error) {
	if err != nil {
		return nil, err
	}
	cs := make(Counters, 0, len(t.counters))
	for _, c := range t.counters {
		cs = append(cs, *c)
	}
	slices.SortFunc(cs, func(a, b Counter) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Name, b.Name))
	})
	return cs, nil
}

// where names the record or group that the author's code was last called with.
func (t *Task) where() string {
	switch {
	case t.mapping && t.block.Path == "" && t.block.Data == nil:
		return "before the first record"
	case t.mapping:
		return fmt.Sprintf("%s at byte %d", t.block.Path, t.block.Off+int64(t.pos))
	case t.key == nil:
		return "before the first key"
	}
	switch key := t.key(); {
	case key == nil:
		return "before the first key"
	case len(key) > 64:
		return "key " + strconv.Quote(string(key[:64])) + "…"
	default:
		return "key " + strconv.Quote(string(key))
	}
}

// userError is an error that an author's function returned; it stops the task. One of context is the
// author's own as well: no function of an author's gets to see the task's.
func (t *Task) userError(stage string, err error) error {
	return Errorf(Failed, "job %s: %s: %s: %w", t.job, stage, t.where(), err)
}

// codecError is userError for errors of the methods of an author's type; others stay as they are.
func (t *Task) codecError(stage string, err error) error {
	if e, ok := errors.AsType[*codecError](err); ok {
		return t.userError(stage, e)
	}
	return err
}

// guard runs f, which calls an author's functions, on a goroutine of its own, so that
// neither a panic nor a runtime.Goexit gets beyond the task.
func (t *Task) guard(stage string, f func() error) (err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		returned := false
		defer func() {
			if returned {
				return
			}
			switch r := recover().(type) {
			case nil:
				err = Errorf(Failed, "job %s: %s: %s: the function ended its goroutine (runtime.Goexit) instead of returning", t.job, stage, t.where())
			case *Error:
				err = Errorf(r.Kind, "job %s: %s: %s: %w", t.job, stage, t.where(), r)
			default:
				err = Errorf(Failed, "job %s: %s: %s: panic: %v\n%s", t.job, stage, t.where(), r, userStack(debug.Stack()))
			}
		}()
		err = f()
		returned = true
	}()
	<-done
	return err
}

// userStack cuts a stack down to the frames between the panic and this package, or the one that calls combiners.
func userStack(stack []byte) []byte {
	lines := bytes.Split(bytes.TrimRight(stack, "\n"), []byte("\n"))
	start := 0
	for i, l := range lines {
		if bytes.HasPrefix(l, []byte("panic(")) {
			start = i + 2
		}
	}
	end := start
	for end+1 < len(lines) && end-start < 24 {
		f := lines[end]
		if end > start && (bytes.HasPrefix(f, []byte("github.com/mrd-io/mr.")) || bytes.HasPrefix(f, []byte("github.com/mrd-io/mr/collect."))) {
			break
		}
		end += 2
	}
	if end == start {
		end = min(start+24, len(lines))
	}
	return bytes.Join(lines[start:end], []byte("\n"))
}
