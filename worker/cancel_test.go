package worker

import (
	"fmt"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// abandoning are part files whose first write abandons the attempt.
type abandoning struct {
	s      *Service
	writes int
}

func (p *abandoning) Create(a plan.Attempt, _ string) (PartFile, error) {
	return &abandonedPart{p, a}, nil
}

func (p *abandoning) Link(plan.Attempt, string, string, mr.Digest) (int64, bool) { return 0, false }

type abandonedPart struct {
	p *abandoning
	a plan.Attempt
}

func (f *abandonedPart) Write(b []byte) (int, error) {
	f.p.writes++
	return len(b), f.p.s.Abandon(f.a, nil)
}
func (f *abandonedPart) Seal() error { return nil }
func (f *abandonedPart) Discard()    {}

// A part of a map-only job that is abandoned while it is written is not written to its end.
func TestMapOnlyPartsAreCancelled(t *testing.T) {
	runs := &memoryRuns{}
	sink := runs.Create()
	w := run.NewWriter(sink, run.Options{Unsorted: true})
	for i := range 200_000 {
		if err := w.Record(fmt.Appendf(nil, "%032d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	id, err := sink.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parts := &abandoning{}
	parts.s = New(Options{Runs: runs, Parts: parts, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
	res := &plan.Result{}
	err = parts.s.RunTask(&plan.Work{
		Attempt: 1, Kind: plan.Reduce, Unsorted: true, Runs: []uint64{id}, Part: "part", OutputFormat: FormatText,
		Memory: 1 << 30, Program: plan.Program{Job: "counts"},
	}, res)
	if err != nil || res.Failure.Kind != plan.Cancelled || parts.writes > 2 {
		t.Errorf("after %d writes: %v, %+v", parts.writes, err, res.Failure)
	}
}
