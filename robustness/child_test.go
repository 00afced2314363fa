package robustness

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestOddChildren runs an author's binary whose process ends, dies, hangs or is stopped
// in the middle of a task, once: the task runs again in another process, the log says
// why, the output is right, and nothing is counted twice.
func TestOddChildren(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for what, says := range map[string]string{
		"exit":   "exited with status 7",
		"panic":  "an odd thing",
		"error":  "an odd record",
		"oom":    "was killed",
		"hangup": "in the middle of a task",
		"babble": "broke the protocol in the middle of a task",
		"hang":   "no sign of life for 1s",
		"dawdle": "no sign of life for 1s", // and is stopped, too
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			odd := filepath.Join(dir, "odd")
			d := start(t, launch{store: filepath.Join(dir, "store"), flags: []string{"--silence", "1s"}, env: []string{"MR_ODD=" + what + ":" + odd}})
			cl := d.client()
			out := filepath.Join(dir, "out")
			id := submit(t, cl, "odd", oddSpec(t, c, out))
			if what == "dawdle" {
				stopTwiceAsLong(t, odd, time.Second)
			}
			s := succeed(t, cl, id)
			if got, _ := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) {
				t.Error("the output differs")
			}
			if s.Map.Failed != 1 || s.Map.Attempts != s.Map.Tasks+1 || s.Map.Run != s.Map.Tasks {
				t.Errorf("%+v", s.Map)
			}
			if n := strings.Count(logText(t, cl, id), "failed: "); n != 1 {
				t.Errorf("%d failures are in the log", n)
			}
			if n := counter(s, "map_input_records"); n != int64(c.lines) {
				t.Errorf("%d records were counted, and there are %d", n, c.lines)
			}
			if log := logText(t, cl, id); !strings.Contains(log, says) || !strings.Contains(log, "about to "+what) {
				t.Errorf("the log says neither %q nor what was printed:\n%s", says, log)
			}
			d.alive()
		})
	}
}

// TestStoppedDaemonBlamesNoChild stops a daemon for longer than a job binary may be silent, and
// continues it: its children could say nothing that it would have heard, and none is killed.
func TestStoppedDaemonBlamesNoChild(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd")
	d := start(t, launch{store: filepath.Join(dir, "store"), flags: []string{"--silence", "2s"}, env: []string{"MR_ODD=nap,500ms,500ms:" + odd}})
	cl := d.client()
	out := filepath.Join(dir, "out")
	id := submit(t, cl, "stopped", oddSpec(t, c, out))
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		d.signal(syscall.SIGSTOP)
		time.Sleep(3 * time.Second)
		d.signal(syscall.SIGCONT)
	}
	s := succeed(t, cl, id)
	if got, _ := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) {
		t.Error("the output differs")
	}
	if s.Map.Failed != 0 || s.Reduce.Failed != 0 {
		t.Errorf("attempts failed:\n%s", logText(t, cl, id))
	}
	d.alive()
}

