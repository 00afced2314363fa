package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// longestSubmitID is far below what a key of the catalog may have.
const longestSubmitID = 1024

// Submit implements mr.Jobs. Everything that is wrong with the request itself is said
// here, before there is a job.
func (e *Engine) Submit(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	switch {
	case id == "":
		return "", mr.Errorf(mr.Usage, "a submission needs an id of its own, kept by the client for retries")
	case len(id) > longestSubmitID:
		return "", mr.Errorf(mr.Usage, "the submit id has %d bytes, and may have %d", len(id), longestSubmitID)
	}
	unlock, err := e.submits.lock(ctx, string(id))
	if err != nil {
		return "", err
	}
	defer unlock()
	hash := plan.SpecDigest(spec)
	if known, err := e.submitted(id, hash); known != "" || err != nil {
		return known, err
	}
	j, err := e.prepare(ctx, spec)
	if err != nil {
		return "", err
	}
	if err := e.reserve(ctx, j); err != nil {
		return "", err
	}
	j.rec.Submit, j.rec.SpecHash = id, hash
	j.rec.State, j.rec.Submitted = mr.Pending, e.o.Now()
	if err := e.record(j); err != nil {
		e.request(e.ctx, func(l *loop) { delete(l.outputs, j.place) }) //nolint:errcheck // stopped: nobody minds
		return "", err
	}
	if err := failpoint.Hit("engine/submit-recorded"); err != nil {
		return "", err
	}
	// Not with ctx: what is on record has to be run, whether or not its client is still there.
	if err := e.request(e.ctx, func(l *loop) { l.addSubmitted(j) }); err != nil && !errors.Is(err, mr.ErrInterrupted) {
		return "", err
	}
	return j.rec.ID, nil
}

// record makes a job whose output folder is reserved durable. That the folder may be written is
// looked at again: another job may have made it while this one was being prepared.
func (e *Engine) record(j *job) error {
	if err := e.mayWrite(j); err != nil {
		return err
	}
	err := e.o.Store.Update(func(tx *store.Tx) error {
		if err := failpoint.Hit("engine/submit-recording"); err != nil {
			return err
		}
		if err := tx.Put(store.Submits, []byte(j.rec.Submit), append([]byte(j.rec.ID), j.rec.SpecHash[:]...)); err != nil {
			return err
		}
		return putJob(tx, &j.rec)
	})
	if err != nil {
		return mr.Errorf(mr.KindOf(err), "recording the submission: %w", err)
	}
	return nil
}

// mayWrite refuses an output folder that the job may not make, or replace, and notes which of the two it is to do,
// and what else it is to make.
func (e *Engine) mayWrite(j *job) error {
	out := j.rec.Spec.Output
	if err := checkOutput(out, j.rec.Spec.Overwrite); err != nil {
		return err
	}
	_, err := os.Lstat(out)
	if j.rec.MadeOutput = errors.Is(err, fs.ErrNotExist); j.rec.MadeOutput {
		for dir := out; !exists(dir); dir = filepath.Dir(dir) {
			j.rec.MadeTop = dir
		}
		return checkPlace(out, e.o.Store.Dir())
	}
	return checkReplaced(out, e.o.Store.Dir(), j.files)
}

// reserve makes sure that no two live jobs write the same output folder, by whatever paths, and that none
// replaces a folder in which another writes.
func (e *Engine) reserve(ctx context.Context, j *job) error {
	var holder mr.JobID
	j.rec.ID, j.place = newJobID(e.o.Now()), resolve(j.rec.Spec.Output)
	which, replaces := "", exists(j.place)
	err := e.request(ctx, func(l *loop) {
		if holder = l.outputs[j.place]; holder != "" {
			return
		}
		for place, id := range l.outputs {
			around := below(j.place, place)
			if o := l.jobs[id]; o != nil {
				around = around && !o.rec.MadeOutput
			} else { // it is being recorded
				around = around && exists(place)
			}
			if around || replaces && below(place, j.place) {
				holder, which = id, ", or one around it or in it,"
				return
			}
		}
		l.outputs[j.place] = j.rec.ID
	})
	if err == nil && holder != "" {
		return mr.Errorf(mr.Refused, "output folder %s%s is being written by job %s; wait for it (it goes on while a daemon, mrd, has the store), cancel it with 'mrctl kill %s', or choose another --output", j.rec.Spec.Output, which, holder, holder)
	}
	return err
}

