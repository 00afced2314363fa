package worker

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// skips are the records of one map attempt that were skipped. The reader of its split and
// its mapper both add to them, in an order between the two that means nothing.
type skips struct {
	most int

	mu  sync.Mutex
	all []mr.BadRecord
	err error // there are more than may be
}

// newSkips returns nil for work in which a bad record is an error.
func newSkips(w *plan.Work) *skips {
	if w.SkipBadRecords <= 0 {
		return nil
	}
	return &skips{most: w.SkipBadRecords}
}

// endless are the skips of a search, which maps some records many times.
func endless(w *plan.Work) *skips {
	s := newSkips(w)
	if s != nil {
		s.most = math.MaxInt
	}
	return s
}

// report is nil for nil skips, as readers and mappers want it.
func (s *skips) report() func(mr.BadRecord) error {
	if s == nil {
		return nil
	}
	return s.add
}

func (s *skips) add(b mr.BadRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all = append(s.all, b); len(s.all) > s.most && s.err == nil {
		first := slices.MinFunc(s.all, func(a, b mr.BadRecord) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Offset, b.Offset))
		})
		s.err = &taskFailure{kind: plan.BadInput, err: plan.TooManyBad(s.most, first, b)}
	}
	return s.err
}

// failed is the error of an attempt that met too many bad records, whatever became of it then.
func (s *skips) failed() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// into puts what was skipped into an answer, in the order of the input.
func (s *skips) into(res *plan.Result, split input.Split) {
	if s == nil || len(s.all) == 0 {
		return
	}
	place := map[string]int{}
	for i := range split.Pieces {
		place[split.Pieces[i].Path] = i
	}
	slices.SortFunc(s.all, func(a, b mr.BadRecord) int {
		return cmp.Or(cmp.Compare(place[a.Path], place[b.Path]), cmp.Compare(a.Offset, b.Offset))
	})
	res.Skipped = s.all
	n := mr.Counter{Group: "mr", Name: "skipped_records", Value: int64(len(s.all))}
	i, _ := slices.BinarySearchFunc(res.Counters, n, func(a, b mr.Counter) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name))
	})
	res.Counters = slices.Insert(res.Counters, i, n)
}