// TestWorkingFoldersAreSwept kills a daemon whose binaries have working folders: the next one
// leaves none of them, and the system's temporary folder has seen none.
func TestWorkingFoldersAreSwept(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	odd, tmp, st := filepath.Join(dir, "odd"), filepath.Join(dir, "tmp"), filepath.Join(dir, "store")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	folders := func(in string) []string {
		names, err := filepath.Glob(filepath.Join(in, "mr-task-*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	l := launch{store: st, env: []string{"MR_ODD=hang:" + odd, "TMPDIR=" + tmp}}
	d := start(t, l)
	id := submit(t, d.client(), "odd", oddSpec(t, c, filepath.Join(dir, "out")))
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(odd); err == nil { // it hangs, once
			break
		}
		if time.Now().After(end) {
			t.Fatal("no task has begun to hang")
		}
	}
	left := folders(filepath.Join(st, "tmp"))
	d.kill()
	if len(left) == 0 {
		t.Error("a process at work has no folder in the store")
	}
	d = start(t, l)
	succeed(t, d.client(), id)
	for _, old := range left {
		if _, err := os.Lstat(old); err == nil {
			t.Errorf("%s is left of the daemon that was killed", old)
		}
	}
	if names := folders(tmp); len(names) > 0 {
		t.Errorf("the system's temporary folder has %v", names)
	}
}

// TestMovedStore moves the store of a daemon that was killed: the job goes on there with its binary,
// and its submit id is still its own.
func TestMovedStore(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	here, there := launch{store: filepath.Join(dir, "here")}, launch{store: filepath.Join(dir, "there")}
	here.env = []string{"MR_ODD=hang:" + filepath.Join(dir, "odd")} // so that it does not end before the move
	d := start(t, here)
	spec := oddSpec(t, c, filepath.Join(dir, "out"))
	id := submit(t, d.client(), "moved", spec)
	until(t, d.client(), id, "a map task", func(s mr.Status) bool { return s.Map.Run > 0 })
	d.kill()
	if err := os.Rename(here.store, there.store); err != nil {
		t.Fatal(err)
	}
	d = start(t, there)
	s := succeed(t, d.client(), id)
	if got, _ := parts(t, spec.Output); !bytes.Equal(got, c.want["wordcount"]) {
		t.Error("the output differs")
	}
	if s.Map.Failed+s.Reduce.Failed > 0 {
		t.Errorf("attempts failed:\n%s", logText(t, d.client(), id))
	}
	if again := submit(t, d.client(), "moved", spec); again != id {
		t.Errorf("the submit id of %s has become that of %s", id, again)
	}
	d.kill()
	if text, _ := mrctl(t, there.store, "verify", spec.Output, "--rerun", "1"); !strings.Contains(text, "came out the same") {
		t.Errorf("verify: %q", text)
	}
}

func oddSpec(t *testing.T, c *corpus, out string) mr.Spec {
	return mr.Spec{
		Code: mr.Code{Kind: mr.Binary, Path: program(t, "odd"), Source: "odd"}, Inputs: []string{c.dir}, Output: out,
		SplitSize: 1 << 20, Reducers: 3,
	}
}

// stopTwiceAsLong stops the process that wrote its number to a file for twice the limit.
func stopTwiceAsLong(t *testing.T, file string, limit time.Duration) {
	t.Helper()
	var pid int
	for deadline := time.Now().Add(20 * time.Second); pid == 0; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		if time.Now().After(deadline) {
			t.Fatal("no process came to the odd thing")
		}
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * limit)
	// Its lease has ended long ago: it was killed, and there is nobody left to go on.
	if err := syscall.Kill(pid, syscall.SIGCONT); err != syscall.ESRCH {
		t.Errorf("continuing the stopped process: %v; it should be gone", err)
	}
}

// TestFailureIsNotKept fails a job for good, takes the reason away, and runs it again: the
// very same keys are computed, since no failure is ever on record under one.
func TestFailureIsNotKept(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{"MR_ODD=while:" + bad}})
	cl := d.client()
	id := submit(t, cl, "first", oddSpec(t, c, filepath.Join(dir, "out1")))
	s := wait(t, cl, id)
	if s.State != mr.FailedJob || !strings.Contains(s.Error, "an odd record") || !strings.Contains(s.Error, c.dir) {
		t.Errorf("the job is %s: %q", s.State, s.Error)
	}
	if s.Map.Failed < 4 {
		t.Errorf("it failed after %d failed attempts", s.Map.Failed)
	}
	if _, err := os.Lstat(filepath.Join(dir, "out1")); !os.IsNotExist(err) {
		t.Errorf("a failed job leaves its output folder: %v", err)
	}
	if err := os.Remove(bad); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out2")
	s = succeed(t, cl, submit(t, cl, "second", oddSpec(t, c, out)))
	if got, _ := parts(t, out); !bytes.Equal(got, c.want["wordcount"]) {
		t.Error("the output differs")
	}
	if s.Map.Cached != 0 || s.Map.Failed != 0 {
		t.Errorf("%+v", s.Map)
	}
}
