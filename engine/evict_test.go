package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

func TestValueIsWhatAnOutputSavesForItsBytesAndIdleTime(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	out := func(change func(*lineage.Output)) *lineage.Output {
		o := &lineage.Output{CPU: time.Second, Created: now.Add(-time.Hour), Made: plan.Made{Run: 1, Stored: 1 << 20}}
		change(o)
		return o
	}
	base := value(out(func(*lineage.Output) {}), now)
	for name, c := range map[string]struct {
		o    *lineage.Output
		more bool
	}{
		"more CPU":     {out(func(o *lineage.Output) { o.CPU *= 2 }), true},
		"more bytes":   {out(func(o *lineage.Output) { o.Made.Stored *= 2 }), false},
		"used":         {out(func(o *lineage.Output) { o.Uses, o.Used = 1, o.Created }), true},
		"used lately":  {out(func(o *lineage.Output) { o.Used = now.Add(-time.Minute) }), true},
		"older":        {out(func(o *lineage.Output) { o.Created = now.Add(-2 * time.Hour) }), false},
		"invalidated":  {out(func(o *lineage.Output) { o.Gone = lineage.Invalidated }), false},
		"a node":       {out(func(o *lineage.Output) { o.Kind, o.CPU = plan.Merge, time.Hour }), false},
		"clock behind": {out(func(o *lineage.Output) { o.Created = now.Add(time.Hour) }), true},
	} {
		if v := value(c.o, now); v > base != c.more || v == base {
			t.Errorf("%s: %g beside %g", name, v, base)
		}
	}
}

