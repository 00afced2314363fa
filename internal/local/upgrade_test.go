package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// A job that goes on under a program with another version of its built-in fails, and says so: its output would be
// of both, under the keys of the first.
func TestJobsDoNotGoOnWithAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var inputs []string
	for _, name := range []string{"first", "slow"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name+"\n"+strings.Repeat("x", 100<<10)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, path)
	}
	var release atomic.Bool
	open := func(version string) *Node {
		t.Helper()
		def := mr.Job("words", mr.Version(version), mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
			for line == "slow" && !release.Load() {
				time.Sleep(time.Millisecond)
			}
			emit(line[:1]+" by version "+version, 1)
			return nil
		}), mr.Combine(mr.Sum[int64]))
		n, err := Open(filepath.Join(dir, "store"), Options{Workers: 4, Builtin: func(string) (*mr.Definition, bool) { return def, true }})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n := open("1")
	id, err := n.Jobs().Submit(ctx, "under way", mr.Spec{Job: "words", Inputs: inputs, Output: filepath.Join(dir, "out"), SplitSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	wait := func(n *Node, enough func(mr.Status) bool) (s mr.Status) {
		t.Helper()
		for !enough(s) {
			if s, err = n.Jobs().Wait(ctx, id, s.Version); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	wait(n, func(s mr.Status) bool { return s.Map.Run > 0 })
	time.AfterFunc(100*time.Millisecond, func() { release.Store(true) })
	if err := n.Close(ctx); err != nil {
		t.Fatal(err)
	}
	n = open("2")
	s := wait(n, func(s mr.Status) bool { return s.State.Done() })
	if s.State != mr.FailedJob || !strings.Contains(s.Error, "version 1") {
		t.Errorf("the job is %s (%s), and its output %q", s.State, s.Error, output(t, s.Output))
	}
	if err := n.Close(ctx); err != nil {
		t.Error(err)
	}
}
