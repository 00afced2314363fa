package engine

import (
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// TestBaseIsOfItsRuns: a part is built upon only if its key follows from the runs on record.
func TestBaseIsOfItsRuns(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	w := s.CreateRun()
	if err := w.WriteBlock([]byte("a kept part")); err != nil {
		t.Fatal(err)
	}
	kept, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stage := mr.Digest{1}
	base := &record{ID: "base", ReduceStage: stage, Ranges: []rangeRecord{{}}}
	one, two := []block{{last: []byte("z"), raw: 90, digest: mr.Digest{2}}}, []block{{last: []byte("z"), raw: 10, digest: mr.Digest{3}}}
	key := plan.ReduceKey(stage, plan.Range{}, [][]mr.Digest{{{2}}, {{3}}}, []uint8{0, 0})
	err = s.Update(func(tx *store.Tx) error {
		if err := tx.CommitRun(kept); err != nil {
			return err
		}
		return lineage.PutOutput(tx, &lineage.Output{Key: key, Kind: plan.Reduce, Stage: stage, Made: plan.Made{Run: uint64(kept), Records: 7}, Positive: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*baseJob, *taskInfo)
		want   bool
	}{
		"its own runs": {func(*baseJob, *taskInfo) {}, true},
		"another run": {func(p *baseJob, _ *taskInfo) {
			p.maps[0].blocks = []block{{last: []byte("z"), raw: 90, digest: mr.Digest{9}}}
		}, false},
		"a run less":           {func(p *baseJob, _ *taskInfo) { p.maps = p.maps[1:] }, false},
		"not done":             {func(p *baseJob, _ *taskInfo) { p.reduces = nil }, false},
		"another range":        {func(p *baseJob, _ *taskInfo) { p.rec.Ranges[0].Hi = []byte("m") }, false},
		"no part":              {func(p *baseJob, _ *taskInfo) { p.reduces[0] = mr.Digest{8} }, false},
		"more than half of it": {func(_ *baseJob, task *taskInfo) { task.bytes = 19 }, false},
	} {
		rec := *base
		rec.Ranges = []rangeRecord{{}}
		p := &baseJob{rec: &rec, patches: true, reduces: map[int]mr.Digest{0: key}, maps: []mapOutput{{run: 5, blocks: one}, {run: 6, blocks: two, gone: true}}}
		task := &taskInfo{bytes: 100}
		c.change(p, task)
		err := s.View(func(tx *store.Tx) error { return p.patch(tx, &record{ID: "new"}, plan.Range{}, nil, task) })
		if err != nil || (task.patch != nil) != c.want {
			t.Errorf("%s: %+v, %v", name, task.patch, err)
		}
		if c.want && (len(task.patch.Minus) != 1 || task.patch.Minus[0] != 6 || task.patch.Records != 7 || !task.patch.Positive) {
			t.Errorf("%s: %+v", name, task.patch)
		}
	}
}
