package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
)

// Files that have changed since they were listed are listed again, and what is planned is what is there then.
func TestChangedFilesAreListedAgain(t *testing.T) {
	e, _, _ := pruning(t, Options{})
	for name, change := range map[string]func(path string) error{
		"touched": func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
		"cut":     func(path string) error { return os.Truncate(path, 20_000) },
		"rotated": func(path string) error { return os.Rename(path, path+".1") },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "log")
		if err := os.WriteFile(path, bytes.Repeat([]byte("a line\n"), 10_000), 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := input.List(t.Context(), []string{dir})
		if err == nil {
			err = change(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		rec := &record{Spec: mr.Spec{Inputs: []string{dir}, Chunking: input.Content.String(), SplitSize: 4 << 10}}
		p, err := e.makePlan(t.Context(), rec, files)
		if err != nil || len(p.splits) < 2 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var bytes int64
		for _, s := range p.splits {
			bytes += s.Bytes()
		}
		now, err := input.List(t.Context(), []string{dir})
		if err != nil || len(now) != 1 || bytes != now[0].Stamp.Size || p.splits[0].Pieces[0].Path != now[0].Path {
			t.Errorf("%s: %d bytes are planned of %v; %v", name, bytes, now, err)
		}
	}
}
