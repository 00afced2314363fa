package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/plan"
)

// This file publishes outputs. Attempts write their parts below OUT/_temporary/JOB; the
// master alone moves them, after the catalog says that the job is committing. Every
// step can be done again: a crash in the middle is rolled forward in the next life.
//
// A new output folder gets its parts by renames, then the manifest, then _SUCCESS. An
// output that replaces another is put together beside it and exchanged with it in one
// rename, so the old one stays whole until the new one is. With _SUCCESS, or the exchange, the
// job has succeeded: what cannot be cleaned up after that is a warning.
//
// A new folder is the job's own, from its submission on, among the jobs of one store. Others may
// write there all the same: what is found there and is not the job's is neither mixed with its
// parts nor removed with them.

const (
	temporaryDir = "_temporary"
	manifestName = "_manifest.json"
	successName  = "_SUCCESS"
)

// Manifest is the _manifest.json of an output folder.
type Manifest struct {
	Job     mr.JobID       `json:"job"`
	Name    string         `json:"name"`
	Written time.Time      `json:"written"`
	Parts   []ManifestPart `json:"parts"`
	Skipped int            `json:"skipped,omitempty"` // bad records of the input that the parts lack; they are below _skipped
}

// ManifestPart is one part file. Digest is the BLAKE3 of its bytes.
type ManifestPart struct {
	Name    string    `json:"name"`
	Bytes   int64     `json:"bytes"`
	Records int64     `json:"records"`
	Digest  mr.Digest `json:"digest"`
}

func stagingDir(r *record) string {
	return filepath.Join(r.Spec.Output, temporaryDir, string(r.ID))
}

// longestName is what file systems allow, in bytes.
const longestName = 255

// siblingDir is where an output that replaces another is put together. It has the beginning of
// the output's name, for people who come upon it.
func siblingDir(r *record) string { return beside(r, ".mr-") }

// asideDir is where the output that is replaced goes on a file system that can't exchange the two.
func asideDir(r *record) string { return beside(r, ".old-") }

func beside(r *record, mark string) string {
	base, end := filepath.Base(r.Spec.Output), mark+string(r.ID)
	return filepath.Join(filepath.Dir(r.Spec.Output), "."+base[:min(len(base), longestName-1-len(end))]+end)
}

// makeStaging finds out early whether the output can be written at all.
func makeStaging(r *record) error {
	if err := checkOwn(r, false); err != nil {
		return err
	}
	err := durable.MkdirAll(filepath.Dir(r.Spec.Output), 0o777) // the output itself is, with its name, when it is published
	if err == nil {
		err = os.MkdirAll(stagingDir(r), 0o777)
	}
	if err == nil {
		var parent *os.File
		if parent, err = os.Open(filepath.Dir(r.Spec.Output)); err == nil { // as its sync will need
			parent.Close()
		}
	}
	if err != nil {
		return mr.Errorf(mr.Failed, "the output folder cannot be written: %w", err)
	}
	return nil
}

// errForeign says that what is in an output folder is another's.
var errForeign = errors.New("it has been made by something else since this job was submitted; choose another --output, or replace it with --overwrite")

// checkOwn makes sure that a folder which is to be the job's own has no other's output in it. Once the
// job has begun to move its parts there, parts say nothing.
func checkOwn(r *record, moved bool) error {
	if !r.MadeOutput {
		return nil
	}
	out := r.Spec.Output
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == manifestName, name == successName:
			if m, err := ReadManifest(out); err == nil && m.Job == r.ID {
				continue
			}
		case moved || !strings.HasPrefix(name, "part-"):
			continue
		}
		return fmt.Errorf("output folder %s holds %s: %w", out, name, errForeign)
	}
	return err
}

// ReadManifest reads the manifest of an output folder.
func ReadManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestName), err)
	}
	return m, nil
}

