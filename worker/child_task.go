package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/childproto"
)

// feed is a task's input.
type feed interface {
	// next writes the next piece to ch, or returns io.EOF.
	next(ch *child, v *vitals) error
	// fields are what the child must know before.
	fields() [][]string
}

// blockFeed and recordFeed return inputError for errors of the input, not of the child.
type (
	blockFeed  struct{ in mr.BlockReader }
	recordFeed struct{ in mr.RecordReader }
)

// inputError is an error of a task's input, as its reader gave it.
type inputError struct{ err error }

func (e inputError) Error() string { return e.err.Error() }

func (f blockFeed) next(ch *child, v *vitals) error {
	v.ourTurn.Add(1)
	b, err := f.in.Next()
	v.ourTurn.Add(-1)
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return inputError{err}
	}
	if ch.shared == nil || len(b.Data) > childproto.SlotSize {
		return ch.w.Block(b.Path, b.Off, b.Last, b.Data)
	}
	slot, err := ch.shared.put(b.Data, ch.exited)
	if err != nil {
		return err
	}
	return ch.w.Shared(b.Path, b.Off, b.Last, slot, len(b.Data))
}

// next sends a batch at a time. To take a frame is the child's turn: one that hangs takes none, and a
// frame that it has taken is a sign of life.
func (f recordFeed) next(ch *child, v *vitals) error {
	w := ch.w
	tree, _ := f.in.(mr.TreeReader)
	v.ourTurn.Add(1)
	defer v.ourTurn.Add(-1)
	send := func() error {
		v.ourTurn.Add(-1)
		defer v.ourTurn.Add(1)
		err := w.Flush()
		v.beat()
		return err
	}
	for range 1024 {
		k, val, err := f.in.Next()
		switch {
		case errors.Is(err, io.EOF):
			if err := send(); err != nil {
				return err
			}
			return io.EOF
		case err != nil:
			return inputError{err}
		}
		large := false
		if tree != nil {
			large = w.AddTree(k, byte(tree.Level()), val)
		} else {
			large = w.Add(k, val)
		}
		if large {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f recordFeed) fields() [][]string {
	if _, ok := f.in.(mr.TreeReader); ok {
		return [][]string{{"tree", "true"}}
	}
	return nil
}

func (f blockFeed) fields() [][]string { return nil }

// vitals tell a child that works from one that hangs: it hangs if there has been no sign
// of life for long while nobody but the child could give one.
type vitals struct {
	frames  atomic.Int64 // read and written
	ourTurn atomic.Int32 // how many of our goroutines are at something else than the child
	hung    atomic.Bool
}

func (v *vitals) beat() { v.frames.Add(1) }

// ticksPerSilence is how many ticks without a sign of life make a child's silence.
const ticksPerSilence = 8

// lastWords is how long to wait for more of what a child has said that has ended. Its end of the connection may
// be held by a process that it has left behind.
const lastWords = time.Second

// watch kills the child when it hangs, until stop is closed.
func (v *vitals) watch(ch *child, limit time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(max(limit/ticksPerSilence, time.Millisecond))
	defer tick.Stop()
	go func() {
		select {
		case <-ch.exited:
			tick.Reset(max(min(limit, lastWords)/ticksPerSilence, time.Millisecond))
		case <-stop:
		}
	}()
	if v.hangs(tick.C, stop) {
		v.hung.Store(ch.alive())
		ch.kill()
	}
}

// hangs returns true when the child has been silent for too long, and false when stop is closed.
// Silence is counted in ticks of our own, so that our being stopped, when nobody reads what the
// child says, is not taken for it.
func (v *vitals) hangs(tick <-chan time.Time, stop <-chan struct{}) bool {
	heard := v.frames.Load()
	for missed := 0; missed < ticksPerSilence; {
		select {
		case <-stop:
			return false
		case <-tick:
		}
		if n := v.frames.Load(); n != heard || v.ourTurn.Load() > 0 {
			heard, missed = n, 0
		} else {
			missed++
		}
	}
	return true
}

// task executes one task. After an error the child is of no more use.
func (ch *child) task(ctx context.Context, stage string, env mr.TaskEnv, in feed, out mr.RecordSink, silence time.Duration) (mr.Counters, error) {
	v := &vitals{}
	stopKill := context.AfterFunc(ctx, ch.kill)
	defer stopKill()
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		v.watch(ch, silence, stop)
	}()
	written := make(chan error, 1)
	go func() { written <- ch.write(stage, env, in, v) }()
	counters, err := ch.read(env, out, v)
	how := ""
	if err != nil {
		if connectionEnded(err) {
			how = ch.death(time.Second) // what it died of, before we end it ourselves
		}
		ch.end() // the child may wait for input, and our writer for it to take some
	}
	writeErr := <-written
	close(stop)
	<-watched
	stopped := !stopKill() // from here on the child may be another's
	if bad, ok := errors.AsType[inputError](writeErr); ok {
		ch.end()
		return nil, bad.err
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case v.hung.Load():
		return nil, mr.Errorf(mr.Failed, "%s gave no sign of life for %s and was killed; it printed:%s", ch.name, silence, quoted(ch.output.last()))
	case err != nil:
		return nil, ch.explain(err, how)
	case writeErr != nil:
		return nil, ch.explain(writeErr, how)
	case stopped:
		return nil, ctx.Err()
	}
	return counters, nil
}

func connectionEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// write sends the task and its input.
func (ch *child) write(stage string, env mr.TaskEnv, in feed, v *vitals) (err error) {
	defer func() {
		if bad, ok := errors.AsType[inputError](err); ok {
			ch.kill() // it waits for input that doesn't come
			err = bad
		}
	}()
	start := append([][]string{{"stage", stage}, {"format", env.Format.String()},
		{"memory", strconv.FormatInt(env.Memory, 10)}, {"spill", env.SpillDir}, {"index", strconv.Itoa(env.Index)},
		{"skip", strconv.FormatBool(env.Skip != nil)}}, in.fields()...)
	err = ch.w.Control(childproto.Start, start...)
	for err == nil {
		err = in.next(ch, v)
		v.beat()
	}
	if err != io.EOF {
		return err
	}
	return ch.w.Control(childproto.End)
}

// sinkError is an error of a task's output, as its sink gave it.
type sinkError struct{ err error }

func (e sinkError) Error() string { return e.err.Error() }

// read takes the task's output to its end.
func (ch *child) read(env mr.TaskEnv, out mr.RecordSink, v *vitals) (mr.Counters, error) {
	for {
		t, payload, err := ch.r.Next()
		if err != nil {
			return nil, err
		}
		v.beat()
		switch t {
		case childproto.Records:
			v.ourTurn.Add(1)
			err := sendAll(out, payload)
			v.ourTurn.Add(-1)
			if err != nil {
				return nil, err
			}
		case childproto.Release:
			if err := ch.shared.release(payload); err != nil {
				return nil, err
			}
		case childproto.Skipped:
			if err := skippedBy(payload, env.Skip); err != nil {
				return nil, err
			}
		case childproto.Done, childproto.Error:
			fs, err := childproto.Fields(payload)
			if err != nil {
				return nil, err
			}
			if t == childproto.Error {
				return nil, refusalOf(fs)
			}
			return countersOf(fs)
		default:
			return nil, fmt.Errorf("it sent a frame of type %d in the middle of a task", t)
		}
	}
}

func sendAll(out mr.RecordSink, batch []byte) error {
	for len(batch) > 0 {
		var k, v []byte
		var err error
		if k, v, batch, err = childproto.NextRecord(batch); err != nil {
			return err
		}
		if err := out.Record(k, v); err != nil {
			return sinkError{err}
		}
	}
	return nil
}

// skippedBy passes a child's word of a bad record on.
func skippedBy(payload []byte, skip func(mr.BadRecord) error) error {
	fs, err := childproto.Fields(payload)
	if err != nil {
		return err
	}
	if len(fs) == 0 || len(fs[0]) < 6 || skip == nil {
		return errors.New("it skipped a record where none is to be skipped, or does not say which")
	}
	f := fs[0]
	off, err1 := strconv.ParseInt(f[2], 10, 64)
	length, err2 := strconv.ParseInt(f[3], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("it sent a bad record's place that is no number: %w", err)
	}
	if err := skip(mr.NewBadRecord(f[1], off, length, []byte(f[5]), f[4])); err != nil {
		return sinkError{err}
	}
	return nil
}

func countersOf(fs [][]string) (mr.Counters, error) {
	cs := mr.Counters{}
	for _, f := range fs {
		if f[0] == "counter" && len(f) >= 4 {
			n, err := strconv.ParseInt(f[3], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("it sent a counter that is no number: %q", f[3])
			}
			cs = append(cs, mr.Counter{Group: f[1], Name: f[2], Value: n})
		}
	}
	return cs, nil
}

// explain turns what broke a task into a message for people.
func (ch *child) explain(err error, how string) error {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.err
	}
	if s, ok := errors.AsType[sinkError](err); ok {
		return s.err
	}
	if how != "" {
		return mr.Errorf(mr.Failed, "%s %s in the middle of a task; it printed:%s", ch.name, how, quoted(ch.output.last()))
	}
	return mr.Errorf(mr.Failed, "%s broke the protocol in the middle of a task: %w; it printed:%s", ch.name, err, quoted(ch.output.last()))
}
