package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/local"
)

// openLocal opens the store in this process; getenv answers for the variables that jobs declare.
func openLocal(getenv func(string) string) func(string, options, *slog.Logger) (engine, error) {
	return func(store string, o options, log *slog.Logger) (engine, error) {
		n, err := local.Open(store, local.Options{Workers: o.workers, Memory: o.memory, Silence: o.silence, Snapshot: true, CacheSize: o.cacheSize, NoTwins: o.noTwins, Logger: log, Getenv: getenv})
		if err != nil {
			return nil, err
		}
		return localEngine{n, store}, nil
	}
}

// localEngine is a node whose clients are other processes.
type localEngine struct {
	*local.Node
	store string
}

func (e localEngine) Jobs() mr.Jobs {
	jobs := e.Node.Jobs()
	return importing{jobs, jobs.(mr.Cache), jobs.(mr.Tracer), jobs.(mr.Fleet), jobs.(submissions), e.Node, filepath.Join(e.store, "bin")}
}

// submissions knows what was acknowledged.
type submissions interface {
	Submitted(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error)
}

// importer copies a job binary into the store.
type importer interface {
	ImportBinary(path string) (mr.Code, error)
}

// importing is Jobs whose clients name job binaries of their own: each is copied into the store before
// its job is acknowledged, so that the job outlives the file, and the same binary under another name is
// the same code.
type importing struct {
	mr.Jobs
	mr.Cache
	mr.Tracer
	mr.Fleet
	known submissions
	store importer
	bin   string // the store's folder of binaries
}

// Submit implements mr.Jobs. A job that was acknowledged has its binary: what became of the file since
// is nothing to who asks for the job again.
func (i importing) Submit(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	whole, err := i.imported(spec)
	if err == nil {
		return i.Jobs.Submit(ctx, id, whole)
	}
	job, unknown := i.known.Submitted(ctx, id, spec)
	if job != "" || errors.Is(unknown, mr.ErrRefused) {
		return job, unknown
	}
	return "", err
}

// DryRun implements mr.Jobs.
func (i importing) DryRun(ctx context.Context, spec mr.Spec) (mr.Explanation, error) {
	spec, err := i.imported(spec)
	if err != nil {
		return mr.Explanation{}, err
	}
	return i.Jobs.DryRun(ctx, spec)
}

func (i importing) imported(spec mr.Spec) (mr.Spec, error) {
	if spec.Code.Kind != mr.Binary || filepath.Dir(spec.Code.Path) == i.bin {
		return spec, nil
	}
	if !filepath.IsAbs(spec.Code.Path) {
		return spec, mr.Errorf(mr.Usage, "job binary %q: the daemon needs an absolute path", spec.Code.Path)
	}
	code, err := i.copied(spec.Code.Path, spec.Code.Digest)
	if err != nil {
		return spec, err
	}
	if spec.Code.MapPath != "" {
		forMap, err := i.copied(spec.Code.MapPath, spec.Code.MapDigest)
		if err != nil {
			return spec, err
		}
		code.MapPath, code.MapDigest = forMap.Path, forMap.Digest
	}
	code.Source = spec.Code.Source
	spec.Code = code
	return spec, nil
}

// copied imports one binary, which must be the one that the client has digested.
func (i importing) copied(path string, want mr.Digest) (mr.Code, error) {
	code, err := i.store.ImportBinary(path)
	if err == nil && !want.IsZero() && want != code.Digest {
		err = mr.Errorf(mr.Usage, "job binary %s changed while it was submitted: it was %s and is %s", path, want.Short(), code.Digest.Short())
	}
	return code, err
}