func TestWhyGoneTellsWhen(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for want, o := range map[string]lineage.Output{
		"evicted 3 days ago":              {Gone: lineage.Evicted, GoneAt: now.Add(-80 * time.Hour)},
		"evicted 1 day ago":               {Gone: lineage.Evicted, GoneAt: now.Add(-25 * time.Hour)},
		"invalidated 2 hours ago":         {Gone: lineage.Invalidated, GoneAt: now.Add(-130 * time.Minute)},
		"evicted less than a minute ago":  {Gone: lineage.Evicted, GoneAt: now},
		"evicted":                         {Gone: lineage.Evicted},
		"lost: volume 12 damaged":         {Gone: "lost: volume 12 damaged", GoneAt: now.Add(-time.Hour)},
		"its stored output was not there": {},
		"the part was not kept: reducing again costs less than its bytes": {Kind: plan.Reduce},
	} {
		if got := whyGone(&o, now); got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
}

// Old jobs go with all that is theirs; what others need stays.
func TestPruneForgetsOldJobs(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	now := time.Now()
	e := New(Options{Store: s, Now: func() time.Time { return now }})
	day := 24 * time.Hour
	ids := map[string]mr.JobID{}
	add := func(name string, age time.Duration, state mr.State, splits string) {
		id := newJobID(now.Add(-age))
		ids[name] = id
		r := &record{ID: id, Submit: mr.SubmitID(name), State: state, Submitted: now.Add(-age)}
		if state.Done() {
			r.Ended = now.Add(-age)
		}
		err := s.Update(func(tx *store.Tx) error {
			var err error
			if r.Plan, err = lineage.PutPlan(tx, []byte(splits)); err != nil {
				return err
			}
			for i := range 3 {
				if err := lineage.PutTask(tx, id, plan.Map, i, &lineage.Task{State: lineage.TaskDone}); err != nil {
					return err
				}
			}
			hash := mr.Digest{1}
			if err := tx.Put(store.Submits, []byte(name), append([]byte(id), hash[:]...)); err != nil {
				return err
			}
			if err := tx.Put(store.Logs, []byte(string(id)+"/1"), []byte("{}")); err != nil {
				return err
			}
			return putJob(tx, r)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("ancient", 61*day, mr.Succeeded, "plan a")
	add("old", 31*day, mr.FailedJob, "plan b")
	add("pinned", 40*day, mr.Succeeded, "plan c")
	add("live", 50*day, mr.Running, "plan d")
	add("young", 29*day, mr.Succeeded, "plan b")
	if _, err := e.CachePin(t.Context(), string(ids["pinned"]), true); err != nil {
		t.Fatal(err)
	}
	if !e.pruneIsDue() {
		t.Error("a store that was never pruned is not due")
	}
	if n := e.prune(context.Background()); n != 2 || e.pruneIsDue() {
		t.Errorf("%d jobs were pruned", n)
	}
	err = s.View(func(tx *store.Tx) error {
		for name, there := range map[string]struct{ job, submit bool }{
			"ancient": {false, false}, "old": {false, true}, "pinned": {true, true}, "live": {true, true}, "young": {true, true},
		} {
			id := ids[name]
			if got := tx.Get(store.Jobs, []byte(id)) != nil; got != there.job {
				t.Errorf("%s: on record %v", name, got)
			}
			if got := tx.Get(store.Submits, []byte(name)) != nil; got != there.submit {
				t.Errorf("%s: submit id on record %v", name, got)
			}
			tasks := 0
			if err := lineage.ScanTasks(tx, id, plan.Map, func(int, *lineage.Task) error { tasks++; return nil }); err != nil {
				return err
			}
			if (tasks == 3) != there.job || (tx.Get(store.Logs, []byte(string(id)+"/1")) != nil) != there.job {
				t.Errorf("%s: %d tasks are on record, and its log", name, tasks)
			}
		}
		plans := ""
		err := tx.Scan(store.Plans, nil, func(_, v []byte) error { plans += fmt.Sprintf("%s ", v[len(v)-1:]); return nil })
		if len(plans) != 6 || strings.Contains(plans, "a") {
			t.Errorf("plans %s", plans)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The map outputs of a job stay until it has published its parts: after a crash before that they
// would be made once more.
func TestRunsAreHeldUntilTheJobIsDone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	err := e.request(ctx, func(l *loop) {
		j := &job{rec: record{ID: newJobID(time.Now())}, maps: []taskInfo{{Task: lineage.Task{Made: plan.Made{Run: 7}}}}}
		l.adopt(j)
		for _, at := range []struct {
			ev    event
			phase jobPhase
			held  bool
		}{
			{evAdd{job: j.rec.ID, resumed: true}, phasePlanning, true},
			{evPlanned{job: j.rec.ID, resumed: true, maps: []planned{{done: true, run: 7}}}, phaseCutting, true},
			{evCut{job: j.rec.ID}, phaseCommit, true},
			{evCommitted{job: j.rec.ID, err: "no"}, phaseEnding, false},
		} {
			l.core.step(at.ev, time.Now())
			if phase := l.core.jobs[j.rec.ID].phase; phase != at.phase || l.held()[7] != at.held {
				t.Errorf("in phase %d (%d) its run is held: %t", phase, at.phase, l.held()[7])
			}
		}
		delete(l.jobs, j.rec.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A bound that is for those who ask for it costs nothing before.
func TestNothingIsEvictedUnasked(t *testing.T) {
	if n := (&Engine{o: Options{CacheSize: 1, OnRequest: true}}).mostTasks(); n != pruneTasks {
		t.Errorf("jobs of %d tasks stay on record", n)
	}
	for _, onRequest := range []bool{true, false} {
		e, s, now := pruning(t, Options{CacheSize: 1, OnRequest: onRequest})
		o := &lineage.Output{Key: mr.Digest{1}, Kind: plan.Merge, Created: now}
		err := s.Update(func(tx *store.Tx) error {
			o.Made = plan.Made{Run: smallRun(t, s), Stored: 6}
			return errors.Join(tx.CommitRun(store.RunID(o.Made.Run)), lineage.PutOutput(tx, o))
		})
		if err != nil {
			t.Fatal(err)
		}
		there := func() bool {
			id, err := Catalog{s}.current(o.Key)
			if err != nil {
				t.Fatal(err)
			}
			return id != 0
		}
		e.kick()
		for end := time.Now().Add(2 * time.Second); there() && !onRequest && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if onRequest {
			time.Sleep(5 * evictTick)
		}
		if there() != onRequest {
			t.Errorf("on request %v: it is there: %v", onRequest, there())
		}
		f, err := e.CacheGC(t.Context(), mr.CacheGC{})
		if err != nil || (f.Outputs == 1) != onRequest || there() {
			t.Errorf("on request %v: %+v, %v", onRequest, f, err)
		}
	}
}

// What can't be brought within its bound is not looked at all the time: that takes long in a large catalog.
func TestEvictionRests(t *testing.T) {
	var slow atomic.Int64 // seconds, by a clock that goes on by one whenever it is looked at
	now := time.Now()
	e, _, _ := pruning(t, Options{Now: func() time.Time { return now.Add(time.Duration(slow.Add(1)) * time.Second) }})
	if rest := e.evict(); rest < 10*time.Second {
		t.Errorf("it took seconds to see that nothing can be evicted, and it is tried again in %v", rest)
	}
}

// What is being written counts before it is on record, and nobody looks while nothing is.
func TestGrowthIsNoticed(t *testing.T) {
	const size = 1 << 20
	e, s, now := pruning(t, Options{CacheSize: 7 * size / 2})
	seal := func() uint64 {
		w := s.CreateRun()
		if err := w.WriteBlock(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		id, err := w.Seal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return uint64(id)
	}
	o := &lineage.Output{Key: mr.Digest{1}, Made: plan.Made{Run: seal(), Stored: size}, Created: now}
	err := s.Update(func(tx *store.Tx) error {
		return errors.Join(tx.CommitRun(store.RunID(o.Made.Run)), lineage.PutOutput(tx, o))
	})
	if err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		id, err := Catalog{s}.current(o.Key)
		if err != nil {
			t.Fatal(err)
		}
		return id != 0
	}
	if time.Sleep(2 * evictTick); !there() {
		t.Error("it is evicted though there is room")
	}
	if rest := e.evict(); rest != 0 {
		t.Errorf("a store within its bound is looked at again in %v", rest)
	}
	for range 2 {
		seal()
	}
	for end := time.Now().Add(10 * time.Second); there(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the store has grown beyond its bound, and nothing is evicted")
		}
	}
}
