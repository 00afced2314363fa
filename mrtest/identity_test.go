package mrtest_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/mrtest"
)

// quiet is long enough for a file's stamps to vouch for it.
const quiet = 2100 * time.Millisecond

// What a file is, is its bytes; stat only spares reading them. Here files are old enough
// for that when they are first read, then something happens to one, and the job runs at once
// and again when stamps vouch once more. Both outputs are compared with a cold run's.
func TestInputIdentity(t *testing.T) {
	keepTimes := func(w *world, name string, change func()) {
		before, err := os.Stat(w.path(name))
		w.must(err)
		change()
		w.must(os.Chtimes(w.path(name), before.ModTime(), before.ModTime()))
	}
	var cases []*identityCase
	for _, row := range []struct {
		name string
		edit func(w *world)
		runs int
	}{
		{"nothing", func(*world) {}, none},
		{"touched", func(w *world) { w.must(os.Chtimes(w.path("a.txt"), time.Now(), time.Now())) }, none},
		{"rotated", func(w *world) { w.must(os.Rename(w.path("a.txt"), w.path("a.txt.1"))) }, none},
		{"rotated, and a new log begun", func(w *world) {
			w.must(os.Rename(w.path("a.txt"), w.path("a.txt.1")))
			w.write("a.txt", lines(9, 300))
		}, some},
		{"rotated twice", func(w *world) {
			w.must(os.Rename(w.path("z.txt"), w.path("z.txt.2")))
			w.must(os.Rename(w.path("a.txt"), w.path("z.txt")))
		}, none},
		{"appended", func(w *world) { w.write("a.txt", w.read("a.txt")+"one more\n") }, 1},
		{"appended, times put back", func(w *world) {
			keepTimes(w, "a.txt", func() { w.write("a.txt", w.read("a.txt")+"one more\n") })
		}, 1},
		{"a torn last line, then its end", func(w *world) { w.write("a.txt", w.read("a.txt")+"no end") }, 1},
		{"replaced by rename, same size", func(w *world) {
			w.write(".new", strings.Replace(w.read("a.txt"), "w17 ", "v17 ", 1))
			w.must(os.Rename(w.path(".new"), w.path("a.txt")))
		}, 1},
		{"replaced by rename, same size and times", func(w *world) {
			keepTimes(w, "a.txt", func() {
				w.write(".new", strings.Replace(w.read("a.txt"), "w17 ", "v17 ", 1))
				w.must(os.Rename(w.path(".new"), w.path("a.txt")))
			})
		}, 1},
		{"replaced by its own copy", func(w *world) {
			w.write(".new", w.read("a.txt"))
			w.must(os.Rename(w.path(".new"), w.path("a.txt")))
		}, none},
		{"same size, same second", func(w *world) { keepTimes(w, "a.txt", func() { w.edit("a.txt", "w17 ", "v17 ") }) }, 1},
		{"there and back", func(w *world) {
			was := w.read("a.txt")
			w.write("a.txt", "something else\n")
			w.write("a.txt", was)
		}, none},
		{"a copy under another name", func(w *world) { w.write("b.txt", w.read("a.txt")) }, none},
		{"a copy under another name for the original", func(w *world) {
			w.write("b.txt", w.read("a.txt"))
			w.must(os.Remove(w.path("a.txt")))
		}, none},
		{"a hard link beside it", func(w *world) { w.must(os.Link(w.path("a.txt"), w.path("b.txt"))) }, none},
		{"written through a hard link", func(w *world) {
			w.must(os.Link(w.path("a.txt"), w.path(".b")))
			w.edit(".b", "w17 ", "v17 ")
		}, 1},
		{"a hard link to another file in its place", func(w *world) {
			w.must(os.Remove(w.path("a.txt")))
			w.must(os.Link(w.path("z.txt"), w.path("a.txt")))
		}, none},
		{"a symbolic link in its place", func(w *world) {
			w.must(os.Rename(w.path("a.txt"), w.path(".real")))
			w.must(os.Symlink(".real", w.path("a.txt")))
		}, none},
		{"written through a symbolic link", func(w *world) {
			w.must(os.Symlink("a.txt", w.path(".link")))
			w.edit(".link", "w17 ", "v17 ")
		}, 1},
		{"listed twice", func(w *world) { w.in = append(w.in, w.path("a.txt"), w.path("*.txt")) }, none},
		{"listed under two names", func(w *world) { w.must(os.Symlink("a.txt", w.path("again.txt"))) }, none},
		{"listed under two names, and changed", func(w *world) {
			w.must(os.Symlink("a.txt", w.path("again.txt")))
			w.edit("a.txt", "w17 ", "v17 ")
		}, 1},
	} {
		cases = append(cases, &identityCase{name: row.name, edit: row.edit, runs: row.runs, w: newWorld(t), m: mrtest.New(t, builtin.Jobs()...)})
	}
	time.Sleep(quiet)
	for _, c := range cases {
		t.Run(c.name, c.editAndRun)
	}
	time.Sleep(quiet)
	for _, c := range cases {
		t.Run(c.name+", later", c.runLater)
	}
}

