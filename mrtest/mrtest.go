// Package mrtest runs a job inside its author's own tests, through the real engine and
// store, in a folder that is gone when the test ends.
//
//	func TestWords(t *testing.T) {
//		m := mrtest.New(t, wordcount())
//		got := m.Run("wordcount", mrtest.Files{"a.txt": "b a b\n"})
//		if got.Output != "a\t1\nb\t2\n" { … }
//	}
//
// Jobs run in the test's process, so the debugger, the race detector and coverage see
// them. Several runs of one M share a store, as a user's reruns do: a test can assert
// what was reused. When the test ends, the store's consistency is checked.
package mrtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
	"github.com/mrd-io/mr/internal/local"
)

// Files are input files by name (with / for folders), and what they hold.
type Files map[string]string

// Options change how a job runs; the zero value is what users get.
type Options struct {
	Args         []string // the job's own flags and arguments
	Format       mr.Format
	OutputFormat string
	SplitSize    int64 // bytes; small values make many map tasks of little input
	Reducers     int
	NoCache      bool
	Incremental  bool
	Chunking     string // "content": where the content says, not at multiples of SplitSize
	RecordLimit  int64
	SkipBad      int    // bad records that may be skipped
	Verify       string // "sample" or "full": see mrctl run --help
	Output       string // name of the output folder; empty: a new one
	Overwrite    bool
}

// M is a node with a store of its own. Its methods must not be called concurrently.
type M struct {
	t    testing.TB
	node *local.Node
	dir  string
	runs int

	mu   sync.Mutex
	jobs map[string]*mr.Definition
}

// Result is what a job came to.
type Result struct {
	Output string // the parts in order
	Parts  []string
	Status mr.Status

	Manifest engine.Manifest
}

// New starts a node that knows jobs. It is stopped, and its store checked, when the
// test ends.
func New(t testing.TB, jobs ...*mr.Definition) *M {
	t.Helper()
	m := &M{t: t, dir: t.TempDir(), jobs: map[string]*mr.Definition{}}
	m.Redefine(jobs...)
	m.open(local.Options{})
	t.Cleanup(m.close)
	return m
}

func (m *M) open(o local.Options) {
	m.t.Helper()
	o.Builtin = func(name string) (*mr.Definition, bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		d, ok := m.jobs[name]
		return d, ok
	}
	node, err := local.Open(filepath.Join(m.dir, "store"), o)
	if err != nil {
		m.t.Fatalf("mrtest: %v", err)
	}
	m.node = node
}

// Redefine adds jobs, or replaces those of the same names, as an edit of the code would. The
// engine knows a job's code by its declared Version here: an edit that changes what a
// job computes must change that, too.
func (m *M) Redefine(jobs ...*mr.Definition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range jobs {
		m.jobs[d.Name()] = d
	}
}

func (m *M) close() {
	m.t.Helper()
	ctx := context.Background()
	if err := m.node.Store().Check(ctx); err != nil {
		m.t.Errorf("mrtest: the store is not consistent: %v", err)
	}
	if err := m.node.Close(ctx); err != nil {
		m.t.Errorf("mrtest: %v", err)
	}
}

// Run runs a job over files to its end, and fails the test if the job fails.
func (m *M) Run(job string, files Files, options ...Options) Result {
	m.t.Helper()
	r, err := m.Try(job, files, options...)
	if err != nil {
		m.t.Fatalf("mrtest: job %s: %v", job, err)
	}
	return r
}

// Try is Run for jobs that may fail: the error is what the user would be told.
func (m *M) Try(job string, files Files, options ...Options) (Result, error) {
	m.t.Helper()
	in := filepath.Join(m.dir, "input")
	if err := os.RemoveAll(in); err != nil {
		m.t.Fatalf("mrtest: %v", err)
	}
	for name, data := range files {
		path := filepath.Join(in, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			m.t.Fatalf("mrtest: %v", err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			m.t.Fatalf("mrtest: %v", err)
		}
	}
	return m.TryOn(job, []string{in}, options...)
}

// TryOn is Try over files that are already there: paths, folders or globs, as seen from the
// test's folder.
func (m *M) TryOn(job string, inputs []string, options ...Options) (Result, error) {
	m.t.Helper()
	var o Options
	if len(options) > 0 {
		o = options[0]
	}
	m.runs++
	inputs = slices.Clone(inputs)
	for i, path := range inputs {
		if path == "" || filepath.IsAbs(path) {
			continue
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			m.t.Fatalf("mrtest: %v", err)
		}
		inputs[i] = abs
	}
	ctx := m.t.Context()
	spec := m.spec(job, inputs, o)
	jobs := m.node.Jobs()
	id, err := jobs.Submit(ctx, mr.SubmitID(fmt.Sprintf("mrtest-%d-%d", m.runs, time.Now().UnixNano())), spec)
	if err != nil {
		return Result{}, err
	}
	var s mr.Status
	for !s.State.Done() {
		if s, err = jobs.Wait(ctx, id, s.Version); err != nil {
			return Result{}, err
		}
	}
	if s.State != mr.Succeeded {
		return Result{Status: s}, mr.Errorf(mr.Failed, "%s", s.Error)
	}
	return m.read(spec.Output, s)
}

func (m *M) spec(job string, inputs []string, o Options) mr.Spec {
	spec := mr.Spec{
		Job: job, Args: o.Args, Inputs: inputs, Output: filepath.Join(m.dir, fmt.Sprintf("out-%d", m.runs)),
		InputFormat: o.Format, OutputFormat: o.OutputFormat, SplitSize: o.SplitSize, Chunking: o.Chunking,
		RecordLimit: o.RecordLimit, Reducers: o.Reducers, NoCache: o.NoCache, Incremental: o.Incremental, Verify: o.Verify,
		SkipBadRecords: o.SkipBad, Overwrite: o.Overwrite,
	}
	if o.Output != "" {
		spec.Output = filepath.Join(m.dir, "named", o.Output)
	}
	return spec
}

func (m *M) read(dir string, s mr.Status) (Result, error) {
	r := Result{Status: s}
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil {
		return r, err
	}
	var all strings.Builder
	for _, p := range parts {
		b, err := os.ReadFile(p)
		if err != nil {
			return r, err
		}
		r.Parts = append(r.Parts, string(b))
		all.Write(b)
	}
	r.Output = all.String()
	manifest, err := engine.ReadManifest(dir)
	if err == nil {
		r.Manifest = *manifest
	}
	return r, err
}
