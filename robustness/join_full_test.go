package robustness

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestWorkersOfAFullDaemon fills the disk of a daemon's catalog for longer than a worker waits for a silent
// daemon: one that stays gives nothing up; one that is killed has its work given up when there is room again, and
// not while what it has answered waits to be recorded.
func TestWorkersOfAFullDaemon(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for _, killed := range []bool{false, true} {
		t.Run(map[bool]string{false: "stays", true: "killed"}[killed], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			full := filepath.Join(dir, "full")
			// The daemon's own workers are slow, so that the other one has answered when the disk is full.
			d := start(t, launch{store: filepath.Join(dir, "store"), flags: []string{"--silence", "1s"}, env: []string{
				"MR_FAILPOINTS=store/before-catalog-commit=error:ENOSPC?" + full + ";worker/split-read=sleep:400ms",
			}})
			cl := d.client()
			w := join(t, socket(d), "far", []string{"MR_FAILPOINTS=worker/before-map-answer=sleep:50ms"})
			crewed(t, cl, "a worker", there)
			out := filepath.Join(dir, "out")
			id := submit(t, cl, "full", joinSpec(c, out))
			until(t, cl, id, "a map task", func(s mr.Status) bool { return s.Map.Run > 2 })
			if err := os.WriteFile(full, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			until(t, cl, id, "the pause", saysFull)
			time.Sleep(time.Second) // for more answers
			if killed {
				w.signal(syscall.SIGKILL)
				<-w.exited
			}
			time.Sleep(4 * time.Second) // three leases and more
			d.alive()
			if err := os.Remove(full); err != nil {
				t.Fatal(err)
			}
			s := succeed(t, cl, id)
			rightOnce(t, c, s, out)
			d.alive()
			if strings.Contains(w.stderr.String(), "silent") {
				t.Errorf("the worker takes the daemon for gone:\n%s", w.stderr.String())
			}
			d.kill()
			checkStore(t, d.store)
		})
	}
}

// TestStuckWorkerEnds stops a worker whose task is at what cannot be cancelled.
func TestStuckWorkerEnds(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	d := startDaemon(t, filepath.Join(dir, "store"))
	cl := d.client()
	w := join(t, socket(d), "stuck", []string{"MR_FAILPOINTS=worker/before-seal=sleep:60s"})
	crewed(t, cl, "a worker", there)
	id := submit(t, cl, "stuck", joinSpec(c, filepath.Join(dir, "out")))
	crewed(t, cl, "a task on the worker", busy)
	time.Sleep(300 * time.Millisecond)
	w.signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-time.After(10 * time.Second):
		t.Errorf("the worker goes on:\n%s", w.stderr.String())
	}
	if status := w.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("it ended with status %d:\n%s", status, w.stderr.String())
	}
	succeed(t, cl, id)
}