// commit publishes a job's output in the background.
func (l *loop) commit(id mr.JobID) {
	j := l.jobs[id]
	if j == nil {
		return
	}
	if j.onTrial > 0 {
		j.commitWaits = true
		return
	}
	bad, err := j.skipped()
	if err != nil { // a map computed again has skipped more
		l.queue = append(l.queue, evCommitted{job: id, err: err.Error()})
		return
	}
	l.warnSkipped(j, bad)
	rec := j.rec
	m := &Manifest{Job: id, Name: rec.Traits.Job, Written: l.e.o.Now().UTC(), Skipped: len(bad)}
	src := make([]string, len(j.reduces))
	for i := range j.reduces {
		t := &j.reduces[i]
		m.Parts = append(m.Parts, ManifestPart{partName(&rec, i), t.Made.Raw, t.Made.Records, t.Made.Digest})
		src[i] = partPath(&rec, i, t.Attempt)
	}
	ctx, cancel := context.WithCancel(l.e.ctx)
	j.endPublishing = cancel
	l.e.spawn(func() {
		defer cancel()
		err := checkOwn(&rec, rec.Moved)
		if err != nil {
			l.e.request(l.e.ctx, func(*loop) { j.endPublishing, j.rec.Moved = nil, false }) //nolint:errcheck // stopped: found again in the next life
		} else {
			err = l.e.whenRoom(ctx, id, "publishing the output", func() error { return publish(&rec, m, src, bad) })
		}
		if err == nil {
			l.settleOutput(j, &rec)
		}
		_ = failpoint.Hit("engine/before-committed") // a crash or a delay: the output is there, or not
		switch {
		case err == nil:
			l.e.post(evCommitted{job: id})
		case !errors.Is(err, errDraining):
			l.e.post(evCommitted{job: id, err: "publishing the output: " + err.Error()})
		case l.e.ctx.Err() == nil: // else it is published in the next life
			l.e.post(evKill{job: id, waits: true})
		}
	})
}

// kill ends a job, unless its output is being published. One whose commit waits, for a trial or for
// room, is not.
func (l *loop) kill(id mr.JobID) {
	ev := evKill{job: id}
	switch j := l.jobs[id]; {
	case j == nil:
	case j.commitWaits:
		j.commitWaits, ev.waits = false, true
	case j.endPublishing != nil:
		j.endPublishing() // it ends the job if there is no room
	}
	l.queue = append(l.queue, ev)
}

// published reports whether a job's output is in place, so that the job has succeeded.
func published(r *record) bool {
	m, err := ReadManifest(r.Spec.Output)
	return err == nil && m.Job == r.ID && exists(filepath.Join(r.Spec.Output, successName))
}

// publish moves the parts at src into place. It may have been interrupted at any point
// before, and be called again.
func publish(r *record, m *Manifest, src []string, bad []mr.BadRecord) error {
	if published(r) {
		return nil
	}
	out := r.Spec.Output
	dst := out
	if !r.MadeOutput {
		dst = siblingDir(r)
	}
	if err := os.MkdirAll(dst, 0o777); err != nil {
		return err
	}
	for i, p := range m.Parts {
		to := filepath.Join(dst, p.Name)
		if err := failpoint.Hit("engine/publish-part"); err != nil {
			return err
		}
		if err := os.Rename(src[i], to); err != nil && !(errors.Is(err, fs.ErrNotExist) && hasSize(to, p.Bytes)) {
			return err
		}
	}
	if err := writeSkipped(dst, bad); err != nil {
		return err
	}
	if err := failpoint.Hit("engine/publish-manifest"); err != nil {
		return err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(dst, manifestName), append(b, '\n')); err != nil {
		return err
	}
	if r.MadeOutput { // nothing temporary is left when _SUCCESS appears, and the folder is there for good
		if err := errors.Join(os.RemoveAll(filepath.Join(out, temporaryDir)), durable.SyncDir(filepath.Dir(out))); err != nil {
			return err
		}
	}
	if err := failpoint.Hit("engine/publish-success"); err != nil {
		return err
	}
	if err := durable.Create(filepath.Join(dst, successName)); err != nil {
		return err
	}
	if dst != out {
		if err := failpoint.Hit("engine/publish-exchange"); err != nil {
			return err
		}
		if err := exchange(dst, out, asideDir(r)); errors.Is(err, syscall.EXDEV) {
			return mr.Errorf(mr.Failed, "the file system cannot rename %s, as with a folder in a lower layer of an overlay; choose another --output", out)
		} else if err != nil {
			return &os.LinkError{Op: "exchange", Old: dst, New: out, Err: err}
		}
	}
	return nil
}