// Submitted is the job that was acknowledged under a submit id, or none: for who can't make spec whole any
// more. Code that spec names by path alone is taken for the job's own.
func (e *Engine) Submitted(ctx context.Context, id mr.SubmitID, spec mr.Spec) (job mr.JobID, err error) {
	unlock, err := e.submits.lock(ctx, string(id))
	if err != nil {
		return "", err
	}
	defer unlock()
	err = e.o.Store.View(func(tx *store.Tx) error {
		b := tx.Get(store.Submits, []byte(id))
		if len(b) < len(mr.Digest{}) {
			return nil
		}
		r, err := getJob(tx, mr.JobID(b[:len(b)-len(mr.Digest{})]))
		if errors.Is(err, mr.ErrNotFound) {
			return nil // its record is too old, and the submission's digest has to do
		}
		if err == nil && spec.Code.Digest.IsZero() {
			spec.Code.Digest = r.Spec.Code.Digest
		}
		if err == nil && spec.Code.MapPath != "" && spec.Code.MapDigest.IsZero() {
			spec.Code.MapDigest = r.Spec.Code.MapDigest
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return e.submitted(id, plan.SpecDigest(spec))
}

// submitted looks a submission up by its id.
func (e *Engine) submitted(id mr.SubmitID, hash mr.Digest) (job mr.JobID, err error) {
	err = e.o.Store.View(func(tx *store.Tx) error {
		b := tx.Get(store.Submits, []byte(id))
		if len(b) < len(hash) {
			return nil
		}
		n := len(b) - len(hash)
		if mr.Digest(b[n:]) != hash && !sameSpec(tx, mr.JobID(b[:n]), hash) {
			return mr.Errorf(mr.Refused, "submit id %s was used for another job (%s) with a different specification; use a new id", id, b[:n])
		}
		job = mr.JobID(b[:n])
		return nil
	})
	return job, err
}

// sameSpec looks at the specification of a job on record: its digest may have been made with
// paths of binaries, as they once were.
func sameSpec(tx *store.Tx, id mr.JobID, hash mr.Digest) bool {
	r, err := getJob(tx, id)
	return err == nil && plan.SpecDigest(r.Spec) == hash
}

// prepare checks a spec against the world and fills in what the job's code declares.
func (e *Engine) prepare(ctx context.Context, spec mr.Spec) (*job, error) {
	if err := checkSpec(&spec); err != nil {
		return nil, err
	}
	t, err := e.describe(ctx, plan.Program{Job: spec.Job, Code: spec.Code, Args: spec.Args})
	if err != nil {
		return nil, err
	}
	getenv := e.o.Getenv
	if spec.Env != nil {
		getenv = variables(spec.Env)
	}
	spec.Env = nil // most of them are nobody's business
	j := &job{rec: record{files: &heldFiles{}, Spec: spec, Traits: t, Phase: "planning", Format: spec.OutputFormat}}
	for _, name := range t.Env {
		j.rec.Env = append(j.rec.Env, plan.Component{Name: name, Value: getenv(name)})
	}
	if j.rec.Format == "" {
		j.rec.Format = "text"
		if t.RawFor(spec.InputFormat) {
			j.rec.Format = "raw"
		}
	}
	if j.files, err = input.List(ctx, spec.Inputs); err != nil {
		return nil, err
	}
	if err := checkRead(j.files, e.o.Store.Dir()); err != nil {
		return nil, err
	}
	for _, f := range j.files {
		j.rec.Bytes.Input += f.Stamp.Size
	}
	return j, nil
}

// variables looks up in a list of NAME=value.
func variables(list []string) func(name string) string {
	return func(name string) string {
		for _, v := range list {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// maxRecordLimit bounds records, and so the blocks that mappers get, whose places are
// numbers of 32 bits to those that cut them: see mr.EmitSpans.
const maxRecordLimit = 4<<30 - 1<<20

func checkSpec(s *mr.Spec) error {
	switch {
	case len(s.Inputs) == 0:
		return mr.Errorf(mr.Usage, "the job has no input; name files, folders or globs with --input")
	case s.Output == "":
		return mr.Errorf(mr.Usage, "the job has no output folder; name one with --output")
	case !filepath.IsAbs(s.Output):
		return mr.Errorf(mr.Usage, "output %s must be an absolute path by the time it is submitted", s.Output)
	case s.Reducers < 0 || s.Reducers > 100_000:
		return mr.Errorf(mr.Usage, "--reducers %d must be between 0 (chosen from the bytes) and 100000", s.Reducers)
	case s.SkipBadRecords < 0 || s.SkipBadRecords > maxSkip:
		return mr.Errorf(mr.Usage, "--skip-bad-records %d must be between 0 (the first bad record fails the job) and %d", s.SkipBadRecords, maxSkip)
	case s.SplitSize < 0 || s.RecordLimit < 0:
		return mr.Errorf(mr.Usage, "--split-size and --record-limit must not be negative")
	case s.RecordLimit > maxRecordLimit:
		return mr.Errorf(mr.Usage, "--record-limit %d must be at most %d bytes: no longer record can be mapped", s.RecordLimit, int64(maxRecordLimit))
	}
	for _, in := range s.Inputs {
		if !filepath.IsAbs(in) {
			return mr.Errorf(mr.Usage, "input %q must be an absolute path or pattern by the time it is submitted: the daemon's own folder means nothing to its clients", in)
		}
	}
	switch s.OutputFormat {
	case "", "text", "raw", "jsonl":
	default:
		return mr.Errorf(mr.Usage, "--output-format %q is not known; use text, raw or jsonl", s.OutputFormat)
	}
	if _, err := input.ParseChunking(s.Chunking); err != nil {
		return err
	}
	if err := checkVerify(s.Verify); err != nil {
		return err
	}
	s.Output = filepath.Clean(s.Output)
	return checkOutput(s.Output, s.Overwrite)
}

// checkOutput refuses an output folder that exists, unless it is to be replaced.
func checkOutput(dir string, overwrite bool) error {
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return mr.Errorf(mr.Failed, "looking at output folder %s: %w", dir, err)
	case !overwrite:
		return mr.Errorf(mr.Refused, "output %s exists; choose another --output, or replace it with --overwrite", dir)
	case !info.IsDir():
		return mr.Errorf(mr.Refused, "output %s exists and is not a folder; --overwrite replaces folders only", dir)
	}
	return nil
}
