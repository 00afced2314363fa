package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// replacing is a job that replaces an output, with that and the new one in place, each a
// folder with a file in it.
func replacing(t *testing.T, name string) *record {
	t.Helper()
	r := &record{ID: newJobID(time.Now()), Spec: mr.Spec{Output: filepath.Join(t.TempDir(), name), Overwrite: true}}
	for _, dir := range []string{r.Spec.Output, siblingDir(r)} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "part"), []byte(dir), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// holds checks that the output is the one that was made in the folder made, and that nothing
// is left beside it.
func holds(t *testing.T, r *record, made string) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(r.Spec.Output, "part")); err != nil || string(b) != made {
		t.Errorf("the output is the one from %q (%v), want that from %q", b, err, made)
	}
	left, err := os.ReadDir(filepath.Dir(r.Spec.Output))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the output there is %v (%v)", left, err)
	}
}

// An output is replaced where folders can't be exchanged, also one with the longest name.
func TestSwap(t *testing.T) {
	for _, name := range []string{"out", strings.Repeat("o", longestName)} {
		r := replacing(t, name)
		a := siblingDir(r)
		if err := errors.Join(swap(a, r.Spec.Output, asideDir(r)), cleanUp(r)); err != nil {
			t.Fatal(err)
		}
		holds(t, r, a)
	}
}

// A swap that is interrupted goes on with the next try, wherever it was.
func TestSwapGoesOn(t *testing.T) {
	for _, renamed := range []int{1, 2} {
		r := replacing(t, "out")
		a := siblingDir(r)
		err := os.Rename(r.Spec.Output, asideDir(r))
		if renamed == 1 {
			err = errors.Join(err, swap(a, r.Spec.Output, asideDir(r)))
		} else {
			err = errors.Join(err, os.Rename(a, r.Spec.Output))
		}
		if err = errors.Join(err, cleanUp(r)); err != nil {
			t.Fatal(err)
		}
		holds(t, r, a)
	}
}

// The old output stays where it was when the new one can't take its place, or the job
// that was interrupted there ends without another try.
func TestSwapThatFails(t *testing.T) {
	r := replacing(t, "out")
	if err := swap(siblingDir(r)+"-", r.Spec.Output, asideDir(r)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("swapped for nothing: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(r.Spec.Output, "part")); err != nil || string(b) != r.Spec.Output {
		t.Errorf("the old output is away: %q, %v", b, err)
	}
	if err := errors.Join(os.Rename(r.Spec.Output, asideDir(r)), cleanUp(r)); err != nil {
		t.Fatal(err)
	}
	holds(t, r, r.Spec.Output)
}

// A job that is taken up where a swap was interrupted finds the old output where it was, so that a part
// that is made once more does not get a folder of its own, which would be in the way.
func TestSwapIsUndoneBeforeAJobGoesOn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	e, ended := startEngine(t, ctx)
	defer func() { cancel(); ended() }()
	r := replacing(t, "out")
	r.Phase, r.State = "commit", mr.Running
	a := siblingDir(r)
	err := os.Rename(r.Spec.Output, asideDir(r))
	err = errors.Join(err, e.request(ctx, func(l *loop) {
		j := &job{rec: *r}
		if err := l.resume(j); err != nil {
			t.Error(err)
		}
		l.queue = nil // of no more of it
		delete(l.jobs, r.ID)
	}))
	err = errors.Join(err, os.MkdirAll(stagingDir(r), 0o700)) // as for a part
	err = errors.Join(err, swap(a, r.Spec.Output, asideDir(r)), cleanUp(r))
	if err != nil {
		t.Error(err)
	}
	holds(t, r, a)
}
