package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/size"
)

// request is what run and submit were asked for.
type request struct {
	line
	output       string
	jobName      string
	inputFormat  string
	outputFormat string
	submitID     string
	reducers     int
	workers      int
	memory       int64
	cacheSize    int64
	splitSize    int64
	chunking     string
	verify       string
	recordLimit  int64
	skipBad      int
	alone        bool
	overwrite    bool
	noCache      bool
	incremental  bool
	dryRun       bool
	wait         bool
}

// jobFlags declares the flags that run and submit share.
func (r *request) jobFlags(flags *pflag.FlagSet) {
	flags.StringArrayP("input", "i", nil, "read this `PATTERN`: a file, a folder or a glob with **; repeatable, and more may follow")
	flags.StringVarP(&r.output, "output", "o", "", "write this folder, `DIR`; it must not exist, unless --overwrite")
	flags.StringVar(&r.jobName, "job", "", "which job, by `NAME`, where the program has several")
	flags.BoolVar(&r.overwrite, "overwrite", false, "replace the output folder when the job is done")
	flags.BoolVar(&r.noCache, "no-cache", false, "compute everything anew, and keep it from other jobs")
	flags.BoolVar(&r.incremental, "incremental", false, "keep partial merges already in this run, for appends to come (default: from the first rerun on, and none of plain sums of integers)")
	flags.IntVar(&r.reducers, "reducers", 0, "number `R` of reduce tasks and parts (default: chosen from bytes)")
	flags.Var(size.Value{N: &r.splitSize}, "split-size", "bytes of input to a map task, such as 64MiB")
	flags.StringVar(&r.chunking, "chunking", "", "cut large files at `fixed` ranges, or where their content says (content): an insertion then re-maps one or two splits")
	flags.StringVar(&r.verify, "verify", "", "how far to believe that a file with its old stamps is as it was: stat (default), `sample` (1 % of it is read), full (all is read)")
	flags.StringVar(&r.inputFormat, "input-format", "", "format `F`: text, fixed:N or whole (default text)")
	flags.StringVar(&r.outputFormat, "output-format", "", "format `F`: text, raw, or jsonl, which has U+FFFD for bytes that are not UTF-8 (default: the job's own)")
	flags.Var(size.Value{N: &r.recordLimit}, "record-limit", "longest record (default 64MiB)")
	flags.IntVar(&r.skipBad, "skip-bad-records", 0, "go on without up to `N` records on which the mapper fails or which the format can't make out; they are saved in DIR/_skipped (default: the first fails the job)")
	flags.BoolVar(&r.alone, "no-speculation", false, "start no second attempt beside one that is well behind its peers")
	flags.IntVar(&r.workers, "workers", 0, "run `N` tasks at once, when no daemon serves the store (default: the CPUs)")
	flags.Var(size.Value{N: &r.memory}, "memory", "memory for tasks, when no daemon serves the store")
	flags.Var(size.Value{N: &r.cacheSize}, "cache-size", "what the store may take on disk, when no daemon serves it (default: a fifth of what is free)")
	flags.BoolVar(&r.dryRun, "dry-run", false, "say what would run and why, and run nothing")
	flags.StringVar(&r.submitID, "submit-id", "", "`ID` of this submission; the same again is the same job")
}

// parse reads the words typed after the verb. It prints the help and returns helped if that was asked for.
func (a *app) parse(cmd *cobra.Command, args []string, r *request) (b builtins, helped bool, err error) {
	b = builtins{jobs: a.system.Builtins(), dir: a.dir}
	_ = cmd.InheritedFlags() // merges them into Flags
	r.line, err = parseLine(cmd.CommandPath(), args, cmd.Flags(), b)
	if err != nil {
		return b, false, err
	}
	if r.help {
		return b, true, cmd.Help()
	}
	if r.job == "" {
		return b, false, mr.Errorf(mr.Usage, "%s needs a JOB: %s, a Go package (./wordstats) or a job binary; '%s --help' tells more", cmd.CommandPath(), strings.Join(b.names(), ", "), cmd.CommandPath())
	}
	if _, ok := b.find(r.job); !ok && !b.isCode(r.job) {
		return b, false, mr.Errorf(mr.Usage, "there is no built-in job %q%s; 'mrctl run --help' lists them, and a Go package is named as a path (./%s)", r.job, didYouMean(r.job, b.names()), r.job)
	}
	return b, false, r.check()
}

func (r *request) check() error {
	switch {
	case r.reducers < 0:
		return mr.Errorf(mr.Usage, "--reducers %d: the number of parts cannot be negative", r.reducers)
	case r.workers < 0:
		return mr.Errorf(mr.Usage, "--workers %d: the number of tasks at once cannot be negative", r.workers)
	case r.outputFormat != "" && r.outputFormat != "text" && r.outputFormat != "raw" && r.outputFormat != "jsonl":
		return mr.Errorf(mr.Usage, "--output-format: %q is not known; use text, raw or jsonl", r.outputFormat)
	case len(r.line.inputs) == 0:
		return mr.Errorf(mr.Usage, "nothing to read: name a file, a folder or a glob with --input PATTERN")
	case r.output == "":
		return mr.Errorf(mr.Usage, "nowhere to write: name the output folder with --output DIR")
	}
	if _, err := mr.ParseFormat(r.inputFormat); err != nil {
		return mr.Errorf(mr.Usage, "--input-format: %w", err)
	}
	return nil
}

// code is what a request executes and the arguments that it gets; done removes what was built.
type code struct {
	builtin bool
	found   binaries
	args    []string
	done    func()
}

