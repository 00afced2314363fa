package worker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// What keeps a file from being read for now is no verdict on the job; what its bytes are is.
func TestInputThatCannotBeReadForNow(t *testing.T) {
	dir := t.TempDir()
	s := New(Options{Runs: &memoryRuns{}, TempDir: dir, Builtin: func(string) (*mr.Definition, bool) { return countJob(), true }})
	kind := func(name, data string) plan.Failure {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		stamp, _, err := input.StampFile(path, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w := &plan.Work{Attempt: 1, Program: plan.Program{Job: "counts"}, Memory: 1 << 20}
		if w.Split, err = (input.Split{Pieces: []input.Piece{{Path: path, Len: -1, Stamp: stamp}}}).MarshalBinary(); err != nil {
			t.Fatal(err)
		}
		if name == "unread" {
			var had unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &had); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &had); err != nil {
					t.Fatal(err)
				}
			}()
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: had.Max}); err != nil {
				t.Fatal(err)
			}
		}
		var res plan.Result
		if err := s.RunTask(w, &res); err != nil {
			t.Fatal(err)
		}
		if res.Identified {
			res = plan.Result{}
			if err := s.Proceed(w.Attempt, &res); err != nil {
				t.Fatal(err)
			}
		}
		return res.Failure
	}
	if f := kind("unread", "a line\n"); f.Kind != plan.UserError {
		t.Errorf("too many open files: %+v", f)
	}
	if f := kind("corrupt", "\x1f\x8b\x08 and so on"); f.Kind != plan.BadInput {
		t.Errorf("a corrupt file: %+v", f)
	}
}
