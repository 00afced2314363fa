package robustness

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestLostPermission takes the right to write from a job's output at each stage: the job
// fails and names the path, an old output stays whole, and the daemon goes on.
func TestLostPermission(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := openDir(t)
	parent := filepath.Join(dir, "parent")
	mine(t, parent)
	d := start(t, launch{store: filepath.Join(dir, "store"), uid: stranger(), env: []string{
		"MR_FAILPOINTS=engine/cut=sleep:500ms;worker/part-written=sleep:300ms",
	}})
	cl := d.client()
	spec := func(out string) mr.Spec {
		return mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, SplitSize: 512 << 10, Reducers: 3}
	}
	fails := func(id mr.JobID, path string) {
		t.Helper()
		s := wait(t, cl, id)
		if s.State != mr.FailedJob || !strings.Contains(s.Error, "permission denied") || !strings.Contains(s.Error, path) {
			t.Errorf("the job is %s: %q, which should name %s", s.State, s.Error, path)
		}
		d.alive()
	}
	lock, unlock := func(path string) { chmod(t, path, 0o555) }, func(path string) { chmod(t, path, 0o755) }

	lock(parent) // before anything is there
	out := filepath.Join(parent, "new")
	fails(submit(t, cl, "planning", spec(out)), out)
	chmod(t, parent, 0o333) // where a folder can be made, and not be made to last
	fails(submit(t, cl, "unlistable", spec(out)), parent)
	unlock(parent)
	if _, err := os.Lstat(out); !os.IsNotExist(err) {
		t.Errorf("a failed job leaves its output folder: %v", err)
	}

	id := submit(t, cl, "parts", spec(out)) // when parts are to be written
	until(t, cl, id, "a map task", func(s mr.Status) bool { return s.Map.Run > 0 || s.Map.Cached > 0 })
	staging := filepath.Join(out, "_temporary", string(id))
	lock(staging)
	fails(id, staging)
	if _, err := os.Lstat(out); !os.IsNotExist(err) {
		t.Errorf("a failed job leaves its output folder: %v", err)
	}

	old := filepath.Join(parent, "old") // when the old output is to be replaced
	oldOutput(t, old)
	mineToo(t, old)
	over := spec(old)
	over.Overwrite = true
	id = submit(t, cl, "exchange", over)
	until(t, cl, id, "parts", func(s mr.Status) bool { return s.Reduce.Attempts > 0 })
	lock(parent)
	fails(id, parent)
	if diff := differs(old, oldFiles()); diff != "" {
		t.Errorf("the old output is not whole: %s", diff)
	}
	unlock(parent)

	out = filepath.Join(parent, "good")
	succeed(t, cl, submit(t, cl, "good", spec(out)))
	if got, _ := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) {
		t.Error("the output differs")
	}
}

// TestBadDisk has storage answer EIO: a job whose task can't write fails in those words,
// one that meets it once goes on, and a daemon that can't record progress ends, saying so,
// and finishes the job in its next life.
func TestBadDisk(t *testing.T) {
	t.Parallel()
	c := shared(t)
	spec := func(out string) mr.Spec {
		return mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, SplitSize: 512 << 10, Reducers: 3, NoCache: true}
	}
	right := func(t *testing.T, out string) {
		t.Helper()
		if got, _ := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) {
			t.Error("the output differs")
		}
	}
	t.Run("volume", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=store/before-volume-commit=error:EIO?" + bad}})
		cl := d.client()
		if s := wait(t, cl, submit(t, cl, "bad", spec(filepath.Join(dir, "bad-out")))); s.State != mr.FailedJob || !strings.Contains(s.Error, "input/output error") {
			t.Errorf("the job is %s: %q", s.State, s.Error)
		}
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "out")
		succeed(t, cl, submit(t, cl, "good", spec(out)))
		right(t, out)
		d.kill()
		checkStore(t, d.store)
	})
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=store/before-volume-commit=error:EIO@1;worker/part-written=error:EIO@1"}})
		cl := d.client()
		out := filepath.Join(dir, "out")
		if s := succeed(t, cl, submit(t, cl, "once", spec(out))); s.Map.Failed == 0 || s.Reduce.Failed != 1 {
			t.Errorf("%d map and %d reduce attempts failed", s.Map.Failed, s.Reduce.Failed)
		}
		right(t, out)
	})
	t.Run("catalog", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		bad := filepath.Join(dir, "bad")
		d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_FAILPOINTS=store/before-catalog-commit=error:EIO?" + bad + ";worker/split-read=sleep:20ms"}})
		cl := d.client()
		out := filepath.Join(dir, "out")
		id := submit(t, cl, "one", spec(out))
		until(t, cl, id, "a map task", func(s mr.Status) bool { return s.Map.Run > 0 })
		if err := os.WriteFile(bad, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if status := d.ended(15 * time.Second); status == 0 || !strings.Contains(d.stderr.String(), "input/output error") {
			t.Errorf("the daemon ended with status %d:\n%s", status, d.stderr.String())
		}
		d = startDaemon(t, d.store)
		succeed(t, d.client(), id)
		right(t, out)
		d.kill()
		checkStore(t, d.store)
	})
}

