package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
)

// fakeSystem is a system without an engine. Scripts choose what it does by $FAKE, a list of words:
//
//	daemon     a daemon answers          held, damaged   the store cannot be opened
//	fail       every job fails           refuse          every submission is refused
//	flaky      the first answers of the daemon get lost
//	crowded    a daemon takes no more connections
//	dies       the daemon answers a submission, and nothing after it
type fakeSystem struct{ traits string }

func (f fakeSystem) is(word string) bool { return strings.Contains(" "+f.traits+" ", " "+word+" ") }

func (f fakeSystem) Dial(_ context.Context, addr, _ string) (connection, error) {
	switch {
	case f.is("crowded"):
		return nil, mr.Errorf(mr.Unreachable, "connecting to %s: the daemon closed the connection: it has too many", addr)
	case !f.is("daemon"):
		return nil, mr.Errorf(mr.Unreachable, "no daemon answers at %s: %w", addr, syscall.ECONNREFUSED)
	}
	return &fakeJobs{sys: f, lost: 2}, nil
}

func (f fakeSystem) Open(dir string, _ nodeOptions) (node, error) {
	switch {
	case f.is("held"):
		return nil, mr.Errorf(mr.Unreachable, "the store %s is held by process 4711", dir)
	case f.is("damaged"):
		return nil, mr.Errorf(mr.Damaged, "the store %s is of version 9, and this program knows 1", dir)
	}
	return fakeNode{&fakeJobs{sys: f}}, nil
}

func (f fakeSystem) Time(_ context.Context, addr, _ string) (timeSource, error) {
	if !f.is("daemon") {
		return nil, mr.Errorf(mr.Unreachable, "no daemon answers at %s: connection refused", addr)
	}
	return fakeTime{clock.NewMaster()}, nil
}

// fakeTime is a master in this process: its offset is nothing but the time that an exchange takes.
type fakeTime struct{ master *clock.Master }

func (fakeTime) Close() error { return nil }

func (f fakeTime) Exchange(_ context.Context, nonce uint64) (clock.Exchange, error) {
	ex := clock.Exchange{Sent: time.Now(), Conn: 1}
	req := &clock.Request{Nonce: nonce}
	req.Arrived(f.master)
	err := clock.NewService(f.master).Now(req, &ex.Reply)
	ex.Reply.Departing()
	ex.Received = time.Now()
	return ex, err
}

func (fakeSystem) Builtins() []*mr.Definition {
	none := func(f func(fs *flag.FlagSet)) func(*flag.FlagSet) func([]string) ([]mr.Option, error) {
		return wants(0, f)
	}
	return []*mr.Definition{
		mr.JobFunc("grep", wants(1, func(fs *flag.FlagSet) {
			fs.Bool("fixed", false, "PATTERN is plain text")
			fs.Bool("count", false, "count the matches of each file")
		})).About("PATTERN [--fixed] [--count]", "lines that match a pattern"),
		mr.JobFunc("sort", none(func(fs *flag.FlagSet) {
			fs.String("key-bytes", "", "sort by the bytes `A:B` alone")
		})).About("[--key-bytes A:B]", "sorts records"),
		mr.JobFunc("wordcount", none(func(fs *flag.FlagSet) {
			fs.Bool("letters", false, "words are runs of letters")
		})).About("[--letters]", "counts words"),
	}
}

// wants makes a job of n arguments.
func wants(n int, flags func(fs *flag.FlagSet)) func(*flag.FlagSet) func([]string) ([]mr.Option, error) {
	return func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		flags(fs)
		return func(args []string) ([]mr.Option, error) {
			if len(args) != n {
				return nil, mr.Errorf(mr.Usage, "takes %d arguments, not %q", n, args)
			}
			return []mr.Option{mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
				emit(line, 1)
				return nil
			})}, nil
		}
	}
}