// locate finds the request's code before a session is opened, so that what does not build fails at once.
func (a *app) locate(ctx context.Context, b builtins, r *request) (code, error) {
	if j, ok := b.find(r.job); ok {
		if r.jobName != "" && r.jobName != j.Name() {
			return code{}, mr.Errorf(mr.Usage, "--job %s: %s is a built-in and the only job of that name; --job picks one of a program's jobs", r.jobName, j.Name())
		}
		args, err := b.arguments(j, &r.line)
		return code{builtin: true, args: args, done: func() {}}, err
	}
	if len(r.flags) > 0 {
		return code{}, mr.Errorf(mr.Usage, "%s stands before -- and belongs to a built-in; the flags of %s itself follow -- at the end of the line", r.flags[0], r.job)
	}
	found, done, err := a.findBinaries(ctx, b, r.job)
	return code{found: found, args: append(r.words, r.rest...), done: done}, err
}

// spec is the job that r asks for, in the words of the engine.
func (a *app) spec(s *session, r *request, c code) (mr.Spec, error) {
	format, err := mr.ParseFormat(r.inputFormat)
	if err != nil {
		return mr.Spec{}, err
	}
	spec := mr.Spec{
		Job: r.jobName, Args: c.args, InputFormat: format, OutputFormat: r.outputFormat, Reducers: r.reducers,
		Output: a.abs(r.output), SplitSize: r.splitSize, Chunking: r.chunking, Verify: r.verify, RecordLimit: r.recordLimit, Overwrite: r.overwrite, NoCache: r.noCache,
		Incremental: r.incremental, SkipBadRecords: r.skipBad, NoSpeculation: r.alone,
	}
	if rest, err := filepath.Rel(spec.Output, a.abs(".")); spec.Overwrite && err == nil && filepath.IsLocal(rest) {
		return mr.Spec{}, mr.Errorf(mr.Refused, "output %s is the current folder, or holds it, and --overwrite would remove all that is in it; choose another --output", spec.Output)
	}
	if strings.HasPrefix(s.daemon, "unix:") { // the same user's, who may see them all; a daemon elsewhere has its own
		spec.Env = os.Environ()
	}
	for _, in := range r.line.inputs {
		spec.Inputs = append(spec.Inputs, a.pattern(in.pattern))
	}
	if c.builtin {
		spec.Job = r.job
	} else if spec.Code, err = importCodes(s, c.found); err != nil {
		return mr.Spec{}, err
	}
	spec.Code.Source = r.job
	return spec, nil
}

// importCodes hands a job's binaries to the store.
func importCodes(s *session, b binaries) (mr.Code, error) {
	code, err := importCode(s, b.path)
	if err != nil || b.forMap == "" {
		return code, err
	}
	forMap, err := importCode(s, b.forMap)
	code.MapPath, code.MapDigest = forMap.Path, forMap.Digest
	return code, err
}

// importCode hands a job binary to the store, or names it to the daemon, which copies it before it
// acknowledges the job.
func importCode(s *session, path string) (mr.Code, error) {
	if s.node != nil {
		return s.node.ImportBinary(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return mr.Code{}, mr.Errorf(mr.Usage, "job binary: %w", err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "job binary %s: %w", path, err)
	}
	return mr.Code{Kind: mr.Binary, Path: path, Digest: mr.Digest(h.Sum(nil))}, nil
}

// pattern makes an input pattern absolute. What the name of the folder that a glob begins in has of a glob's
// characters is quoted, so that it stays a name; and a file of just that name is meant before any glob. A slash at
// the end of a glob is for folders alone.
func (a *app) pattern(p string) string {
	const special = `*?[{\`
	at := strings.IndexAny(p, special)
	if at < 0 || a.dir == "" && !filepath.IsAbs(p) || exists(a.abs(p)) {
		return a.abs(p)
	}
	at = strings.LastIndexByte(p[:at], '/') + 1 // behind the folder that the glob begins in
	glob := filepath.Clean(p[at:])
	if strings.HasSuffix(p, "/") {
		glob += "/"
	}
	if filepath.IsAbs(p) {
		return strings.TrimSuffix(plainPath(p[:at]), "/") + "/" + glob
	}
	var dir strings.Builder
	for _, c := range []byte(a.abs(p[:at])) {
		if strings.IndexByte(special+"]}", c) >= 0 {
			dir.WriteByte('\\')
		}
		dir.WriteByte(c)
	}
	return strings.TrimSuffix(dir.String(), "/") + "/" + glob
}

func (a *app) abs(path string) string {
	switch {
	case filepath.IsAbs(path):
		return plainPath(path)
	case a.dir == "":
		return filepath.Clean(path)
	}
	return plainPath(a.dir + "/" + path)
}

// plainPath is filepath.Clean for an absolute path, but that a .. behind a symbolic link leads where it leads the
// system: to the folder that the link's target is in.
func plainPath(path string) string {
	plain := "/"
	for c := range strings.SplitSeq(path, "/") {
		if c == ".." {
			plain = above(plain)
		} else {
			plain = filepath.Join(plain, c)
		}
	}
	return plain
}

// above is the folder that dir is in: by its name, if that is right.
func above(dir string) string {
	byName := filepath.Dir(dir)
	named, err := os.Stat(byName)
	real, err2 := os.Stat(dir + "/..")
	if err != nil || err2 != nil || os.SameFile(named, real) {
		return byName
	}
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		return filepath.Dir(target)
	}
	return byName
}

func (b builtins) names() []string {
	var names []string
	for _, j := range b.jobs {
		names = append(names, j.Name())
	}
	return names
}
