package rpcsvc

import (
	"errors"
	"time"

	"github.com/mrd-io/mr"
)

// Conversions between mr's types and the wire's. Each field is named once in each
// direction; TestConvertKeepsEverything fails when a field of mr's is forgotten.

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func each[A, B any](in []A, f func(A) B) []B {
	if in == nil {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

var codeKinds = [...]string{mr.Builtin: "builtin", mr.Binary: "binary"}

func specToWire(s mr.Spec) Spec {
	kind := ""
	if int(s.Code.Kind) < len(codeKinds) {
		kind = codeKinds[s.Code.Kind]
	}
	return Spec{
		Job: s.Job,
		Code: Code{
			Kind: kind, Path: s.Code.Path, Digest: hexOf(s.Code.Digest), Source: s.Code.Source,
			MapPath: s.Code.MapPath, MapDigest: hexOf(s.Code.MapDigest),
		},
		Args: s.Args, Inputs: s.Inputs, Output: s.Output,
		InputFormat: s.InputFormat.String(), OutputFormat: s.OutputFormat,
		Reducers: s.Reducers, SplitSize: s.SplitSize, RecordLimit: s.RecordLimit,
		Overwrite: s.Overwrite, NoCache: s.NoCache, Chunking: s.Chunking, Verify: s.Verify, SkipBadRecords: s.SkipBadRecords,
		Incremental: s.Incremental, NoSpeculation: s.NoSpeculation, Env: s.Env,
	}
}

// hexOf writes a digest, and nothing for one that is not known.
func hexOf(d mr.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

func setDigest(d *mr.Digest, hex string) error {
	if hex == "" {
		return nil
	}
	return d.UnmarshalText([]byte(hex))
}

func specFromWire(w Spec) (mr.Spec, error) {
	s := mr.Spec{
		Job:  w.Job,
		Code: mr.Code{Path: w.Code.Path, Source: w.Code.Source, MapPath: w.Code.MapPath},
		Args: w.Args, Inputs: w.Inputs, Output: w.Output, OutputFormat: w.OutputFormat,
		Reducers: w.Reducers, SplitSize: w.SplitSize, RecordLimit: w.RecordLimit,
		Overwrite: w.Overwrite, NoCache: w.NoCache, Chunking: w.Chunking, Verify: w.Verify, SkipBadRecords: w.SkipBadRecords,
		Incremental: w.Incremental, NoSpeculation: w.NoSpeculation, Env: w.Env,
	}
	switch w.Code.Kind {
	case "", codeKinds[mr.Builtin]:
		s.Code.Kind = mr.Builtin
	case codeKinds[mr.Binary]:
		s.Code.Kind = mr.Binary
	default:
		return s, mr.Errorf(mr.Usage, "spec: code kind %q is not known; use builtin or binary", w.Code.Kind)
	}
	err := errors.Join(setDigest(&s.Code.Digest, w.Code.Digest), setDigest(&s.Code.MapDigest, w.Code.MapDigest))
	if err != nil {
		return s, mr.Errorf(mr.Usage, "spec: code digest: %w", err)
	}
	s.InputFormat, err = mr.ParseFormat(w.InputFormat)
	return s, err
}

func counterToWire(c mr.Counter) Counter   { return Counter(c) }
func counterFromWire(c Counter) mr.Counter { return mr.Counter(c) }

func countersToWire(c mr.Counters) []Counter { return each(c, counterToWire) }

func statusToWire(s mr.Status) Status {
	return Status{
		Job: string(s.Job), Name: s.Name, Spec: specToWire(s.Spec), State: string(s.State), Phase: s.Phase,
		Output: s.Output, Error: s.Error,
		Submitted: nanos(s.Submitted), Started: nanos(s.Started), Ended: nanos(s.Ended),
		Map: Phase(s.Map), Reduce: Phase(s.Reduce), Merge: Merge(s.Merge),
		Bytes:    Bytes(s.Bytes),
		Seconds:  Seconds(s.Seconds),
		Counters: countersToWire(s.Counters), Warnings: s.Warnings, Version: s.Version,
		SubmitID: string(s.Submit), MapOnly: s.MapOnly,
	}
}

// statusFromWire keeps a status whose spec it cannot read whole, without the part it
// can't: a newer daemon may know formats that this client doesn't.
func statusFromWire(w Status) mr.Status {
	spec, _ := specFromWire(w.Spec)
	return mr.Status{
		Job: mr.JobID(w.Job), Name: w.Name, Spec: spec, State: mr.State(w.State), Phase: w.Phase,
		Output: w.Output, Error: w.Error,
		Submitted: moment(w.Submitted), Started: moment(w.Started), Ended: moment(w.Ended),
		Map: mr.PhaseStatus(w.Map), Reduce: mr.PhaseStatus(w.Reduce), Merge: mr.MergeStatus(w.Merge),
		Bytes:    mr.Bytes(w.Bytes),
		Seconds:  mr.Seconds(w.Seconds),
		Counters: each(w.Counters, counterFromWire), Warnings: w.Warnings, Version: w.Version,
		Submit: mr.SubmitID(w.SubmitID), MapOnly: w.MapOnly,
	}
}

func logToWire(l mr.LogLine) LogLine {
	return LogLine{Time: nanos(l.Time), Task: l.Task, Text: l.Text}
}

func logFromWire(w LogLine) mr.LogLine {
	return mr.LogLine{Time: moment(w.Time), Task: w.Task, Text: w.Text}
}

func explanationToWire(e mr.Explanation) ExplainReply {
	return ExplainReply{
		Job: string(e.Job), Vs: string(e.Vs),
		Rows: each(e.Rows, func(r mr.ExplainRow) ExplainRow {
			return ExplainRow{Phase: r.Phase, State: string(r.State), Reason: r.Reason, Tasks: r.Tasks, Examples: r.Examples}
		}),
		Keys:  each(e.Keys, func(k mr.KeyComponent) KeyComponent { return KeyComponent(k) }),
		Notes: e.Notes,
	}
}

func explanationFromWire(w ExplainReply) mr.Explanation {
	return mr.Explanation{
		Job: mr.JobID(w.Job), Vs: mr.JobID(w.Vs),
		Rows: each(w.Rows, func(r ExplainRow) mr.ExplainRow {
			return mr.ExplainRow{Phase: r.Phase, State: mr.State(r.State), Reason: r.Reason, Tasks: r.Tasks, Examples: r.Examples}
		}),
		Keys:  each(w.Keys, func(k KeyComponent) mr.KeyComponent { return mr.KeyComponent(k) }),
		Notes: w.Notes,
	}
}

func lineageToWire(l mr.Lineage) LineageReply {
	return LineageReply{Job: string(l.Job), Output: l.Output, Nodes: each(l.Nodes, func(n mr.LineageNode) LineageNode {
		return LineageNode{
			ID: n.ID, Kind: n.Kind, Label: n.Label, Digest: n.Digest, State: string(n.State), Job: string(n.Job),
			Code: n.Code, CPU: n.CPU, From: n.From, Attempt: n.Attempt,
		}
	})}
}

func lineageFromWire(w LineageReply) mr.Lineage {
	return mr.Lineage{Job: mr.JobID(w.Job), Output: w.Output, Nodes: each(w.Nodes, func(n LineageNode) mr.LineageNode {
		return mr.LineageNode{
			ID: n.ID, Kind: n.Kind, Label: n.Label, Digest: n.Digest, State: mr.State(n.State), Job: mr.JobID(n.Job),
			Code: n.Code, CPU: n.CPU, From: n.From, Attempt: n.Attempt,
		}
	})}
}