// fakeJobs holds one job that was submitted and one on record.
type fakeJobs struct {
	sys fakeSystem

	mu   sync.Mutex
	lost int // answers to lose
	ids  map[mr.SubmitID]bool
	spec mr.Spec
}

const (
	fakeJob  = mr.JobID("job_00000000000000000000000001")
	otherJob = mr.JobID("job_00000000000000000000000002")
)

func (f *fakeJobs) Close() error { return nil }

// fakeNode is fakeJobs in this process.
type fakeNode struct{ jobs *fakeJobs }

func (n fakeNode) Jobs() mr.Jobs               { return n.jobs }
func (n fakeNode) Close(context.Context) error { return nil }
func (n fakeNode) Opened() time.Time           { return time.Time{} }

func (f *fakeJobs) Submit(_ context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sys.is("refuse") {
		return "", mr.Errorf(mr.Refused, "the output folder %s exists; --overwrite replaces it", spec.Output)
	}
	if f.ids == nil {
		f.ids = map[mr.SubmitID]bool{}
	}
	f.ids[id] = true
	f.spec = spec
	if f.sys.is("flaky") && f.lost > 0 {
		f.lost--
		return "", mr.Errorf(mr.Unreachable, "the connection broke")
	}
	return fakeJob, nil
}

func (f *fakeJobs) Status(_ context.Context, job mr.JobID) (mr.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sys.is("dies") {
		return mr.Status{}, mr.Errorf(mr.Unreachable, "the connection broke")
	}
	if job != fakeJob && job != otherJob {
		return mr.Status{}, mr.Errorf(mr.NotFound, "there is no job %s on record", job)
	}
	return f.status(job), nil
}

func (f *fakeJobs) status(job mr.JobID) mr.Status {
	spec := f.spec
	if spec.Output == "" {
		spec = mr.Spec{Job: "wordcount", Output: "/data/out", Inputs: []string{"/data/in"}}
	}
	s := mr.Status{
		Job: job, Name: spec.Job, Spec: spec, State: mr.Succeeded, Output: spec.Output, Version: 7,
		Submitted: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Ended: time.Date(2026, 1, 2, 3, 4, 8, 0, time.UTC),
		Map:     mr.PhaseStatus{Tasks: 16, Cached: 15, Run: 1, Attempts: 1, BytesTotal: 1 << 30, BytesDone: 1 << 30},
		Reduce:  mr.PhaseStatus{Tasks: 4, Run: 4, Attempts: 4, BytesTotal: 1 << 20, BytesDone: 1 << 20},
		Merge:   mr.MergeStatus{Cached: 3, Run: 1},
		Bytes:   mr.Bytes{Input: 1 << 30, Read: 1 << 26, Intermediate: 1 << 22, Output: 1 << 21},
		Seconds: mr.Seconds{Elapsed: 2.5, Plan: 0.25, Map: 1.5, Reduce: 0.5, Commit: 0.125, Read: 0.375, Sort: 0.75, Merge: 0.0625, Output: 0.1875},
		Counters: mr.Counters{
			{Group: "app", Name: "malformed", Value: 3}, {Group: "mr", Name: "map_input_records", Value: 1000}, {Group: "mr", Name: "reduce_output_records", Value: 98765},
		},
	}
	if f.sys.is("fail") {
		s.State, s.Error = mr.FailedJob, "map task 3: /data/in/a.txt at byte 17: no such luck\n<stack>"
	}
	if job == otherJob && f.sys.is("running") {
		s.State, s.Phase, s.Ended = mr.Running, "map", time.Time{}
	}
	return s
}

func (f *fakeJobs) Wait(ctx context.Context, job mr.JobID, _ uint64) (mr.Status, error) {
	return f.Status(ctx, job)
}

func (f *fakeJobs) List(_ context.Context, all bool) ([]mr.Status, error) {
	if !all {
		return nil, nil
	}
	return []mr.Status{f.status(fakeJob), f.status(otherJob)}, nil
}