// identityCase goes through its steps beside others, so that all wait together.
type identityCase struct {
	name string
	edit func(w *world)
	runs int
	w    *world
	m    *mrtest.M
	cold mrtest.Result
}

func (c *identityCase) editAndRun(t *testing.T) {
	w := c.w
	first, err := c.m.TryOn(w.job, w.in, w.o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.m.TryOn(w.job, w.in, w.o); err != nil || again.Status.Bytes.Read != 0 || again.Output != first.Output {
		t.Fatalf("unchanged files are not known by their stamps: read %d bytes, %v", again.Status.Bytes.Read, err)
	}
	c.edit(w)
	if c.cold, err = mrtest.New(t, builtin.Jobs()...).TryOn(w.job, w.in, w.o); err != nil {
		t.Fatal(err)
	}
	got := c.same(t)
	checkRuns(t, c.runs, got.Status.Map.Run, got.Status.Map.Tasks, c.cold.Status.Map.Run)
}

func (c *identityCase) runLater(t *testing.T) {
	for range 2 { // stamps vouch for what the first of these reads, and the second believes them
		if got := c.same(t); got.Status.Map.Run > 0 {
			t.Errorf("%d maps ran again", got.Status.Map.Run)
		}
	}
}

func (c *identityCase) same(t *testing.T) mrtest.Result {
	t.Helper()
	got, err := c.m.TryOn(c.w.job, c.w.in, c.w.o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Output != c.cold.Output || !slices.Equal(got.Status.Counters, c.cold.Status.Counters) {
		t.Error("FALSE HIT: the output is not that of a cold run")
	}
	return got
}

// checkRuns holds the number of maps that ran against a row's expectation.
func checkRuns(t *testing.T, want, ran, tasks, cold int) {
	t.Helper()
	switch {
	case want == all && ran != cold: // equal splits are computed once
		t.Errorf("%d of %d maps ran, want all", ran, tasks)
	case want == some && (ran == 0 || ran == tasks):
		t.Errorf("%d of %d maps ran, want some", ran, tasks)
	case want >= 0 && ran != want:
		t.Errorf("%d of %d maps ran, want %d", ran, tasks, want)
	}
}

// A file that is changed again and again while jobs read it may fail them, in words that
// name it, and may give them old lines beside new ones. It must not leave anything in
// the store that a later job takes for something else.
func TestInputChangesWhileItIsRead(t *testing.T) {
	write := func(w *world, name, text string) error { return os.WriteFile(w.path(name), []byte(text), 0o600) }
	over := func(w *world, flag int, text string) error {
		f, err := os.OpenFile(w.path("a.txt"), os.O_WRONLY|flag, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
	var cases []*identityCase
	var changes []func(*world, int) error
	for _, row := range []struct {
		name   string
		change func(w *world, n int) error
	}{
		{"written over in place", func(w *world, n int) error { return over(w, 0, lines(1+n%2, 3000)[:60_000]) }},
		{"replaced by rename", func(w *world, n int) error {
			return errors.Join(write(w, ".new", lines(1+n%2, 3000)), os.Rename(w.path(".new"), w.path("a.txt")))
		}},
		{"truncated and written again", func(w *world, n int) error { return write(w, "a.txt", lines(1+n%2, 3000-n%7)) }},
		{"appended to", func(w *world, n int) error { return over(w, os.O_APPEND, fmt.Sprintf("appended %d\n", n)) }},
		{"removed and made again", func(w *world, n int) error {
			return errors.Join(os.Remove(w.path("a.txt")), write(w, "a.txt", lines(1+n%2, 3000)))
		}},
	} {
		c := &identityCase{name: row.name, w: newWorld(t), m: mrtest.New(t, builtin.Jobs()...)}
		c.w.write("a.txt", lines(1, 3000))
		cases = append(cases, c)
		changes = append(changes, row.change)
	}
	time.Sleep(quiet) // so that what is read first would be remembered
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.runWhile(t, changes[i]) })
	}
	time.Sleep(quiet)
	for _, c := range cases {
		t.Run(c.name+", later", c.runLater)
	}
}

// runWhile runs jobs while something changes their input all the time, and another after it.
func (c *identityCase) runWhile(t *testing.T, change func(w *world, n int) error) {
	w := c.w
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			case <-time.After(5 * time.Millisecond):
				if err := change(w, n); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	for range 2 {
		_, err := c.m.TryOn(w.job, w.in, w.o)
		if err != nil && !strings.Contains(err.Error(), "a.txt") {
			t.Errorf("the failure does not name the file: %v", err)
		}
	}
	close(stop)
	err := <-stopped
	if err == nil {
		c.cold, err = mrtest.New(t, builtin.Jobs()...).TryOn(w.job, w.in, w.o)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.same(t)
}
