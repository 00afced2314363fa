package worker

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// leavesBehind has each process of a job start another one that leaves its group and holds all that it holds. The
// file names them.
func leavesBehind(t *testing.T) (env string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pids")
	t.Cleanup(func() {
		b, _ := os.ReadFile(file)
		for pid := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(pid); err == nil && n > 0 {
				_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended
			}
		}
	})
	return "LEAVE_BEHIND=" + file
}

// A task whose process ends is over, also if that has left a process behind that holds its connection.
func TestChildLeavesAProcessBehind(t *testing.T) {
	c := newTestChildren(t, ChildOptions{Silence: time.Minute})
	r := open(t, c, "count", leavesBehind(t))
	began := time.Now()
	_, _, err := mapLines(t, r, "ok", "exit")
	if err == nil || !strings.Contains(err.Error(), "exited with status 3") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("told after %v", d)
	}
}

// Ending many processes that have left others behind takes no longer than ending one.
func TestChildrenEndTogether(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	env := leavesBehind(t)
	for i := range 5 {
		open(t, c, "count", env, "N="+strconv.Itoa(i))
	}
	began := time.Now()
	c.Close()
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
}
