package input

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDigestsOf has a digest for whatever a job's code may find at a path: files of equal bytes have the same, and what
// can't be opened has one of its own, so that a job that tries to is not made anew each time.
func TestDigestsOf(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		os.WriteFile(at("a"), []byte("content"), 0o600), os.WriteFile(at("b"), []byte("content"), 0o600),
		os.WriteFile(at("other"), []byte("other"), 0o600), os.WriteFile(at("secret"), []byte("other"), 0),
		os.Mkdir(at("folder"), 0o700), os.Symlink("loop", at("loop")), unix.Mkfifo(at("pipe"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	var d Digests
	seen := map[string]string{}
	for _, c := range []struct {
		name, like string
		stamp      bool
	}{
		{"a", "", true},
		{"b", "a", true},
		{"other", "", true},
		{"folder", "", true},
		{"pipe", "", true},
		{"secret", "", true},
		{"nothing", "", false},
		{"folder/nothing", "nothing", false},
		{"a/below", "", false},
		{"loop/below", "", false},
		{strings.Repeat("x", 300), "", false},
	} {
		if c.name == "secret" && os.Geteuid() == 0 { // root reads it
			continue
		}
		digest, stamp := d.Of(at(c.name))
		if digest.IsZero() || (stamp != Stamp{}) != c.stamp {
			t.Errorf("%s: %v, %v", c.name, digest, stamp)
		}
		if same := seen[digest.String()]; same != c.like {
			t.Errorf("%s is like %q, and not like %q", c.name, same, c.like)
		}
		if c.like == "" {
			seen[digest.String()] = c.name
		}
	}
}

// TestDigestsKeepMost has files beyond the bound push out as many others, and not all.
func TestDigestsKeepMost(t *testing.T) {
	const file = "/usr" // nobody changes it now
	d := Digests{known: map[string]knownDigest{}}
	for i := range mostKnown {
		d.known[strconv.Itoa(i)] = knownDigest{}
	}
	d.Of(file)
	if _, ok := d.known[file]; !ok || len(d.known) != mostKnown {
		t.Errorf("%d are known; the last one is: %t", len(d.known), ok)
	}
}
