package robustness

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
)

// TestBinaryGone submits jobs again, under their ids, when the file of their binary is gone or another:
// what was acknowledged has the binary, and the answer is the job.
func TestBinaryGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := startDaemon(t, filepath.Join(dir, "store"))
	cl := d.client()
	in, path := filepath.Join(dir, "in"), filepath.Join(dir, "job")
	binary, err := os.ReadFile(program(t, "job"))
	if err := errors.Join(err, os.WriteFile(in, []byte("a b\n"), 0o600), os.WriteFile(path, binary, 0o700)); err != nil {
		t.Fatal(err)
	}
	spec := func(name string, known bool) mr.Spec {
		code := mr.Code{Kind: mr.Binary, Path: path}
		if known {
			code.Digest = sha256.Sum256(binary)
		}
		return mr.Spec{Code: code, Inputs: []string{in}, Output: filepath.Join(dir, name)}
	}
	jobs := map[bool]mr.JobID{}
	for _, known := range []bool{true, false} {
		jobs[known] = submit(t, cl, mr.SubmitID(fmt.Sprint(known)), spec(fmt.Sprint(known), known))
		succeed(t, cl, jobs[known])
	}
	for _, what := range []string{"gone", "another"} {
		err := os.RemoveAll(path)
		if what == "another" {
			err = os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, known := range []bool{true, false} {
			id := mr.SubmitID(fmt.Sprint(known))
			got, err := cl.Submit(t.Context(), id, spec(fmt.Sprint(known), known))
			switch {
			case what == "another" && !known: // that the job is another is all that can be said
				if !errors.Is(err, mr.ErrRefused) {
					t.Errorf("a file that is another, digest not said: %q, %v", got, err)
				}
			case err != nil || got != jobs[known]:
				t.Errorf("a file that is %s, digest said: %v: %q, %v; want %s", what, known, got, err, jobs[known])
			}
			if got, err := cl.Submit(t.Context(), id, spec("elsewhere", known)); !errors.Is(err, mr.ErrRefused) {
				t.Errorf("a file that is %s, for another output: %q, %v", what, got, err)
			}
		}
		if got, err := cl.Submit(t.Context(), "new", spec("new", true)); err == nil {
			t.Errorf("a file that is %s, and a new id: %q", what, got)
		}
	}
}
