package robustness

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// TestPublishedIsPublished has what follows the publication of an output fail: the job has
// succeeded, its output is whole, and a warning tells what is left.
func TestPublishedIsPublished(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for _, at := range []string{"engine/published", "engine/clean-up"} {
		for _, overwrite := range []bool{false, true} {
			t.Run(at+map[bool]string{true: " overwrite"}[overwrite], func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				out := filepath.Join(dir, "out")
				if overwrite {
					oldOutput(t, out)
				}
				d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=" + at + "=error:EIO"}})
				cl := d.client()
				s := succeed(t, cl, submit(t, cl, "one", mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, Reducers: 3, Overwrite: overwrite}))
				if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "the output is in place") || !strings.Contains(s.Warnings[0], "input/output error") {
					t.Errorf("the warnings are %q", s.Warnings)
				}
				if got, others := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) || len(others) != 2 {
					t.Errorf("the output differs, or is beside %q", others)
				}
			})
		}
	}
}

// TestOutputOfAnother kills a daemon at several steps of a job, and has another program make the job's
// output folder meanwhile. The job fails in its next life, and what is in the folder stays as it is.
func TestOutputOfAnother(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for _, at := range []string{
		"engine/before-plan-recorded", "engine/cut", "worker/part-written", "engine/publish-part=kill@2", "engine/publish-manifest", "engine/publish-success",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			if !strings.Contains(at, "=") {
				at += "=kill"
			}
			d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=" + at}})
			id, err := d.client().Submit(t.Context(), "one", mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, Reducers: 3})
			<-d.exited
			if err != nil { // it was killed before it could answer, and is asked again
				id = ""
			}
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
			oldOutput(t, out)
			d = startDaemon(t, d.store)
			if id == "" {
				list, err := d.client().List(t.Context(), true)
				if err != nil || len(list) != 1 {
					t.Fatalf("%d jobs are on record (%v)", len(list), err)
				}
				id = list[0].Job
			}
			s := wait(t, d.client(), id)
			if s.State != mr.FailedJob || !strings.Contains(s.Error, out) || !strings.Contains(s.Error, "something else") {
				t.Errorf("the job is %s: %q", s.State, s.Error)
			}
			if diff := differs(out, oldFiles()); diff != "" {
				t.Errorf("the other's output: %s", diff)
			}
			if _, err := os.Lstat(filepath.Join(out, "_temporary")); !os.IsNotExist(err) {
				t.Errorf("the job leaves its temporary folder there: %v", err)
			}
		})
	}
}

// TestOutputBecomesAFile has a file in the place of a job's output folder when the job ends: it is the
// user's, and stays.
func TestOutputBecomesAFile(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=engine/cut=sleep:1s"}})
	cl := d.client()
	id := submit(t, cl, "one", mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, Reducers: 3})
	until(t, cl, id, "the barrier", func(s mr.Status) bool { return s.Phase == "shuffle" })
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, []byte("of the user\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := wait(t, cl, id); s.State != mr.FailedJob || !strings.Contains(s.Error, out) {
		t.Errorf("the job is %s: %q", s.State, s.Error)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "of the user\n" {
		t.Errorf("the file holds %q (%v)", b, err)
	}
}