// TestRefusals holds what mrd says when it can't have its store.
func TestRefusals(t *testing.T) {
	t.Parallel()
	t.Run("second", func(t *testing.T) {
		t.Parallel()
		first := startDaemon(t, filepath.Join(t.TempDir(), "store"))
		first.client()
		refused(t, startDaemon(t, first.store), "in use by process "+strconv.Itoa(first.cmd.Process.Pid))
		first.alive()
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		st := filepath.Join(dir, "store")
		d := start(t, launch{store: st, uid: stranger()})
		d.client()
		d.kill()
		for _, path := range []string{filepath.Join(st, "catalog.db"), filepath.Join(st, "lock"), st} {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			chmod(t, path, info.Mode().Perm()&0o555)
		}
		refused(t, start(t, launch{store: st, uid: stranger()}), "permission denied")
		chmod(t, st, 0o755) // for whoever cleans up
	})
	t.Run("missing parent", func(t *testing.T) {
		t.Parallel()
		dir := openDir(t)
		chmod(t, dir, 0o555)
		refused(t, start(t, launch{store: filepath.Join(dir, "a", "store"), uid: stranger()}), "permission denied")
		chmod(t, dir, 0o755)
	})
}

// refused waits for a daemon to end with status 3 and to say why, naming the store.
func refused(t *testing.T, d *daemon, why string) {
	t.Helper()
	if status := d.ended(10 * time.Second); status != 3 || !strings.Contains(d.stderr.String(), why) || !strings.Contains(d.stderr.String(), d.store) {
		t.Errorf("status %d, and it said, without %q:\n%s", status, why, d.stderr.String())
	}
}

// stranger is a user who is not root, to whom permissions matter: the test's own if that
// is one.
func stranger() uint32 {
	if os.Getuid() != 0 {
		return 0
	}
	return 65534
}

// openDir is a temporary folder that the stranger owns and can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	chmod(t, filepath.Dir(dir), 0o755)
	mineToo(t, dir)
	return dir
}

// mine makes a folder of the stranger's.
func mine(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mineToo(t, dir)
}

func mineToo(t *testing.T, path string) {
	t.Helper()
	if id := int(stranger()); id != 0 {
		if err := os.Chown(path, id, id); err != nil {
			t.Fatal(err)
		}
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestMountedOutput names an output folder at which a file system is mounted: it can't be exchanged
// for another, which is said before anything is computed. A folder below it can.
func TestMountedOutput(t *testing.T) {
	t.Parallel()
	c := shared(t)
	out := mount(t, "size=64m")
	cl := startDaemon(t, filepath.Join(t.TempDir(), "store")).client()
	spec := mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: out, Overwrite: true}
	if id, err := cl.Submit(t.Context(), "mounted", spec); mr.KindOf(err) != mr.Refused || !strings.Contains(err.Error(), out) {
		t.Errorf("%s, %v", id, err)
	}
	spec.Output = filepath.Join(out, "below")
	if err := os.Mkdir(spec.Output, 0o700); err != nil {
		t.Fatal(err)
	}
	succeed(t, cl, submit(t, cl, "below", spec))
	if got, _ := parts(t, spec.Output); !bytes.Equal(got, c.want["wordcount"]) {
		t.Error("the output differs")
	}
}
