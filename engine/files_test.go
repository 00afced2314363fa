package engine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// TestUnknownFiles has apart what a task has opened as the first time and what it has not.
func TestUnknownFiles(t *testing.T) {
	known := []plan.Opened{{Path: "/a", Digest: mr.Digest{1}}, {Path: "/b", Digest: mr.Digest{2}}, {Path: "/c"}}
	opened := []plan.Opened{{Path: "/a", Digest: mr.Digest{1}}, {Path: "/b", Digest: mr.Digest{1}}, {Path: "/c"}, {Path: "/d", Digest: mr.Digest{1}}}
	if got := unknownFiles(opened, known); !slices.Equal(got, []string{"/b", "/c", "/d"}) {
		t.Error(got)
	}
	if got := unknownFiles(nil, known); len(got) > 0 {
		t.Error(got)
	}
	twice := []plan.Opened{{Path: "/a", Digest: mr.Digest{2}}, {Path: "/a", Digest: mr.Digest{1}}, {Path: "/b", Digest: mr.Digest{1}}}
	if got := unknownFiles(opened, twice); !slices.Equal(got, []string{"/c", "/d"}) {
		t.Error(got)
	}
	if got := unknownFiles([]plan.Opened{{}}, known); !slices.Equal(got, []string{""}) {
		t.Errorf("more files than are noted: %q", got)
	}
}

// TestJoinFiles has the files of what a task has read with its own: one that held something else is not known.
func TestJoinFiles(t *testing.T) {
	a := []plan.Opened{{Path: "/a", Digest: mr.Digest{1}}, {Path: "/c", Digest: mr.Digest{3}}}
	b := []plan.Opened{{Path: "/a", Digest: mr.Digest{2}}, {Path: "/b", Digest: mr.Digest{2}}, {Path: "/c", Digest: mr.Digest{3}}}
	want := []plan.Opened{{Path: "/a"}, {Path: "/b", Digest: mr.Digest{2}}, {Path: "/c", Digest: mr.Digest{3}}}
	if got := joinFiles(a, b); !slices.Equal(got, want) {
		t.Error(got)
	}
	if got := joinFiles(a, nil); len(unknownFiles(got, got)) != 1 { // a list that is damaged
		t.Error(got)
	}
	if a[0].Digest.IsZero() || b[0].Digest.IsZero() {
		t.Error("the lists were changed")
	}
}

