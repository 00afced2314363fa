package engine

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// TestFullDiskIsToldOnce has a disk be full for hours: each second an attempt finds that out, under a name
// of its own, and the job's record does not grow by it.
func TestFullDiskIsToldOnce(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	l := &New(Options{Store: s, Logger: slog.New(slog.DiscardHandler)}).loop
	j := &job{rec: record{ID: "job"}}
	l.adopt(j)
	for i := range 1000 {
		l.fail(j, &flight{
			task:   taskID{"job", plan.Kind(i % 2), 0},
			result: plan.Result{Failure: plan.Failure{Kind: plan.NoSpace, Message: fmt.Sprintf("writing part.%d: no space left on device", i)}},
		})
	}
	if len(j.rec.Warnings) != 2 || len(j.lines) != 2 {
		t.Errorf("there are %d warnings and %d lines in the log", len(j.rec.Warnings), len(j.lines))
	}
}