func (f *fakeJobs) Kill(context.Context, mr.JobID) error { return nil }

func (f *fakeJobs) Logs(context.Context, mr.JobID) ([]mr.LogLine, error) {
	return []mr.LogLine{
		{Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), Text: "submitted"},
		{Time: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), Task: "m-00003.1", Text: "hello <world>"},
	}, nil
}

func (f *fakeJobs) Explain(_ context.Context, job, vs mr.JobID) (mr.Explanation, error) {
	return mr.Explanation{
		Job: job, Vs: vs,
		Rows: []mr.ExplainRow{
			{Phase: "map", State: mr.Cached, Reason: "same as before", Tasks: 15, Examples: []string{"/data/in/a.txt@[0,67108864)"}},
			{Phase: "map", State: mr.Succeeded, Reason: "input changed", Tasks: 1, Examples: []string{"/data/in/b.txt@[0,100)"}},
		},
		Keys: []mr.KeyComponent{{Name: "job", Value: "wordcount", Earlier: "wordcount"}, {Name: "split", Value: "aa", Earlier: "bb", Differs: true}},
	}, nil
}

// DryRun answers with the spec as it arrived.
func (f *fakeJobs) DryRun(_ context.Context, spec mr.Spec) (mr.Explanation, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return mr.Explanation{}, err
	}
	return mr.Explanation{Rows: []mr.ExplainRow{{Reason: string(text)}}}, nil
}

func (f *fakeJobs) Lineage(_ context.Context, output string, part int) (mr.Lineage, error) {
	l := mr.Lineage{Job: fakeJob, Output: output}
	maps := []string{"m-00000", "m-00001"}
	if part <= 0 {
		l.Nodes = append(l.Nodes, mr.LineageNode{ID: "part-r-00000", Kind: "part", Digest: "0123456789abcdef", From: []string{"r-00000"}})
	}
	if part < 0 {
		l.Nodes = append(l.Nodes, mr.LineageNode{ID: "part-r-00001", Kind: "part", From: []string{"r-00001"}})
	}
	l.Nodes = append(l.Nodes,
		mr.LineageNode{ID: "r-00000", Kind: "reduce", State: mr.Succeeded, Job: fakeJob, CPU: 0.5, From: maps},
		mr.LineageNode{ID: "r-00001", Kind: "reduce", State: mr.Succeeded, Job: fakeJob, From: maps},
		mr.LineageNode{ID: "m-00000", Kind: "map", State: mr.Cached, Job: otherJob, Code: "builtin wordcount", From: []string{"/data/in/a.txt@[0,100)"}},
		mr.LineageNode{ID: "m-00001", Kind: "map", State: mr.Succeeded, Job: fakeJob, From: []string{"/data/in/b.txt@[0,100)"}},
		mr.LineageNode{ID: "/data/in/a.txt@[0,100)", Kind: "input"}, mr.LineageNode{ID: "/data/in/b.txt@[0,100)", Kind: "input"})
	return l, nil
}

func (f *fakeJobs) Impact(_ context.Context, file string) ([]mr.Status, error) {
	if !strings.HasSuffix(file, "/in/a.txt") {
		return nil, nil
	}
	return []mr.Status{f.status(fakeJob)}, nil
}

func (f *fakeJobs) CacheStats(context.Context) (mr.CacheStats, error) {
	return mr.CacheStats{Outputs: 20, Runs: 16, RunBytes: 1 << 22, CatalogBytes: 1 << 20, VolumeBytes: 1 << 24, Volumes: 1, Hits: 15, Misses: 5, SavedSeconds: 12.5}, nil
}

func (n fakeNode) ImportBinary(path string) (mr.Code, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return mr.Code{}, mr.Errorf(mr.Usage, "job binary: %w", err)
	}
	return mr.Code{Kind: mr.Binary, Path: path, Digest: sha256.Sum256(data)}, nil
}