// settleOutput does what is left to do for an output that is published. Nothing in it undoes that:
// what fails is told in the job's warnings.
func (l *loop) settleOutput(j *job, r *record) {
	err := failpoint.Hit("engine/published")
	if err == nil && !r.MadeOutput {
		err = durable.SyncDir(filepath.Dir(r.Spec.Output))
	}
	if err = errors.Join(err, cleanUp(r)); err == nil {
		return
	}
	l.e.request(l.e.ctx, func(l *loop) { //nolint:errcheck // stopped: tried again in the next life
		l.warn(j, "the output is in place, but not all is done that follows: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	})
}

// cleanUp removes what a job leaves beside its output: its temporary folder, and the
// folder that it has replaced. One that it has not replaced is there again afterwards.
func cleanUp(r *record) error {
	if err := failpoint.Hit("engine/clean-up"); err != nil {
		return err
	}
	if !r.MadeOutput {
		if err := putBack(r.Spec.Output, asideDir(r)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(stagingDir(r)); err != nil {
		return err
	}
	os.Remove(filepath.Join(r.Spec.Output, temporaryDir)) //nolint:errcheck // unless another job's is there
	return os.RemoveAll(siblingDir(r))
}

// finish cleans up after a job that failed or was killed.
func (l *loop) finish(a actFinish) {
	j := l.jobs[a.job]
	if j == nil {
		return
	}
	rec, endPlanning := j.rec, j.endPlanning
	moved := rec.MadeOutput && (j.endPublishing != nil || rec.Moved)
	top, place := rec.Spec.Output, j.place
	for dir := top; below(dir, cmp.Or(rec.MadeTop, rec.Spec.Output)) && !l.writesBelow(place, a.job); place = filepath.Dir(place) {
		top, dir = dir, filepath.Dir(dir)
	}
	l.e.spawn(func() {
		if endPlanning != nil { // or it would make the folder that is removed here
			endPlanning()
		}
		if err := cleanUp(&rec); err != nil {
			l.e.log.Warn("temporary files of a job are left", "job", rec.ID, "err", err)
		}
		if moved && checkOwn(&rec, true) == nil {
			os.Remove(filepath.Join(rec.Spec.Output, successName)) //nolint:errcheck // it may not be there; before the parts that it speaks of
			for i := range rec.Reduce.Tasks {                      // those that a publication which failed has moved
				os.Remove(filepath.Join(rec.Spec.Output, partName(&rec, i))) //nolint:errcheck // it may not be there
			}
			os.RemoveAll(filepath.Join(rec.Spec.Output, skippedDir)) //nolint:errcheck // likewise
			os.Remove(filepath.Join(rec.Spec.Output, manifestName))  //nolint:errcheck // likewise
		}
		if rec.MadeOutput {
			for dir := rec.Spec.Output; below(dir, top); dir = filepath.Dir(dir) {
				syscall.Rmdir(dir) //nolint:errcheck // only if it is empty, as it should be, and not if it is a file by now
			}
		}
		l.e.post(evFinished{a.job})
	})
}

// writesBelow reports whether another job than id has its output at or below a place, or is about to make it there.
func (l *loop) writesBelow(place string, id mr.JobID) bool {
	for p, by := range l.outputs {
		if by != id && below(p, place) {
			return true
		}
	}
	return false
}

// writeDurably writes a small file whole: under another name first, then renamed.
func writeDurably(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, failpoint.Hit("engine/small-file-written"), f.Sync(), f.Close())
	if err != nil {
		os.Remove(tmp) //nolint:errcheck // the write's error is the one to tell
		return err
	}
	return durable.Rename(tmp, path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func hasSize(path string, n int64) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Size() == n
}

// partExists reports whether the part that a committed attempt wrote is still there:
// in the staging folder, or already moved by a commit that was interrupted.
func partExists(r *record, index int, a plan.Attempt, bytes int64) bool {
	return hasSize(partPath(r, index, a), bytes) ||
		hasSize(filepath.Join(siblingDir(r), partName(r, index)), bytes) ||
		r.Phase == "commit" && hasSize(filepath.Join(r.Spec.Output, partName(r, index)), bytes)
}
