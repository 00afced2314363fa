package engine

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// An output that comes out different when it is computed again tells of its code what is new, and the
// job is warned once, however many of them there are.
func TestWhatComesOutDifferentIsJudged(t *testing.T) {
	made := plan.Made{Digest: mr.Digest{1}, Records: 10, Raw: 100}
	for name, c := range map[string]struct {
		known, want verdict
		now         plan.Made
		damaged     bool // the record of what was made before
		warnings    int
		split       mr.Digest // of which it is made now
	}{
		"the same":                 {deterministic, deterministic, made, false, 0, mr.Digest{}},
		"other records":            {deterministic, indeterminate, plan.Made{Digest: mr.Digest{2}, Records: 10, Raw: 100}, false, 1, mr.Digest{}},
		"known to differ":          {indeterminate, indeterminate, plan.Made{Digest: mr.Digest{2}, Records: 10, Raw: 100}, false, 1, mr.Digest{}},
		"another order":            {unordered, unordered, plan.Made{Digest: mr.Digest{2}, Records: 10, Raw: 100}, false, 0, mr.Digest{}},
		"more than another order":  {unordered, indeterminate, plan.Made{Digest: mr.Digest{2}, Records: 11, Raw: 100}, false, 1, mr.Digest{}},
		"nobody knows from what":   {untried, untried, made, true, 0, mr.Digest{}},
		"and its code is unsteady": {unordered, unordered, made, true, 0, mr.Digest{}},
		"of another input":         {deterministic, deterministic, plan.Made{Digest: mr.Digest{2}, Records: 10, Raw: 100}, false, 0, mr.Digest{5}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			e, ended := startEngine(t, ctx)
			defer func() { cancel(); ended() }()
			stage := mr.Digest{9}
			j := &job{rec: record{ID: newJobID(time.Now()), MapStage: stage}, maps: make([]taskInfo, 3), splits: make([]input.Split, 3)}
			err := e.o.Store.Update(func(tx *store.Tx) error {
				for i := range j.maps {
					j.maps[i].Key = mr.Digest{3, byte(i)}
					o := &lineage.Output{Key: j.maps[i].Key, Stage: stage, Made: made, Created: time.Now()}
					if err := lineage.PutOutput(tx, o); err != nil {
						return err
					}
					if c.damaged {
						if err := tx.Put(store.Outputs, o.Key[:], []byte("no record")); err != nil {
							return err
						}
					}
				}
				return tx.Put(store.Meta, verdictKey(stage), []byte{byte(c.known)})
			})
			var got verdict
			err = errors.Join(err, e.request(ctx, func(l *loop) {
				l.adopt(j)
				b := &batchWriter{l: l}
				for i := range j.maps {
					f := &flight{task: taskID{j.rec.ID, plan.Map, i}, started: time.Now(), result: plan.Result{Made: c.now, Split: c.split}}
					b.putOutput(j, f.task, &j.maps[i], f)
				}
				delete(l.jobs, j.rec.ID)
				if err := l.persist(nil); err != nil {
					t.Error(err)
				}
			}), e.o.Store.View(func(tx *store.Tx) error {
				got = verdictOf(tx, stage)
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want || len(j.rec.Warnings) != c.warnings {
				t.Errorf("the code is %v and was to be %v; warnings: %q", got, c.want, j.rec.Warnings)
			}
		})
	}
}

// Of built-ins, too, what has come out different is not used by other jobs. They need no trial.
func TestVerdictsOnBuiltins(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	l := &New(Options{Store: s}).loop
	out := &lineage.Output{Stage: mr.Digest{9}, Job: "other"}
	for _, c := range []struct {
		audit verdict
		share bool
	}{{deterministic, true}, {unordered, true}, {indeterminate, false}} {
		l.audited(drawnHit{stage: out.Stage}, c.audit, nil)
		var share bool
		err := errors.Join(l.persist(nil), s.View(func(tx *store.Tx) error {
			share = mayShare(tx, &record{ID: "job"}, out)
			if known := verdictOf(tx, out.Stage); known != c.audit && c.audit != deterministic {
				t.Errorf("audited as %v, it is known as %v", c.audit, known)
			}
			return nil
		}))
		if err != nil || share != c.share {
			t.Errorf("audited as %v: shared: %v, %v", c.audit, share, err)
		}
	}
}

// A verdict for which there is no room is on record once there is.
func TestVerdictWaitsForRoom(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	stage, tries := mr.Digest{9}, 0
	known := make(chan verdict, 1)
	err := e.request(ctx, func(l *loop) {
		l.setVerdict(stage, indeterminate)
		l.owed = append(l.owed, func(tx *store.Tx) error {
			if tries++; tries < 3 {
				return syscall.ENOSPC
			}
			known <- verdictOf(tx, stage)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case v := <-known:
		if v != indeterminate {
			t.Errorf("the code is %v", v)
		}
	case <-ctx.Done():
		t.Error("it was not tried again")
	}
}

// One wrong bit makes no other verdict of one, and those of earlier versions are read.
func TestVerdictWithAWrongBitIsNone(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	stage := mr.Digest{1}
	err = s.Update(func(tx *store.Tx) error {
		for v := deterministic; v <= indeterminate; v++ {
			if err := putVerdict(tx, stage, v); err != nil {
				return err
			}
			if got := verdictOf(tx, stage); got != v {
				t.Errorf("%v is read as %v", v, got)
			}
			for i := range 16 {
				b := []byte{byte(v), ^byte(v)}
				b[i/8] ^= 1 << (i % 8)
				if err := tx.Put(store.Meta, verdictKey(stage), b); err != nil {
					return err
				}
				if got := verdictOf(tx, stage); got != untried {
					t.Errorf("%v with bit %d wrong is read as %v", v, i, got)
				}
			}
			if err := tx.Put(store.Meta, verdictKey(stage), []byte{byte(v)}); err != nil {
				return err
			}
			if got := verdictOf(tx, stage); got != v {
				t.Errorf("%v of an earlier version is read as %v", v, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// rehearsing is a worker on which executing a task again comes out as it is told.
type rehearsing struct{ out []plan.Rehearsal }

func (r *rehearsing) Rehearse(_ *plan.Work, res *plan.Rehearsal) error {
	*res, r.out = r.out[0], r.out[1:]
	return nil
}

// A part that comes out different is judged by what two more executions make. Where these are alike, nothing
// tells whether the first made other records or the same in another order.
func TestPartsThatComeOutDifferentAreJudged(t *testing.T) {
	out := func(digest, records byte) plan.Rehearsal {
		return plan.Rehearsal{Digest: mr.Digest{digest}, Multiset: mr.Digest{records}, Records: 10, Raw: 100}
	}
	made := plan.Made{Digest: mr.Digest{1}, Records: 10, Raw: 100}
	for name, c := range map[string]struct {
		out    []plan.Rehearsal
		want   verdict
		judged bool
	}{
		"the same":               {[]plan.Rehearsal{out(1, 1)}, deterministic, true},
		"other records":          {[]plan.Rehearsal{out(2, 2), out(3, 3)}, indeterminate, true},
		"more records":           {[]plan.Rehearsal{{Digest: mr.Digest{2}, Records: 11, Raw: 100}}, indeterminate, true},
		"another order":          {[]plan.Rehearsal{out(2, 1), out(3, 1)}, unordered, true},
		"one of two orders":      {[]plan.Rehearsal{out(2, 1), out(1, 1)}, unordered, true},
		"the same of two orders": {[]plan.Rehearsal{out(2, 1), out(2, 1)}, untried, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			e, ended := startEngine(t, ctx)
			defer func() { cancel(); ended() }()
			ours, theirs := net.Pipe()
			s := rpc.NewServer()
			if err := s.RegisterName("Worker", &rehearsing{c.out}); err != nil {
				t.Fatal(err)
			}
			go s.ServeConn(theirs)
			if err := e.AddWorker(rpc.NewClient(ours), 1); err != nil {
				t.Fatal(err)
			}
			got, err := e.rehearse(ctx, &plan.Work{Kind: plan.Reduce}, made, nil)
			if got != c.want || (err == nil) != c.judged {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// A stage is not judged by a task that has made nothing, unless it is the last one.
func TestNothingIsNoTrial(t *testing.T) {
	for _, c := range []struct {
		records int64
		left    int
		tried   bool
	}{{0, 1, false}, {1, 1, true}, {0, 0, true}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		e, ended := startEngine(t, ctx)
		j := &job{rec: record{ID: newJobID(time.Now()), Spec: mr.Spec{Code: mr.Code{Kind: mr.Binary}}}}
		err := e.request(ctx, func(l *loop) {
			l.core.jobs[j.rec.ID] = &coreJob{left: [2]int{c.left, 0}}
			l.tryStage(j, plan.Map, &flight{result: plan.Result{Made: plan.Made{Records: c.records}}})
			delete(l.core.jobs, j.rec.ID)
			l.after = nil
		})
		if err != nil || j.tried[plan.Map] != c.tried {
			t.Errorf("%d records, %d tasks left: it is tried: %v, %v", c.records, c.left, j.tried[plan.Map], err)
		}
		cancel()
		ended()
	}
}

// What a trial shows is on record also where its job has ended meanwhile.
func TestTrialOutlivesItsJob(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	ours, theirs := net.Pipe()
	s := rpc.NewServer()
	if err := s.RegisterName("Worker", &rehearsing{[]plan.Rehearsal{{Digest: mr.Digest{1}}}}); err != nil {
		t.Fatal(err)
	}
	go s.ServeConn(theirs)
	j := &job{rec: record{ID: newJobID(time.Now()), MapStage: mr.Digest{9}, Spec: mr.Spec{Code: mr.Code{Kind: mr.Binary}}}}
	err := errors.Join(e.AddWorker(rpc.NewClient(ours), 1), e.request(ctx, func(l *loop) {
		l.adopt(j)
		l.tryStage(j, plan.Map, &flight{result: plan.Result{Made: plan.Made{Digest: mr.Digest{1}, Records: 1}}})
		for _, fn := range l.after {
			fn()
		}
		l.after = nil
		delete(l.jobs, j.rec.ID) // it is killed
	}))
	for known := untried; err == nil && known != deterministic; time.Sleep(time.Millisecond) {
		err = errors.Join(ctx.Err(), e.o.Store.View(func(tx *store.Tx) error {
			known = verdictOf(tx, j.rec.MapStage)
			return nil
		}))
	}
	if err != nil {
		t.Error(err)
	}
}

// Code that succeeds and then fails on the same input is named: its output may lack something, too.
func TestFailedTrialIsTold(t *testing.T) {
	for kind, told := range map[plan.FailureKind]int{plan.UserError: 1, plan.Changed: 0} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		e, ended := startEngine(t, ctx)
		ours, theirs := net.Pipe()
		s := rpc.NewServer()
		failed := plan.Rehearsal{Failure: plan.Failure{Kind: kind, Message: "no second time"}}
		if err := s.RegisterName("Worker", &rehearsing{[]plan.Rehearsal{failed}}); err != nil {
			t.Fatal(err)
		}
		go s.ServeConn(theirs)
		j := &job{warned: map[string]bool{}, rec: record{ID: newJobID(time.Now()), MapStage: mr.Digest{9}, Spec: mr.Spec{Code: mr.Code{Kind: mr.Binary}}}}
		err := errors.Join(e.AddWorker(rpc.NewClient(ours), 1), e.request(ctx, func(l *loop) {
			l.adopt(j)
			l.tryStage(j, plan.Map, &flight{result: plan.Result{Made: plan.Made{Digest: mr.Digest{1}, Records: 1}}})
		}))
		var warnings []string
		for onTrial := true; err == nil && onTrial; time.Sleep(time.Millisecond) {
			err = e.request(ctx, func(*loop) { onTrial, warnings = j.onTrial > 0, j.rec.Warnings })
		}
		if err != nil || len(warnings) != told || told > 0 && !strings.Contains(warnings[0], "failed when it was executed again") {
			t.Errorf("failure %d: %q, %v", kind, warnings, err)
		}
		if err := e.request(ctx, func(l *loop) { delete(l.jobs, j.rec.ID) }); err != nil {
			t.Error(err)
		}
		cancel()
		ended()
	}
}
