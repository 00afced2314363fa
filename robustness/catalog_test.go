package robustness

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/local"
	"github.com/mrd-io/mr/rpcsvc"
)

// TestRestore damages the catalog: mrd refuses it with status 4 and says what to do, and
// the snapshot of the last clean shutdown brings back the jobs and outputs of then. A job
// since is not on record; runs since, and runs gone since, do no harm.
func TestRestore(t *testing.T) {
	t.Parallel()
	c := shared(t)
	for name, hurt := range map[string]func(b []byte) []byte{
		"zeroed":    func(b []byte) []byte { clear(b[:len(b)/2]); return b },
		"truncated": func(b []byte) []byte { return b[:5000] },
		"empty":     func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			st := filepath.Join(dir, "store")
			job := func(d *daemon, cl *rpcsvc.Client, name, format string) mr.Status {
				t.Helper()
				s := succeed(t, cl, submit(t, cl, mr.SubmitID(name), mr.Spec{
					Job: "wordcount", Inputs: []string{c.dir}, Output: filepath.Join(dir, name), SplitSize: 512 << 10, Reducers: 2, OutputFormat: format,
				}))
				return s
			}
			d := start(t, launch{store: st})
			first := job(d, d.client(), "first", "text")
			d.signal(syscall.SIGTERM)
			if status := d.ended(10 * time.Second); status != 0 {
				t.Fatalf("status %d\n%s", status, d.stderr.String())
			}
			d = startDaemon(t, st) // a life that the snapshot does not know
			cl := d.client()
			if _, err := cl.CacheGC(t.Context(), mr.CacheGC{Limit: 1}); err != nil {
				t.Fatal(err)
			}
			since := job(d, cl, "since", "raw")
			d.kill()

			path := filepath.Join(st, "catalog.db")
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, hurt(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			d = startDaemon(t, st)
			if status := d.ended(10 * time.Second); status != 4 || !strings.Contains(d.stderr.String(), "mrctl store restore") {
				t.Fatalf("status %d, and it said:\n%s", status, d.stderr.String())
			}
			r, err := local.Restore(st, false, time.Now())
			if err != nil || len(r.Ended) != 0 || r.Kept == "" {
				t.Fatalf("%+v, %v", r, err)
			}
			d = startDaemon(t, st)
			cl = d.client()
			if s, err := cl.Status(t.Context(), first.Job); err != nil || s.State != mr.Succeeded {
				t.Errorf("the job of before is %s, %v", s.State, err)
			}
			if s, err := cl.Status(context.Background(), since.Job); mr.KindOf(err) != mr.NotFound {
				t.Errorf("the job since is %s, %v", s.State, err)
			}
			job(d, cl, "again", "raw")
			if got, _ := parts(t, filepath.Join(dir, "again")); !bytes.Equal(got, rawForm(c.want["wordcount"])) {
				t.Error("the output differs")
			}
			d.kill()
		})
	}
}

// TestRestoreEndsJobs restores a snapshot that was taken in the middle of a job: the job
// is ended, saying why, and runs again under another id.
func TestRestoreEndsJobs(t *testing.T) {
	t.Parallel()
	c := shared(t)
	dir := t.TempDir()
	st := filepath.Join(dir, "store")
	d := start(t, launch{store: st, env: []string{"MR_FAILPOINTS=worker/split-read=sleep:100ms"}})
	cl := d.client()
	spec := mr.Spec{Job: "sort", Inputs: []string{c.dir}, Output: filepath.Join(dir, "out"), SplitSize: 256 << 10, Reducers: 2}
	id := submit(t, cl, "cut off", spec)
	until(t, cl, id, "a map task", func(s mr.Status) bool { return s.Map.Run > 0 })
	d.signal(syscall.SIGTERM)
	d.ended(10 * time.Second)
	if err := os.Truncate(filepath.Join(st, "catalog.db"), 0); err != nil {
		t.Fatal(err)
	}
	if r, err := local.Restore(st, false, time.Now()); err != nil || len(r.Ended) != 1 || r.Ended[0] != id {
		t.Fatalf("%+v, %v", r, err)
	}
	d = startDaemon(t, st)
	cl = d.client()
	if s := wait(t, cl, id); s.State != mr.FailedJob || !strings.Contains(s.Error, "snapshot") {
		t.Errorf("the job is %s: %q", s.State, s.Error)
	}
	spec.Overwrite = true
	succeed(t, cl, submit(t, cl, "again", spec))
	if got, others := parts(t, spec.Output); !bytes.Equal(got, c.want["sort"]) || len(others) != 2 {
		t.Errorf("the output differs, or holds %v", others)
	}
}
