package robustness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mrd-io/mr"
)

// straggling runs a job of 8 map tasks that each sleep for usual, but one for slow.
func straggling(t *testing.T, c *corpus, usual, slow string, alone bool) (s mr.Status, log string, pid int) {
	t.Helper()
	dir := t.TempDir()
	mark := filepath.Join(dir, "slow")
	d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{fmt.Sprintf("MR_ODD=nap,%s,%s:%s", usual, slow, mark)}})
	cl := d.client()
	spec := oddSpec(t, c, filepath.Join(dir, "out"))
	spec.SplitSize, spec.NoSpeculation = 110<<10, alone
	id := submit(t, cl, "straggling", spec)
	s = succeed(t, cl, id)
	if s.Map.Tasks != 8 {
		t.Fatalf("%d map tasks", s.Map.Tasks)
	}
	if got, _ := parts(t, spec.Output); !bytes.Equal(got, c.want["wordcount"]) {
		t.Error("the output differs")
	}
	if n := counter(s, "map_input_records"); n != int64(c.lines) {
		t.Errorf("%d records were counted, and there are %d", n, c.lines)
	}
	b, err := os.ReadFile(mark)
	if err == nil {
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
	log = logText(t, cl, id)
	return s, log, pid
}

// TestStraggler has one of the map tasks sleep for ten minutes: its twin starts, wins, and the
// job ends at once; the loser is fenced, its process is gone, and nothing is counted twice.
func TestStraggler(t *testing.T) {
	t.Parallel()
	c := newCorpus(t, 11, 4, 200<<10)
	s, log, pid := straggling(t, c, "1ms", "10m", false)
	if s.Map.Speculative != 1 || s.Map.Run != s.Map.Tasks || s.Map.Attempts != s.Map.Tasks+1 || s.Map.Failed != 0 {
		t.Errorf("%+v", s.Map)
	}
	behind, fenced := strings.Index(log, "well behind its peers: a second attempt"), strings.Index(log, ".0 fenced: another attempt was first")
	if behind < 0 || fenced < behind || strings.Count(log, "fenced") != 1 {
		t.Errorf("a twin that starts, and then a loser that is fenced, are not what the log tells:\n%s", log)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the loser's process sleeps on")
	}
}

// TestNoSpeculation has one sleep for a while, and wait for it.
func TestNoSpeculation(t *testing.T) {
	t.Parallel()
	s, log, _ := straggling(t, newCorpus(t, 12, 4, 200<<10), "1ms", "4s", true)
	if s.Map.Speculative != 0 || s.Map.Attempts != s.Map.Tasks || strings.Contains(log, "behind") {
		t.Errorf("%+v\n%s", s.Map, log)
	}
	if s.Seconds.Elapsed < 4 { // it was done by the one that slept
		t.Errorf("the job took %.1f s", s.Seconds.Elapsed)
	}
}

// TestSpeculationPays is for make crash: one task is slowed 20 times, and both times are printed.
func TestSpeculationPays(t *testing.T) {
	if !long() {
		return // times mean nothing on a machine that does other things; the events are in TestStraggler
	}
	c := newCorpus(t, 11, 4, 200<<10)
	var took [2]float64
	for i, alone := range []bool{false, true} {
		s, _, _ := straggling(t, c, "500ms", "10s", alone)
		took[i] = s.Seconds.Elapsed
	}
	fmt.Printf("%s: one of 8 map tasks slowed 20 times: %.2f s with speculation, %.2f s without, ratio %.2f\n", t.Name(), took[0], took[1], took[0]/took[1])
	if took[0] > took[1]/2 {
		t.Error("more than half of the time")
	}
}
