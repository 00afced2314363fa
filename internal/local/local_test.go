package local

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

func openNode(t *testing.T, dir string) *Node {
	t.Helper()
	n, err := Open(dir, Options{Workers: 2, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func runJob(t *testing.T, n *Node, spec mr.Spec) mr.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	id, err := n.Jobs().Submit(ctx, mr.SubmitID(fmt.Sprint(time.Now().UnixNano())), spec)
	if err != nil {
		t.Fatal(err)
	}
	var s mr.Status
	for !s.State.Done() {
		if s, err = n.Jobs().Wait(ctx, id, s.Version); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func output(t *testing.T, dir string) string {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range parts {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(data)
	}
	return b.String()
}

func TestWordcountTwice(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("b a b\nc b a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, "o1")}
	s := runJob(t, n, spec)
	if s.State != mr.Succeeded || s.Map.Run != 1 {
		t.Fatalf("first run: %+v", s)
	}
	if got := output(t, spec.Output); got != "a\t2\nb\t3\nc\t1\n" {
		t.Errorf("output %q", got)
	}
	spec.Output, spec.Reducers = filepath.Join(dir, "o2"), 7
	s = runJob(t, n, spec)
	if s.State != mr.Succeeded || s.Map.Run != 0 || s.Map.Cached != 1 || s.Reduce.Tasks != 7 {
		t.Fatalf("second run: %+v", s)
	}
	if got := output(t, spec.Output); got != "a\t2\nb\t3\nc\t1\n" {
		t.Errorf("output %q", got)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, filepath.Join(dir, "store"))
}

func check(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // checked below
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A file that was read once, even if only to find that its output was on record, is not
// read again while it is unchanged.
// A process needs some memory beside its tasks: a limit below that would keep the collector busy for ever.
func TestLittleMemoryLeavesRoomForTheProcess(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	n, err := Open(t.TempDir(), Options{Workers: 1, Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context()) //nolint:errcheck // it has done nothing
	if limit := debug.SetMemoryLimit(-1); limit != leastLimit {
		t.Errorf("the collector's limit is %d bytes, want %d", limit, leastLimit)
	}
}

func TestUnchangedInputIsNotReadAgain(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("b a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	spec := mr.Spec{Job: "wordcount", Inputs: []string{in}}
	for i, want := range []int64{6, 6, 0} { // young; read to be looked up; known
		if i == 1 {
			old := time.Now().Add(-time.Minute)
			if err := os.Chtimes(in, old, old); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2100 * time.Millisecond) // its change time can't be set back
		}
		spec.Output = filepath.Join(dir, fmt.Sprint("o", i))
		if s := runJob(t, n, spec); s.Bytes.Read != want {
			t.Errorf("run %d read %d bytes, want %d", i, s.Bytes.Read, want)
		}
	}
}
