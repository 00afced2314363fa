package robustness

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestFull makes the disk full at one stage of a job after the other: everything that is
// written there fails with ENOSPC until there is room. The job pauses and says so, the
// daemon answers, and the job ends right soon after.
func TestFull(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for _, stage := range []struct {
		point string
		flags []string
		from  func(mr.Status) bool // the disk is full from then on; nil: from the beginning
	}{
		{point: "engine/before-plan-recorded"},
		{point: "store/before-catalog-commit", from: func(s mr.Status) bool { return s.Map.Run > 0 }},
		{point: "store/volume-made"},
		{point: "store/before-volume-commit"},
		{point: "worker/merge-spill", flags: []string{"--memory", "12MiB"}},
		{point: "worker/part-made"},
		{point: "worker/part-written"},
		{point: "engine/publish-part"},
		{point: "engine/small-file-written"},
		{point: "engine/publish-success"},
	} {
		t.Run(stage.point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			full := filepath.Join(dir, "full")
			d := start(t, launch{store: filepath.Join(dir, "store"), flags: stage.flags, env: []string{
				fmt.Sprintf("MR_FAILPOINTS=%s=error:ENOSPC?%s;worker/split-read=sleep:20ms", stage.point, full),
			}})
			cl := d.client()
			fill := func() {
				if err := os.WriteFile(full, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if stage.from == nil {
				fill()
			}
			out := filepath.Join(dir, "out")
			id := submit(t, cl, "full", mr.Spec{Job: "sort", Inputs: []string{c.dir}, Output: out, SplitSize: 256 << 10, Reducers: 2})
			if stage.from != nil {
				until(t, cl, id, "the job to come so far", stage.from)
				fill()
			}
			until(t, cl, id, "the job to say that it waits", saysFull)
			time.Sleep(300 * time.Millisecond)
			before := time.Now()
			s, err := cl.Status(t.Context(), id)
			if err != nil || s.State.Done() || time.Since(before) > 2*time.Second {
				t.Fatalf("while the disk is full the job is %s (%s), told after %s, %v", s.State, s.Error, time.Since(before), err)
			}
			d.alive()
			if err := os.Remove(full); err != nil {
				t.Fatal(err)
			}
			freed := time.Now()
			s = succeed(t, cl, id)
			t.Logf("ended %s after there was room", time.Since(freed).Round(time.Millisecond))
			if got, _ := parts(t, out); !bytes.Equal(got, c.want["sort"]) {
				t.Error("the output differs")
			}
			if s.Map.Failed+s.Reduce.Failed > 0 {
				t.Errorf("a full disk counts as %d failures", s.Map.Failed+s.Reduce.Failed)
			}
			d.kill()
			checkStore(t, d.store)
		})
	}
}

func saysFull(s mr.Status) bool {
	return slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.Contains(w, "full") && strings.Contains(w, "room") })
}

// until waits until a job's status is as described.
func until(t *testing.T, c mr.Jobs, id mr.JobID, what string, good func(mr.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := waitUntil(ctx, c, id, func(s mr.Status) bool { return good(s) || s.State.Done() })
	if err != nil || !good(s) {
		t.Fatalf("waiting for %s: %v; it is %s in %s, %s, warnings %q", what, err, s.State, s.Phase, s.Error, s.Warnings)
	}
}

// TestTightDisk runs jobs on a file system that has a drawn number of bytes left, which is
// often too few, and frees it.
func TestTightDisk(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for _, s := range seeds(t, 4) {
		t.Run(fmt.Sprintf("seed=%d", s.n), func(t *testing.T) {
			t.Parallel()
			tightRound(t, c, s)
		})
	}
}

func tightRound(t *testing.T, c *corpus, s seed) {
	rng := rand.New(rand.NewPCG(s.n, 3))
	disk := mount(t, "size=64m")
	job := plannedJob{name: []string{"wordcount", "sort", "index"}[rng.IntN(3)], reducers: 1 + rng.IntN(4), split: 256 << 10}
	room := int64(rng.IntN(12 << 20))
	flags := []string{"--cache-size", "1GiB"} // nothing is evicted for want of room in the bound
	if job.name == "sort" && rng.IntN(2) == 0 {
		flags = append(flags, "--memory", "12MiB")
	}
	d := startDaemon(t, filepath.Join(disk, "store"), flags...)
	cl := d.client()
	filler := filepath.Join(disk, "filler")
	leave(t, disk, filler, room)
	spec := job.spec(t, c, filepath.Join(disk, "out"))
	id, err := cl.Submit(t.Context(), "tight", spec)
	for err != nil { // refused for want of room, in so many words
		if !strings.Contains(err.Error(), "no space left") {
			t.Fatalf("%d bytes left: %v", room, err)
		}
		room += 64 << 10
		leave(t, disk, filler, room)
		id, err = cl.Submit(t.Context(), "tight", spec)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	status, err := waitUntil(ctx, cl, id, func(s mr.Status) bool { return s.State.Done() || saysFull(s) })
	if err != nil {
		t.Fatalf("%d bytes left: %v", room, err)
	}
	paused := !status.State.Done()
	time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
	d.alive()
	if paused && rng.IntN(3) == 0 {
		d.kill()
		leave(t, disk, filler, 1<<20) // a store needs a little to be opened
		d = startDaemon(t, d.store, flags...)
		cl = d.client()
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	status = succeed(t, cl, id)
	t.Logf("%s with %d KiB left: paused %t, ended %s after there was room", job.name, room>>10, paused, time.Since(freed).Round(time.Millisecond))
	if got, _ := parts(t, spec.Output); !bytes.Equal(got, job.want(c)) {
		t.Errorf("%d bytes left: the output differs", room)
	}
	if status.Map.Failed+status.Reduce.Failed > 0 {
		t.Errorf("%d bytes left: %d failures", room, status.Map.Failed+status.Reduce.Failed)
	}
	d.kill()
	checkStore(t, d.store)
}

// TestRoomOnFullDisk makes room on a disk without a byte left by what the store itself offers.
func TestRoomOnFullDisk(t *testing.T) {
	t.Parallel()
	c := shared(t)
	disk := mount(t, "size=64m")
	dir := filepath.Join(disk, "store")
	runJSON(t, dir, "grep", "e", "--input", c.dir, "--output", filepath.Join(t.TempDir(), "out"))
	leave(t, disk, filepath.Join(disk, "filler"), 0)
	if text, _ := mrctl(t, dir, "cache", "invalidate", "--all"); !strings.Contains(text, "of disk freed") {
		t.Errorf("what is said to be freed: %q", text)
	}
	checkStore(t, dir)
}

// leave fills a disk up to so many bytes.
func leave(t *testing.T, disk, filler string, room int64) {
	t.Helper()
	if err := os.RemoveAll(filler); err != nil {
		t.Fatal(err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	n := int64(st.Bavail)*int64(st.Bsize) - room //nolint:unconvert // of another type elsewhere
	if n <= 0 {
		n = 0
	}
	if err := os.WriteFile(filler, make([]byte, n), 0o600); err != nil {
		t.Fatal(err)
	}
}
