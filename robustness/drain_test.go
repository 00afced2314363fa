package robustness

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestDrain sends SIGTERM while tasks are at what takes longer than a daemon may: it ends
// within ten seconds and with status 0, and the job ends right in the next life.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for name, env := range map[string]string{
		"busy":     "",
		"stuck":    "MR_FAILPOINTS=worker/before-seal=sleep:60s", // in something that can't be cancelled
		"full":     "MR_FAILPOINTS=store/before-catalog-commit=error:ENOSPC?FULL;worker/split-read=sleep:20ms",
		"full out": "MR_FAILPOINTS=engine/publish-manifest=error:ENOSPC",
		"hung":     "MR_ODD=hang:ODD",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			full := filepath.Join(dir, "full")
			env := strings.NewReplacer("FULL", full, "ODD", filepath.Join(dir, "odd")).Replace(env)
			d := start(t, launch{store: filepath.Join(dir, "store"), env: []string{env}})
			cl := d.client()
			spec := mr.Spec{Job: "wordcount", Inputs: []string{c.dir}, Output: filepath.Join(dir, "out"), SplitSize: 256 << 10, Reducers: 3}
			if name == "hung" {
				spec.Job, spec.Code = "", mr.Code{Kind: mr.Binary, Path: program(t, "odd"), Source: "odd"}
			}
			id := submit(t, cl, "drain", spec)
			until(t, cl, id, "a task", func(s mr.Status) bool { return s.Map.Attempts > 0 })
			switch name {
			case "full":
				until(t, cl, id, "a map task", func(s mr.Status) bool { return s.Map.Run > 0 })
				if err := os.WriteFile(full, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				until(t, cl, id, "the pause", saysFull)
			case "full out":
				until(t, cl, id, "the pause", saysFull)
			case "stuck", "hung":
				time.Sleep(300 * time.Millisecond)
			}
			at := time.Now()
			d.signal(syscall.SIGTERM)
			if status := d.ended(10 * time.Second); status != 0 {
				t.Errorf("status %d\n%s", status, d.stderr.String())
			}
			t.Logf("ended after %s", time.Since(at).Round(time.Millisecond))
			if left := orphans(t, d.store); len(left) > 0 {
				t.Errorf("processes outlive their daemon: %v", left)
			}
			os.Remove(full) //nolint:errcheck // only one of the cases has it
			d = startDaemon(t, d.store)
			succeed(t, d.client(), id)
			if got, _ := parts(t, spec.Output); !bytes.Equal(got, c.want["wordcount"]) {
				t.Error("the output differs")
			}
			d.kill()
			checkStore(t, d.store)
		})
	}
}
