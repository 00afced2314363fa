package worker

import (
	"context"
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
