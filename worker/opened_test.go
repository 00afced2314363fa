//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

func needWatching(t *testing.T) {
	t.Helper()
	if err := CanWatch(); err != nil {
		t.Skipf("nobody sees here what processes open: %v", err)
	}
}

// TestOpened has a job read a file and a folder that are neither input nor declared: they are known afterwards, with
// their digests as they were read, and a process that has read some is not used for another task. What it makes itself is not noted.
func TestOpened(t *testing.T) {
	needWatching(t)
	dir := t.TempDir()
	table, rules := filepath.Join(dir, "table"), filepath.Join(dir, "rules")
	write := func(path, s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newTestChildren(t, ChildOptions{})
	run := func(want string) []plan.Opened {
		t.Helper()
		r := open(t, c, "lookup", "TABLE="+table)
		out, _, err := mapLines(t, r, "x")
		if err != nil || len(out.all) != 1 || out.all[0].v != want {
			t.Fatalf("%v, %v", out.all, err)
		}
		return r.(interface{ Opened() []plan.Opened }).Opened()
	}
	settle := func() { time.Sleep(2100 * time.Millisecond) }
	absent, _ := c.digests.Of(table + ".local")
	if absent.IsZero() {
		t.Error("nothing has no digest")
	}
	write(table, "young")
	// The folder of rules is not there yet.
	if got := run("young"); !slices.Equal(got, []plan.Opened{{Path: rules, Digest: absent}, {Path: table}, {Path: table + ".local", Digest: absent}}) {
		t.Errorf("a file that was just written: %v", got)
	}
	if err := os.Mkdir(rules, 0o700); err != nil {
		t.Fatal(err)
	}
	settle()
	one := run("young")
	if len(c.idle) > 0 {
		t.Error("a process that has read files is kept for other tasks")
	}
	if len(one) != 3 || one[0].Path != rules || one[1].Path != table {
		t.Fatalf("%v", one)
	}
	for _, f := range one[:2] {
		if f.Digest.IsZero() || f.Digest == absent {
			t.Errorf("%v", f)
		}
	}
	if again := run("young"); !slices.Equal(one, again) {
		t.Errorf("%v, and then %v", one, again)
	}

	write(table, "other")
	if err := os.Chtimes(table, time.Time{}, time.Now().Add(-time.Hour)); err != nil { // its change time tells
		t.Fatal(err)
	}
	settle()
	two := run("other")
	if len(two) != 3 || two[0] != one[0] || two[1].Digest.IsZero() || two[1].Digest == one[1].Digest {
		t.Errorf("%v, and then %v", one, two)
	}

	write(filepath.Join(rules, "1"), "a rule")
	settle()
	three := run("other")
	if len(three) != 3 || three[0].Digest.IsZero() || three[0].Digest == two[0].Digest || three[1] != two[1] {
		t.Errorf("%v, and then %v", two, three)
	}
	if got := open(t, c, "count").(interface{ Opened() []plan.Opened }).Opened(); len(got) > 0 {
		t.Errorf("a job that opens nothing: %v", got)
	}
}

// TestOpenedApart has a job start a program in a session of its own, as setsid and timeout do: what that opens is known
// as well, by the name of a link that it went through.
func TestOpenedApart(t *testing.T) {
	needWatching(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "v1"), 0o700)
	}
	if err == nil {
		err = os.Symlink("v1", filepath.Join(dir, "current"))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "v1/table"), []byte("a table"), 0o600)
	}
	if err == nil {
		err = exec.Command("/bin/cp", "/bin/cat", filepath.Join(dir, "v1/cat")).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		script string
		opened []string
	}{
		{"cat " + dir + "/v1/table", []string{"/v1/table"}},
		{"cat " + dir + "/current/table", []string{"/current/table"}},
		{dir + "/v1/cat /dev/null; printf %s a\\ table", []string{"/v1/cat"}},
		{"cd " + dir + "/current; cat table", []string{"/current/table", "/v1/table"}},
		{"cd " + dir + "; cd current; cat ./table", []string{"/current/table", "/v1/table"}},
	} {
		r := open(t, newTestChildren(t, ChildOptions{}), "apart", "SCRIPT="+c.script)
		out, _, err := mapLines(t, r, "x")
		if err != nil || len(out.all) != 1 || out.all[0].v != "a table" {
			t.Fatalf("%v, %v", out.all, err)
		}
		var got []string
		for _, f := range r.(interface{ Opened() []plan.Opened }).Opened() {
			if name, below := strings.CutPrefix(f.Path, dir); below {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, c.opened) {
			t.Errorf("%s: %q", c.script, got)
		}
	}
}

// TestOpenedUnseen has a job start a program that nobody may read, and so nobody may look into when it runs.
func TestOpenedUnseen(t *testing.T) {
	needWatching(t)
	if os.Geteuid() == 0 {
		t.Skip("root sees everything")
	}
	cat := filepath.Join(t.TempDir(), "cat")
	if out, err := exec.Command("/bin/cp", "/bin/cat", cat).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(cat, 0o111); err != nil {
		t.Fatal(err)
	}
	r := open(t, newTestChildren(t, ChildOptions{}), "apart", "SCRIPT="+cat+" "+os.DevNull)
	if _, _, err := mapLines(t, r, "x"); err != nil {
		t.Fatal(err)
	}
	if got := r.(interface{ Opened() []plan.Opened }).Opened(); !slices.Contains(got, plan.Opened{}) {
		t.Errorf("%v", got)
	}
}