// TestHeldFiles compares lists on record with what is there.
func TestHeldFiles(t *testing.T) {
	_, s, _ := pruning(t, Options{})
	table := filepath.Join(t.TempDir(), "table")
	write := func(text string) mr.Digest {
		t.Helper()
		if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, _ := sideFiles.Of(table)
		return d
	}
	held := write("old")
	gone, _ := sideFiles.Of(table + "2")
	compare := func(h *heldFiles, files ...plan.Opened) (same bool, why string) {
		t.Helper()
		err := s.Update(func(tx *store.Tx) error {
			err := lineage.PutOpened(tx, files)
			var first changedFile
			same, first = h.compare(tx, lineage.OpenedKey(files))
			why = first.String()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return same, why
	}
	both := []plan.Opened{{Path: table, Digest: held}, {Path: table + "2", Digest: gone}}
	h := &heldFiles{}
	for _, h := range []*heldFiles{nil, h} {
		if same, why := compare(h); !same {
			t.Errorf("no files: %s", why)
		}
		if same, why := compare(h, both...); !same {
			t.Errorf("unchanged: %s", why)
		}
		if same, why := compare(h, both[0], plan.Opened{Path: "/x"}); same || why != "file /x was being written, or had just been, when it was read" {
			t.Errorf("unknown: %v, %s", same, why)
		}
		if same, why := compare(h, plan.Opened{Path: "/"}); same {
			t.Errorf("names in / that were being written: %s", why)
		}
		if same, _ := compare(h, plan.Opened{}); same {
			t.Error("too many files are all as they were")
		}
	}
	now := write("newer")
	if same, why := compare(nil, both...); same || why != "file "+table+": "+held.Short()+" → "+now.Short() {
		t.Errorf("changed: %v, %s", same, why)
	}
	if same, _ := compare(h, both...); !same {
		t.Error("the job has looked before, and sees another state now")
	}
	if d, ok := h.of(table); !ok || d != held {
		t.Error("it does not know what it saw")
	}
	write("old")
	if same, why := compare(&heldFiles{}, both...); !same {
		t.Errorf("as it was once more: %s", why)
	}
	err := s.View(func(tx *store.Tx) error {
		if same, first := h.compare(tx, mr.Digest{1}); same || first.String() != "what files its code had opened is not known" {
			t.Errorf("a list that is not on record: %v, %s", same, first)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPruneOpened keeps the lists of outputs on record.
func TestPruneOpened(t *testing.T) {
	e, s, now := pruning(t, Options{})
	kept := []plan.Opened{{Path: "/a", Digest: mr.Digest{1}}}
	other := []plan.Opened{{Path: "/b", Digest: mr.Digest{2}}}
	err := s.Update(func(tx *store.Tx) error {
		for _, files := range [][]plan.Opened{kept, other} {
			if err := lineage.PutOpened(tx, files); err != nil {
				return err
			}
		}
		o := &lineage.Output{Key: mr.Digest{9}, Created: now.Add(-time.Hour), Opened: lineage.OpenedKey(kept)}
		return lineage.PutOutput(tx, o)
	})
	if err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	err = s.View(func(tx *store.Tx) error {
		if got := lineage.GetOpened(tx, lineage.OpenedKey(kept)); !slices.Equal(got, kept) {
			t.Errorf("the list of an output: %v", got)
		}
		if got := lineage.GetOpened(tx, lineage.OpenedKey(other)); len(got) > 0 {
			t.Errorf("a list of none: %v", got)
		}
		o, err := lineage.GetOutput(tx, mr.Digest{9})
		if err == nil && o.Opened != lineage.OpenedKey(kept) {
			t.Error("the output has lost its list")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOpenedOfNodes has an attempt's list with the files of the nodes that it was ordered to read, also if others
// have made them anew before it ends, or have found that they can't be read.
func TestOpenedOfNodes(t *testing.T) {
	e, s, _ := pruning(t, Options{})
	was := []plan.Opened{{Path: "/a", Digest: mr.Digest{1}}}
	now := []plan.Opened{{Path: "/a", Digest: mr.Digest{2}}}
	put := func(files []plan.Opened) {
		t.Helper()
		err := s.Update(func(tx *store.Tx) error {
			o := &lineage.Output{Key: mr.Digest{9}, Kind: plan.Merge, Made: plan.Made{Run: 3}, Opened: lineage.OpenedKey(files)}
			return errors.Join(lineage.PutOpened(tx, files), lineage.PutOutput(tx, o))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(was)
	l := &loop{e: e}
	task := &taskInfo{nodes: []treeNode{{Node: plan.Node{From: 0, To: 2}, key: mr.Digest{9}, run: 3, leaves: 5, opened: lineage.OpenedKey(was)}}}
	f := &flight{work: plan.Work{Runs: []uint64{1, 2}}, result: plan.Result{Opened: now}}
	f.opened = l.orderTree(&f.work, &job{}, task)
	put(now)
	task.nodes[0].run = 0
	if got := l.openedBy(f); !slices.Equal(got, []plan.Opened{{Path: "/a"}}) {
		t.Error(got)
	}
}

// TestLookAside has a lookup that must read files first go on beside the loop, and be answered when they are read.
func TestLookAside(t *testing.T) {
	_, s, _ := pruning(t, Options{})
	table := filepath.Join(t.TempDir(), "table")
	gone, _ := sideFiles.Of(table)
	files := []plan.Opened{{Path: table, Digest: gone}}
	out := &lineage.Output{Key: mr.Digest{9}, Kind: plan.Map, Stage: mr.Digest{7}, Job: "other", Opened: lineage.OpenedKey(files)}
	sink := s.CreateRun()
	if err := sink.WriteBlock([]byte("records")); err != nil {
		t.Fatal(err)
	}
	id, err := sink.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out.Made.Run = uint64(id)
	err = s.Update(func(tx *store.Tx) error {
		return errors.Join(tx.CommitRun(id), lineage.PutOpened(tx, files), lineage.PutOutput(tx, out), putVerdict(tx, out.Stage, deterministic))
	})
	if err != nil {
		t.Fatal(err)
	}
	e := New(Options{Store: s}) // its loop is the test's
	defer e.cancel()
	l := &e.loop
	held := &heldFiles{}
	l.jobs["job"] = &job{rec: record{ID: "job", files: held}}
	l.step(evAdd{job: "job", share: true}, time.Now())
	l.step(evPlanned{job: "job", maps: make([]planned, 1)}, time.Now())
	l.queue = nil
	held.looking.Lock() // as if they took long
	l.lookup(actLookup{taskID{"job", plan.Map, 0}, 1, out.Key})
	if len(l.queue) > 0 {
		t.Fatal("the loop has waited for the files")
	}
	held.looking.Unlock()
	(<-e.requests)(l)
	e.background.Wait()
	if len(l.queue) != 1 || !l.queue[0].(evLookup).hit {
		t.Errorf("the answer: %+v", l.queue)
	}
}

// TestLooksOnce has a job that is read from the catalog, as to explain it, look at each file once.
func TestLooksOnce(t *testing.T) {
	_, s, _ := pruning(t, Options{})
	table := filepath.Join(t.TempDir(), "table")
	gone, _ := sideFiles.Of(table)
	files := []plan.Opened{{Path: table, Digest: gone}}
	err := s.Update(func(tx *store.Tx) error {
		if err := errors.Join(lineage.PutOpened(tx, files), putJob(tx, &record{ID: "job_1"})); err != nil {
			return err
		}
		r, err := getJob(tx, "job_1")
		if err != nil {
			return err
		}
		for range 2 {
			if same, first := r.files.compare(tx, lineage.OpenedKey(files)); !same {
				t.Error(first)
			}
			if err := os.WriteFile(table, nil, 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
