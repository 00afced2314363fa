package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// A parameter that is given several times is compared with its like, and what differs is named.
func TestFirstDifference(t *testing.T) {
	stage := func(words ...string) (cs []plan.Component) {
		for i := 0; i < len(words); i += 2 {
			cs = append(cs, plan.Component{Name: words[i], Value: words[i+1]})
		}
		return cs
	}
	before := stage("code", "c", "--f", "a", "--f", "b", "--g", "x", "env E", "1")
	for _, c := range []struct {
		now  []plan.Component
		want string
	}{
		{stage("code", "c", "--f", "a", "--f", "b", "--g", "x", "env E", "2"), "env E: 1 → 2"},
		{stage("code", "c", "--f", "a", "--f", "c", "--g", "x", "env E", "1"), "--f: b → c"},
		{stage("code", "c", "--f", "a", "--g", "x", "env E", "1"), `--f: b → ""`},
		{stage("code", "c", "--f", "a", "--f", "b", "--f", "c", "--g", "x", "env E", "1"), `--f: "" → c`},
		{stage("code", "c", "--f", "a", "--g", "x", "--f", "b", "env E", "1"), "the order changed: --g stands where --f stood"},
	} {
		if got := firstDifference(c.now, before); got != c.want {
			t.Errorf("%v: %q, want %q", c.now, got, c.want)
		}
		differ := 0
		for _, k := range compare(c.now, before) {
			if k.Differs {
				differ++
			}
		}
		if differ > 1 {
			t.Errorf("%v: %d components differ", c.now, differ)
		}
	}
}

// Nothing waits or runs in a job that has ended.
func TestExplainOfAJobThatEnded(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	var splits []input.Split
	for i := range 4 {
		splits = append(splits, input.Split{Pieces: []input.Piece{{Path: fmt.Sprint("/", i), Len: 1}}})
	}
	for state, want := range map[mr.State]string{
		mr.Killed:    "map KILLED 2 the job ended before it was done|map SUCCEEDED 1 new input|map FAILED 1 failed; mrctl logs tells how|",
		mr.FailedJob: "map KILLED 2 the job ended before it was done|map SUCCEEDED 1 new input|map FAILED 1 failed; mrctl logs tells how|",
		mr.Running:   "map RUNNING 2 new input; read and digested first, then looked up|map SUCCEEDED 1 new input|map PENDING 1 new input; read and digested first, then looked up|",
	} {
		r := &record{ID: "job_" + mr.JobID(state), State: state, Map: mr.PhaseStatus{Tasks: len(splits)}}
		unplanned := &record{ID: r.ID + "_unplanned", State: state}
		err := s.Update(func(tx *store.Tx) (err error) {
			if r.Plan, err = lineage.PutPlan(tx, input.AppendSplits(nil, splits)); err != nil {
				return err
			}
			for _, r := range []*record{r, unplanned} {
				if err := putJob(tx, r); err != nil {
					return err
				}
			}
			for i, task := range []lineage.Task{
				{State: lineage.TaskDone, Reason: "new input"}, {State: lineage.TaskStarted, Starts: 1}, {State: lineage.TaskStarted, Starts: 4, Failures: 4},
			} {
				if err := lineage.PutTask(tx, r.ID, plan.Map, i, &task); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		said := func(id mr.JobID) string {
			t.Helper()
			x, err := Catalog{s}.Explain(t.Context(), id, "")
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, r := range x.Rows {
				fmt.Fprintf(&b, "%s %s %d %s|", r.Phase, r.State, r.Tasks, r.Reason)
			}
			return b.String()
		}
		if got := said(r.ID); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
		want := "map KILLED 1 the job ended before it was planned|"
		if !state.Done() {
			want = "map PENDING 1 not planned yet|"
		}
		if got := said(unplanned.ID); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}

// An output that has come while a task computed the same was not missing.
func TestWhyMissedWhatIsThere(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	w := s.CreateRun()
	if err := w.WriteBlock([]byte("a part")); err != nil {
		t.Fatal(err)
	}
	kept, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	began := now.Add(-time.Second)
	builtin, author := &record{ID: "second"}, &record{ID: "second"}
	author.Spec.Code.Kind = mr.Binary
	err = s.Update(func(tx *store.Tx) error {
		if err := tx.CommitRun(kept); err != nil {
			return err
		}
		for _, c := range []struct {
			r       *record
			created time.Time
			verdict verdict
			run     store.RunID
			want    string
		}{
			{builtin, now, untried, kept, "computed at the same time by job first"},
			{builtin, now, untried, kept + 1, "its stored output was not there"},
			{author, now, deterministic, kept, "computed at the same time by job first"},
			{author, began.Add(-time.Second), deterministic, kept, "untried: its code had not been seen to make the same again"},
			{author, now, untried, kept, "untried: its code has not been seen to make the same again"},
		} {
			o := &lineage.Output{Key: mr.Digest{1}, Kind: plan.Map, Stage: mr.Digest{2}, Made: plan.Made{Run: uint64(c.run)}, Created: c.created, Job: "first"}
			if err := lineage.PutOutput(tx, o); err != nil {
				return err
			}
			if err := tx.Put(store.Meta, verdictKey(o.Stage), []byte{byte(c.verdict)}); err != nil {
				return err
			}
			got, err := whyMissed(tx, c.r, plan.Map, &taskInfo{Task: lineage.Task{Key: o.Key}}, plan.Range{}, began, now)
			if err != nil || got != c.want {
				t.Errorf("%+v: %q, %v", c, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCompareTasks tells tasks that made the same from those that made something else of it, under one key or under two.
func TestCompareTasks(t *testing.T) {
	_, s, _ := pruning(t, Options{})
	err := s.Update(func(tx *store.Tx) error {
		for _, key := range []mr.Digest{{1}, {2}} {
			if err := lineage.PutOutput(tx, &lineage.Output{Key: key, Split: mr.Digest{8}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ran := func(key, made byte) *side {
		task := &lineage.Task{State: lineage.TaskDone, Key: mr.Digest{key}, Made: plan.Made{Digest: mr.Digest{made}}}
		return &side{rec: &record{Traits: mr.Traits{Reduce: true}}, tasks: [2]map[int]*lineage.Task{{0: task}}}
	}
	const other = "its code made something else of the same: a file that it opens had changed, or it is not deterministic"
	for _, c := range []struct {
		now, then *side
		want      string
	}{
		{ran(1, 5), ran(1, 5), "the same"},
		{ran(1, 5), ran(1, 6), other},
		{ran(2, 5), ran(1, 5), "the same"}, // --no-cache
		{ran(2, 5), ran(1, 6), other},
	} {
		err := s.View(func(tx *store.Tx) error {
			got, err := compareTasks(tx, c.now, c.then, plan.Map, [2]int{})
			if got != c.want {
				t.Errorf("%v and %v: %q", c.now.tasks[0][0].Made.Digest.Short(), c.then.tasks[0][0].Made.Digest.Short(), got)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
