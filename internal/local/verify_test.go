package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
)

// quiet is long enough for a file's stamps to vouch for it.
const quiet = 2100 * time.Millisecond

// liar is a file on a file system whose stamps don't tell of changes. There is none at
// hand, so what the store remembers of the file's old stamps is put under its new ones.
type liar struct {
	t     *testing.T
	n     *Node
	path  string
	size  int64
	known []mr.Digest // of the splits, as first read
}

func (l *liar) splits() []input.Split {
	l.t.Helper()
	files, err := input.List(l.t.Context(), []string{l.path})
	if err != nil {
		l.t.Fatal(err)
	}
	splits, err := input.Cut(l.t.Context(), files, input.CutOptions{SplitSize: l.size})
	if err != nil {
		l.t.Fatal(err)
	}
	return splits
}

// write sets the file's contents and its time of modification, and waits.
func (l *liar) write(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	hour := time.Now().Add(-time.Hour).Truncate(time.Hour)
	if err := os.Chtimes(l.path, hour, hour); err != nil {
		l.t.Fatal(err)
	}
	time.Sleep(quiet) // the change time can't be set
}

func (l *liar) learn() {
	l.t.Helper()
	err := l.n.Store().View(func(tx *store.Tx) error {
		for _, s := range l.splits() {
			d, _ := lineage.GetStamp(tx, s.StampKey(mr.Format{}, 0))
			if d.IsZero() {
				return fmt.Errorf("%s is not known by its stamps", s)
			}
			l.known = append(l.known, d)
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *liar) tell() {
	l.t.Helper()
	err := l.n.Store().Update(func(tx *store.Tx) error {
		for i, s := range l.splits() {
			if err := lineage.PutStamp(tx, s.StampKey(mr.Format{}, 0), l.known[i], s.Pieces[0].Off); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// What stat says of a file can be wrong. --verify sample and full find out, name the file
// and compute from what is there; stat, which believes it, shows that the forgery is one.
func TestVerifyCatchesAFileSystemThatLies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	l := &liar{t: t, n: n, path: filepath.Join(dir, "in.txt"), size: 4 << 10}
	jobs := 0
	run := func(verify string) (mr.Status, string) {
		t.Helper()
		jobs++
		spec := mr.Spec{Job: "wordcount", Inputs: []string{l.path}, SplitSize: l.size, Verify: verify, Output: filepath.Join(dir, fmt.Sprint("o", jobs))}
		s := runJob(t, n, spec)
		if s.State != mr.Succeeded {
			t.Fatalf("--verify %s: %+v", verify, s)
		}
		return s, output(t, spec.Output)
	}
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "line %03d old\n", i)
	}
	size := int64(text.Len())
	l.write(text.String())
	_, old := run("")
	l.learn()

	// An honest file: sample reads a split or two, full reads all; both find all cached.
	for _, c := range []struct {
		verify      string
		least, most int64
	}{{"stat", 0, 0}, {"sample", 1, 2 * l.size}, {"full", size, 2 * size}} {
		s, got := run(c.verify)
		if got != old || s.Map.Run != 0 || len(s.Warnings) > 0 {
			t.Errorf("--verify %s of an honest file: %d ran, warnings %q", c.verify, s.Map.Run, s.Warnings)
		}
		if s.Bytes.Read < c.least || s.Bytes.Read > c.most {
			t.Errorf("--verify %s read %d bytes, want %d to %d", c.verify, s.Bytes.Read, c.least, c.most)
		}
	}

	l.write(strings.ReplaceAll(text.String(), "old", "new"))
	for _, verify := range []string{"stat", "sample", "full"} {
		l.tell()
		s, got := run(verify)
		if verify == "stat" {
			if got != old {
				t.Fatal("the forged stamps were not believed: this test tests nothing")
			}
			continue
		}
		if got == old || strings.Count(got, "new") != 1 {
			t.Errorf("--verify %s believed the forged stamps", verify)
		}
		warnings := strings.Join(s.Warnings, "\n")
		if !strings.Contains(warnings, "stat lied: "+l.path) {
			t.Errorf("--verify %s: the warnings don't name the file: %q", verify, warnings)
		}
		if s.Bytes.Read < size {
			t.Errorf("--verify %s read %d bytes of %d", verify, s.Bytes.Read, size)
		}
	}
	// The record was corrected by the last run: stat is right again.
	if s, got := run("stat"); got == old || s.Map.Run != 0 || s.Bytes.Read != 0 {
		t.Errorf("after the correction: %+v", s)
	}
	if _, err := n.Jobs().Submit(t.Context(), "odd", mr.Spec{Job: "wordcount", Inputs: []string{l.path}, Verify: "maybe", Output: filepath.Join(dir, "odd")}); err == nil || !strings.Contains(err.Error(), "stat, sample or full") {
		t.Errorf("--verify maybe: %v", err)
	}
}
