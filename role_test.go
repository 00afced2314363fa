package mr_test

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mrd-io/mr/internal/childproto"
)

// roleSource is a job with its reducer below its mapper.
const roleSource = `package main

import (
	"iter"
	"strings"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("roles",
		mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
			for word := range strings.FieldsSeq(line) {
				emit(word, 1)
			}
			return nil
		}),
		mr.Combine(mr.Sum[int64]),
		mr.Reduce(reduce)))
}

func reduce(t *mr.Task, word string, counts iter.Seq[int64], emit mr.Emit[string, int64]) error {
	for n := range counts {
		emit(word, n)
	}
	return nil
}
`

// TestRoleBinaries is what reuse of an author's map outputs stands on: the map role's
// binary is the same to the bit when a reducer below the mapper changes, and another one
// when the mapper does; and the other way round.
func TestRoleBinaries(t *testing.T) {
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build := func(role, source string) [32]byte {
		t.Helper()
		main := filepath.Join(dir, "main.go")
		if err := os.WriteFile(main, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		// The package exists in an overlay only.
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "examples", "roles", "main.go"): main}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
			t.Fatal(err)
		}
		exe := filepath.Join(dir, "roles")
		cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-tags", "mr_"+role, "-trimpath",
			"-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", exe, "./examples/roles")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		b, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b)
	}
	edit := func(old, with string) string {
		t.Helper()
		if strings.Count(roleSource, old) != 1 {
			t.Fatalf("%q is not in the source once", old)
		}
		return strings.Replace(roleSource, old, with, 1)
	}
	// Not every edit is as invisible: one that gives the reducer, say, a stack map that it
	// shares with some other function moves that in the binary. That is a needless miss.
	reducer := edit("emit(word, n)", "if n > 2 {\n\t\t\tprintln(n)\n\t\t\temit(word+\"!\", 2*n)\n\t\t}")
	mapper := edit("emit(word, 1)", "emit(word, 2)")

	mapRole := build("map", roleSource)
	checkMapRole(t, filepath.Join(dir, "roles"))
	if build("map", reducer) != mapRole {
		t.Error("another reducer makes another map binary")
	}
	if build("map", mapper) == mapRole {
		t.Error("another mapper makes the same map binary")
	}
	reduceRole := build("reduce", roleSource)
	if build("reduce", mapper) != reduceRole {
		t.Error("another mapper makes another reduce binary")
	}
	if build("reduce", reducer) == reduceRole {
		t.Error("another reducer makes the same reduce binary")
	}
}

// checkMapRole talks to a binary that was built without its reducer: it still knows that
// the job has one, and says so when it is asked to reduce.
func checkMapRole(t *testing.T, exe string) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close() //nolint:errcheck // a test
	cmd := exec.Command(exe)
	cmd.Env = []string{childproto.Env + "=" + childproto.Version}
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close() //nolint:errcheck // the child has its own
	r, w := childproto.NewReader(ours), childproto.NewWriter(ours)
	ask := func(typ childproto.Type, fields ...[]string) [][]string {
		t.Helper()
		if typ != childproto.Hello {
			if err := w.Control(typ, fields...); err != nil {
				t.Fatal(err)
			}
		}
		_, payload, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		fs, err := childproto.Fields(payload)
		if err != nil {
			t.Fatal(err)
		}
		return fs
	}
	if fs := ask(childproto.Hello); !slices.Equal(childproto.All(fs, "job"), []string{"roles"}) {
		t.Errorf("hello: %q", fs)
	}
	if fs := ask(childproto.Configure, []string{"job", "roles"}); childproto.One(fs, "reduce", 0) != "true" || childproto.One(fs, "combine", 0) != "true" {
		t.Errorf("traits: %q", fs)
	}
	if fs := ask(childproto.Start, []string{"stage", "reduce"}); !strings.Contains(childproto.One(fs, "message", 0), "built for another role and has no reducer") {
		t.Errorf("asked to reduce, it says %q", fs)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