// TestOpenedThroughLinks has files noted by all names by which the next run may find another.
func TestOpenedThroughLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "v1/sub"), 0o700)
	}
	for name, to := range map[string]string{"current": "v1", "below": "v1/sub"} {
		if err == nil {
			err = os.Symlink(to, filepath.Join(dir, name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		folder     string // opened or entered before
		base, path string
		use        use
		want       []string
	}{
		{"", "", "/v1/t", reads, []string{"/v1/t"}},
		{"", "/v1", "t", reads, []string{"/v1/t"}},
		{"", "/v1/sub", "../t", reads, []string{"/v1/t"}},
		{"/v1", "/v1", "t", reads, []string{"/v1/t"}},
		{"/current", "/v1", "t", reads, []string{"/current/t", "/v1/t"}},
		{"/current", "/v1/sub", "t", reads, []string{"/current/sub/t", "/v1/sub/t"}},
		{"/current", "/v1", "", lists, []string{"/current", "/v1"}},
		{"", "", "/below/../t", reads, []string{"/below/../t", "/v1/t"}},
		{"", "", "/v1/sub/../t", reads, []string{"/v1/t"}},
		{"/below", "/v1/sub", "../t", reads, []string{"/below/../t", "/v1/t"}},
		{"/below/..", "/v1", "t", reads, []string{"/below/../t", "/v1/t"}},
		{"", "", "/nothing/../t", reads, []string{"/t"}},
		{"", "", "/below/..t", reads, []string{"/below/..t"}},
	} {
		o := newOpened("/own", "/job")
		if c.folder != "" {
			o.sawAt("", dir+c.folder, reads)
		}
		base, path := c.base, c.path
		if base != "" {
			base = dir + base
		} else {
			path = dir + path
		}
		o.sawAt(base, path, c.use)
		var got []string
		for _, name := range slices.Sorted(maps.Keys(o.files)) {
			got = append(got, strings.TrimPrefix(name, dir))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %q", c, got)
		}
	}
}

// TestMade has what a process makes apart from what it finds, however it opens it.
func TestMade(t *testing.T) {
	dir := t.TempDir()
	old, fresh, locked := filepath.Join(dir, "old"), filepath.Join(dir, "new"), filepath.Join(dir, "locked")
	if err := errors.Join(os.WriteFile(old, []byte("x"), 0o600), os.WriteFile(locked, []byte("x"), 0o400)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		uses  []use
		noted bool
	}{
		{old, []use{reads}, true},
		{old, []use{writes, reads}, true}, // O_EXCL, O_APPEND
		{old, []use{empties, reads}, false},
		{old, []use{reads, empties}, true},
		{old, []use{reads, writes}, true},
		{old, []use{writes}, false},
		{locked, []use{empties, reads}, os.Geteuid() != 0}, // it could not empty it
		{fresh, []use{reads}, true},
		{fresh, []use{writes, reads}, false},
		{fresh, []use{empties, reads}, false},
		{dir, []use{reads}, false},
		{dir, []use{lists}, true},
		{dir, []use{writes, lists}, true},
		{filepath.Join(fresh, "below"), []use{reads}, true},
		{"/etc/../proc/self/status", []use{reads}, false},
		{"/usr/lib/x86_64-linux-gnu/libc.so.6", []use{reads}, false},
		{"/usr/lib/words.sorted.txt", []use{reads}, true},
		{"/dev/null", []use{reads}, false},
		{"/dev/shm/no such table", []use{reads}, true},
		{"/dev/shm/sem.mp-x", []use{reads}, false},
	} {
		o := newOpened("/own", "/job")
		for _, u := range c.uses {
			o.saw(filepath.Clean(c.path), u)
		}
		if _, noted := o.files[filepath.Clean(c.path)]; noted != c.noted {
			t.Errorf("%s, used as %v: noted %v", c.path, c.uses, noted)
		}
	}
	o := newOpened("/own", "/job")
	o.saw(fresh, writes)
	o.saw(filepath.Join(fresh, "below"), lists)
	o.saw("/own/file", reads)
	if len(o.files) > 0 {
		t.Errorf("below what it has made: %v", o.files)
	}
}

// TestTooManyOpened has a process open more files than are noted: it says so in one line, and is not used again.
func TestTooManyOpened(t *testing.T) {
	o, dir := newOpened("/own", "/job"), t.TempDir()
	for i := range mostOpened {
		o.saw(filepath.Join(dir, strconv.Itoa(i)), reads)
	}
	if got := o.list(&input.Digests{}); len(got) != mostOpened || got[0].Digest.IsZero() || !o.fresh() {
		t.Errorf("%d files", len(got))
	}
	o.saw(filepath.Join(dir, "one more"), reads)
	if got := o.list(&input.Digests{}); len(got) != 1 || got[0] != (plan.Opened{}) || o.fresh() {
		t.Errorf("%d files", len(got))
	}
}
