package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// A file is replaced while an attempt maps what was in it. The attempt's twin finds another file there,
// and so the split has other stamps from then on. What the attempt has read is not what they vouch for.
func TestReplacedInputIsNotKnownByWhatWasThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, aside := filepath.Join(dir, "in"), filepath.Join(dir, "aside")
	write := func(path, word string) error { return os.WriteFile(path, []byte(strings.Repeat(word+"\n", 20)), 0o600) }
	err, others := os.Mkdir(in, 0o700), ""
	for i := range 7 {
		word := fmt.Sprint("as", i)
		err = errors.Join(err, write(filepath.Join(in, fmt.Sprint(i)), word))
		others += word + "\t20\n"
	}
	if err = errors.Join(err, write(filepath.Join(in, "8"), "old"), write(aside, "new")); err != nil {
		t.Fatal(err)
	}
	var replaced atomic.Bool
	failed := make(chan struct{})
	words := mr.Job("words", mr.Version("1"), mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
		if line == "old" && !replaced.Swap(true) {
			if err := os.Rename(aside, filepath.Join(in, "8")); err != nil {
				return err
			}
			select {
			case <-failed: // the twin
			case <-time.After(20 * time.Second):
				return errors.New("no twin has failed")
			}
		}
		emit(line, 1)
		return nil
	}), mr.Combine(func(a, b int64) int64 { return a + b }))
	n, err := Open(filepath.Join(dir, "store"), Options{Workers: 2, Builtin: func(string) (*mr.Definition, bool) { return words, true }})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background()) //nolint:errcheck // the test is over
	time.Sleep(2100 * time.Millisecond) // so that the stamps vouch for the files

	spec := mr.Spec{Job: "words", Inputs: []string{in}, Output: filepath.Join(dir, "first"), SplitSize: 100}
	id, err := n.Jobs().Submit(t.Context(), "first", spec)
	var s mr.Status
	for told := false; err == nil && !s.State.Done(); {
		if s, err = n.Jobs().Wait(t.Context(), id, s.Version); s.Map.Failed > 0 && !told {
			close(failed)
			told = true
		}
	}
	if err != nil || s.State != mr.Succeeded || output(t, spec.Output) != others+"old\t20\n" {
		t.Fatalf("%v, %s %s, maps %+v, warnings %q", err, s.State, s.Error, s.Map, s.Warnings)
	}
	time.Sleep(2100 * time.Millisecond)
	spec.Output = filepath.Join(dir, "second")
	s = runJob(t, n, spec)
	if got := output(t, spec.Output); got != others+"new\t20\n" || len(s.Warnings) > 0 {
		t.Errorf("the file that is there now was taken for the one before: %q, warnings %q", got, s.Warnings)
	}
}
