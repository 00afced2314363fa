package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
)

// What --overwrite may replace: any folder, but for what the job or the engine still needs.
func TestWhatIsNeededIsNotReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		holds []string
		store string // below the test's folder
		reads []string
		ok    bool
	}{
		"an empty folder":                   {ok: true},
		"an output":                         {holds: []string{"part-r-00000", "_manifest.json", "_SUCCESS"}, ok: true},
		"a folder of the user's":            {holds: []string{"notes"}, ok: true},
		"an output that is read":            {holds: []string{"part-r-00000"}, reads: []string{"in/a", "out/part-r-00000"}},
		"an output with input in a folder":  {holds: []string{"part-r-00000", "sub/a"}, reads: []string{"out/sub/a"}},
		"one that is read through a link":   {holds: []string{"part-r-00000", "sub/a"}, reads: []string{"link/sub/a"}},
		"one with a file that a link reads": {holds: []string{"part-r-00000"}, reads: []string{"in/linked"}},
		"one whose name begins the same":    {holds: []string{"part-r-00000"}, reads: []string{"out2/a", "in/out"}, ok: true},
		"an output with the store":          {holds: []string{"part-r-00000"}, store: "out/store"},
		"an empty folder of the store":      {store: "."},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "out")
			put := func(path string) {
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			in := filepath.Join(top, "in")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Symlink("out", filepath.Join(top, "link")),
				os.Mkdir(in, 0o700), os.Symlink("../out/part-r-00000", filepath.Join(in, "linked"))); err != nil {
				t.Fatal(err)
			}
			for _, h := range c.holds {
				put(filepath.Join(dir, h))
			}
			store := filepath.Join(top, "store")
			if c.store != "" {
				store = filepath.Join(top, c.store)
			}
			put(filepath.Join(store, "lock"))
			var files []input.File
			for _, r := range c.reads {
				files = append(files, input.File{Path: filepath.Join(top, r), Link: r == "in/linked"})
			}
			err := checkReplaced(dir, store, files)
			if c.ok && err != nil || !c.ok && !errors.Is(err, mr.ErrRefused) {
				t.Error(err)
			}
		})
	}
}

// Two live jobs don't write one output folder by two paths.
func TestOneOutputByTwoPaths(t *testing.T) {
	e, ended := startEngine(t, context.WithoutCancel(t.Context()))
	top := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(top, "real"), 0o700), os.Symlink("real", filepath.Join(top, "link"))); err != nil {
		t.Fatal(err)
	}
	held := &job{rec: record{ID: "job", Spec: mr.Spec{Output: filepath.Join(top, "link/new/out")}}} // as after a restart
	if err := e.request(t.Context(), func(l *loop) { l.adopt(held) }); err != nil {
		t.Fatal(err)
	}
	for out, ok := range map[string]bool{"real/new/out": false, "link/new/out": false, "real/new": true, "real/out": true} {
		err := e.reserve(t.Context(), &job{rec: record{Spec: mr.Spec{Output: filepath.Join(top, out)}}})
		if ok && err != nil || !ok && !errors.Is(err, mr.ErrRefused) {
			t.Errorf("%s: %v", out, err)
		}
	}
	e.Drain()
	ended()
}

// A folder in which a live job writes is not replaced, and no job writes in one that is about to be.
func TestNothingIsWrittenInWhatIsReplaced(t *testing.T) {
	e, ended := startEngine(t, context.WithoutCancel(t.Context()))
	top := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(top, "old"), 0o700), os.Symlink("old", filepath.Join(top, "link"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		live, next string
		made, ok   bool // the live job's folder is its own; the next job may begin
	}{
		{"old/sub", "old", true, false},
		{"old/sub", "link", true, false},
		{"old/sub", "old/other", true, true},
		{"old", "link/sub", false, false},
		{"new", "new/sub", true, true},
		{"new/sub", "new", true, true},
		{"older", "old", true, true},
	} {
		held := &job{rec: record{ID: "job", Spec: mr.Spec{Output: filepath.Join(top, c.live)}, MadeOutput: c.made}}
		next := &job{rec: record{Spec: mr.Spec{Output: filepath.Join(top, c.next)}}}
		err := e.request(t.Context(), func(l *loop) { l.adopt(held) })
		if err == nil {
			err = e.reserve(t.Context(), next)
		}
		if c.ok && err != nil || !c.ok && !errors.Is(err, mr.ErrRefused) {
			t.Errorf("%s beside %s: %v", c.next, c.live, err)
		}
		err = e.request(t.Context(), func(l *loop) { clear(l.jobs); clear(l.outputs) })
		if err != nil {
			t.Fatal(err)
		}
	}
	e.Drain()
	ended()
}

// So it is where both are submitted at the same time.
func TestNothingIsWrittenInWhatIsBeingSubmitted(t *testing.T) {
	e, ended := startEngine(t, context.WithoutCancel(t.Context()))
	top := t.TempDir()
	if err := os.Mkdir(filepath.Join(top, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		out string
		ok  bool
	}{{"old", true}, {"old/sub", false}, {"new", true}, {"new/sub", true}} {
		err := e.reserve(t.Context(), &job{rec: record{Spec: mr.Spec{Output: filepath.Join(top, c.out)}}})
		if c.ok && err != nil || !c.ok && !errors.Is(err, mr.ErrRefused) {
			t.Errorf("%s: %v", c.out, err)
		}
	}
	e.Drain()
	ended()
}

// No output is made in the store, by whatever path.
func TestNoOutputInTheStore(t *testing.T) {
	top := t.TempDir()
	store := filepath.Join(top, "store")
	if err := errors.Join(os.MkdirAll(filepath.Join(store, "tmp"), 0o700), os.Symlink("store", filepath.Join(top, "link")),
		os.Symlink("link/tmp", filepath.Join(top, "further")), os.Mkdir(filepath.Join(top, "other"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for out, ok := range map[string]bool{
		"store/out": false, "store/tmp/out": false, "store/new/out": false,
		"link/out": false, "further/out": false, "further/new/out": false,
		"out": true, "store2/out": true, "other/out": true, "other/store/out": true,
	} {
		for _, s := range []string{store, filepath.Join(top, "link")} {
			if err := checkPlace(filepath.Join(top, out), s); ok && err != nil || !ok && !errors.Is(err, mr.ErrRefused) {
				t.Errorf("%s, store %s: %v", out, s, err)
			}
		}
	}
}
