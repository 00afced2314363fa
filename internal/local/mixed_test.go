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

	"github.com/mrd-io/mr"
)

// Ranges of a large file that is replaced under the job may be of either version. The job says so.
func TestRangesOfTwoVersionsAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(path, aside string) error
		warns  bool
	}{
		{"replaced", func(path, aside string) error { return os.Rename(aside, path) }, true},
		{"replaced by one as old", func(path, aside string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Chtimes(aside, info.ModTime(), info.ModTime()), os.Rename(aside, path))
		}, true},
		{"linked", func(path, aside string) error { return os.Link(path, path+".link") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			in, aside := filepath.Join(dir, "in"), filepath.Join(dir, "aside")
			var text strings.Builder
			for i := range 200_000 {
				fmt.Fprintf(&text, "old %d\n", i)
			}
			err := os.WriteFile(in, []byte(text.String()), 0o600)
			err = errors.Join(err, os.WriteFile(aside, []byte(strings.ReplaceAll(text.String(), "old", "new")), 0o600))
			var changed atomic.Bool
			words := mr.Job("words", mr.Version("1"), mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
				if !changed.Swap(true) {
					if err := c.change(in, aside); err != nil {
						return err
					}
				}
				emit(line[:3], 1)
				return nil
			}), mr.Combine(mr.Sum[int64]))
			n, err2 := Open(filepath.Join(dir, "store"), Options{Workers: 1, Builtin: func(string) (*mr.Definition, bool) { return words, true }})
			if err = errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			defer n.Close(context.Background()) //nolint:errcheck // the test is over
			spec := mr.Spec{Job: "words", Inputs: []string{in}, Output: filepath.Join(dir, "out"), SplitSize: 100 << 10}
			s := runJob(t, n, spec)
			if s.State != mr.Succeeded {
				t.Fatalf("%s: %s", s.State, s.Error)
			}
			if warns := strings.Contains(strings.Join(s.Warnings, "\n"), in+": "); warns != c.warns {
				t.Errorf("the output is %q, and the warnings are %q", output(t, spec.Output), s.Warnings)
			}
		})
	}
}
