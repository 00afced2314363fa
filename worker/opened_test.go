//go:build linux && (amd64 || arm64)

package worker

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mrd-io/mr/plan"
)

// TestOpened has a job read a file and a folder that are neither input nor declared: they are known afterwards, with
// their digests as they were read, and a process that has read what is no more is not used again. What it makes itself is not noted.
func TestOpened(t *testing.T) {
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
	pid := c.idle[0].cmd.Process.Pid
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
	if now := c.idle[0].cmd.Process.Pid; now != pid {
		t.Error("the process was not used again")
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
	if now := c.idle[0].cmd.Process.Pid; now == pid {
		t.Error("a process that may hold the old table was used again")
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
// as well.
func TestOpenedApart(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, []byte("a table"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, newTestChildren(t, ChildOptions{}), "apart", "TABLE="+table)
	out, _, err := mapLines(t, r, "x")
	if err != nil || len(out.all) != 1 || out.all[0].v != "a table" {
		t.Fatalf("%v, %v", out.all, err)
	}
	got := r.(interface{ Opened() []plan.Opened }).Opened()
	if !slices.Contains(got, plan.Opened{Path: table}) {
		t.Errorf("%v", got)
	}
}

// TestMade has what a process makes apart from what it finds, however it opens it.
func TestMade(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	if err := os.WriteFile(old, []byte("x"), 0o600); err != nil {
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
		{fresh, []use{reads}, true},
		{fresh, []use{writes, reads}, false},
		{fresh, []use{empties, reads}, false},
		{dir, []use{reads}, false},
		{dir, []use{lists}, true},
		{dir, []use{writes, lists}, true},
		{filepath.Join(fresh, "below"), []use{reads}, true},
		{"/etc/../proc/self/status", []use{reads}, false},
		{"/usr/lib/x86_64-linux-gnu/libc.so.6", []use{reads}, false},
		{"/dev/null", []use{reads}, false},
	} {
		o := newOpened("/own")
		for _, u := range c.uses {
			o.saw(filepath.Clean(c.path), u)
		}
		if _, noted := o.files[filepath.Clean(c.path)]; noted != c.noted {
			t.Errorf("%s, used as %v: noted %v", c.path, c.uses, noted)
		}
	}
	o := newOpened("/own")
	o.saw(fresh, writes)
	o.saw(filepath.Join(fresh, "below"), lists)
	o.saw("/own/file", reads)
	if len(o.files) > 0 {
		t.Errorf("below what it has made: %v", o.files)
	}
}
