package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestChildHangsWithInputLeft: a reducer that hangs is noticed, also where it has more input than is on
// its way to it, so that the one who sends waits for it.
func TestChildHangsWithInputLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := open(t, newTestChildren(t, ChildOptions{Silence: time.Second}), "count")
	in := &records{all: []keyValue{{"hang", "\x02"}}}
	for i := range 40 << 10 {
		in.all = append(in.all, keyValue{fmt.Sprintf("in %0200d", i), "\x02"})
	}
	if _, err := r.Reduce(ctx, mr.TaskEnv{}, in, &records{}); err == nil || !strings.Contains(err.Error(), "no sign of life for 1s") {
		t.Errorf("got %v", err)
	}
}

// lateContext ends just after it was asked whether it has, the n-th time.
type lateContext struct {
	context.Context
	end context.CancelFunc
	n   int
}

func (c *lateContext) Err() error {
	err := c.Context.Err()
	if c.n--; c.n == 0 {
		c.end()
	}
	return err
}

// TestTaskCancelledAtItsEnd: the process of a task that is cancelled when it is done is not given to another
// task, which would be killed in place of it.
func TestTaskCancelledAtItsEnd(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{}), "count")
	for range 100 {
		ctx := &lateContext{n: 1}
		ctx.Context, ctx.end = context.WithCancel(t.Context())
		_, err := r.Map(ctx, mr.TaskEnv{SpillDir: t.TempDir()}, &textBlocks{lines: []string{"a"}}, &records{})
		ctx.end()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, _, err := mapLines(t, r, "b"); err != nil {
			t.Fatalf("the task after it: %v", err)
		}
	}
}

// TestSlowChildLives: functions that take their time for each record are no ones that hang, although a block of
// input and a frame of output hold many.
func TestSlowChildLives(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{Silence: time.Second}), "slow")
	mid, _, err := mapLines(t, r, strings.Repeat("a\n", 12)+"b")
	if err != nil {
		t.Fatalf("a slow mapper: %v", err)
	}
	out := &records{}
	if _, err := r.Reduce(t.Context(), mr.TaskEnv{}, mid, out); err != nil || len(out.all) != 13 {
		t.Errorf("a slow reducer: %v, %d records", err, len(out.all))
	}
}
