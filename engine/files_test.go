package engine

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// TestUnknownFiles has apart what a task has opened as its keys say and what it has not.
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

// TestRemembered has a job that opens a file of another name each day: the last ones are remembered.
func TestRemembered(t *testing.T) {
	var all []string
	for day := range mostFiles + 10 {
		if all, _ = remembered(all, []string{fmt.Sprint("/day", day)}); all[len(all)-1] != fmt.Sprint("/day", day) {
			t.Fatalf("the file of day %d is not remembered", day)
		}
	}
	if len(all) != mostFiles || all[0] != "/day10" {
		t.Errorf("%d files from %s on", len(all), all[0])
	}
	if got, more := remembered(all, []string{"/day17", ""}); more || !slices.Equal(got, all) {
		t.Error("what is known is no more")
	}
}

// TestPruneOpened keeps what jobs on record open, and of others as long as they are few.
func TestPruneOpened(t *testing.T) {
	e, s, now := pruning(t, Options{})
	r := &record{ID: newJobID(now), State: mr.Succeeded, Submitted: now, Ended: now, Traits: mr.Traits{Job: "kept"}, Spec: mr.Spec{Code: mr.Code{Source: "./pkg"}}}
	other := func(i int) *record {
		return &record{Traits: mr.Traits{Job: fmt.Sprint(i)}, Spec: mr.Spec{Code: mr.Code{Source: "./pkg"}}}
	}
	paths := []string{"/b", "/a"}
	put := func(r *record) error {
		return s.Update(func(tx *store.Tx) error {
			return tx.Put(store.Meta, openedKey(r, plan.Reduce), []byte(paths[0]+"\x00"+paths[1]+"\x00"))
		})
	}
	known := func(r *record) (got []string) {
		t.Helper()
		err := s.View(func(tx *store.Tx) error { got = openedPaths(tx, r, plan.Reduce); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	err := put(r)
	if err == nil {
		err = s.Update(func(tx *store.Tx) error { return putJob(tx, r) })
	}
	for i := 0; i < mostUnowned && err == nil; i++ {
		err = put(other(i))
	}
	if err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	if !slices.Equal(known(r), paths) || !slices.Equal(known(other(0)), paths) {
		t.Errorf("few enough: %v, %v", known(r), known(other(0)))
	}
	if err := put(other(mostUnowned)); err != nil {
		t.Fatal(err)
	}
	e.prune(t.Context())
	if !slices.Equal(known(r), paths) || len(known(other(0))) > 0 || len(known(other(mostUnowned))) > 0 {
		t.Errorf("too many: %v, %v", known(r), known(other(0)))
	}
}
