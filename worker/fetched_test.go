package worker

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestFetchedAreGivenUp holds that a worker's folder of job binaries does not grow with each edit of a job.
func TestFetchedAreGivenUp(t *testing.T) {
	c := newCounter(t)
	f := &Fetched{Remote: c.remote, Dir: filepath.Join(t.TempDir(), "bin"), Keep: 2500}
	long := time.Now().Add(-2 * fetchedGrace)
	fetch := func(i int) string {
		c.binary = bytes.Repeat([]byte{byte(i)}, 1000)
		path, err := f.fetch(mr.Digest(sha256.Sum256(c.binary)))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	age := func(path string, at time.Time) {
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	first := fetch(0)
	for _, name := range []string{".mr-fetch-old", ".mr-fetch-now", "fetch-mail"} { // of a process that was killed, of another one, somebody's
		if err := os.WriteFile(filepath.Join(f.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	age(filepath.Join(f.Dir, ".mr-fetch-old"), long)
	age(filepath.Join(f.Dir, "fetch-mail"), long)
	var paths []string
	for i := range 10 {
		paths = append(paths, fetch(i+1))
		age(first, long.Add(-time.Hour))
		age(paths[i], long.Add(time.Duration(i)*time.Second))
		fetch(0) // is in use all the time
	}
	fetch(11)
	fetch(12) // nothing that was used just now goes for it
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = true
	}
	if len(there) != 5 || !there[filepath.Base(first)] || !there[".mr-fetch-now"] || !there["fetch-mail"] {
		t.Errorf("there are %v", entries)
	}
}
