package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	mr "github.com/mrd-io/mr"
)

type traceJSON struct {
	Job     mr.JobID          `json:"job"`
	Output  string            `json:"output"`
	Key     string            `json:"key"`
	Part    string            `json:"part"`
	Tasks   []traceTaskJSON   `json:"tasks"`
	Records []traceRecordJSON `json:"records"`
	More    bool              `json:"more"`
	Notes   []string          `json:"notes"`
}

type traceTaskJSON struct {
	Task    string   `json:"task"`
	Split   string   `json:"split"`
	State   mr.State `json:"state"`
	Job     mr.JobID `json:"job"`
	Records int64    `json:"records"`
}

type traceRecordJSON struct {
	Task   string `json:"task"`
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Line   string `json:"line"`
	Exact  bool   `json:"exact"`
}

// tracer is the session's engine as one that executes tasks again.
func (s *session) tracer() (mr.Tracer, error) {
	if t, ok := s.Jobs.(mr.Tracer); ok {
		return t, nil
	}
	return nil, mr.Errorf(mr.Usage, "the engine at %s does not execute tasks again; restart it with the present mrd", orElse(s.daemon, "hand"))
}

// traceKey prints where one key of an output comes from.
func (a *app) traceKey(ctx context.Context, req mr.TraceRequest) error {
	return a.with(ctx, toChange, nodeOptions{Idle: true}, func(s *session) error {
		tracer, err := s.tracer()
		if err != nil {
			return err
		}
		t, err := tracer.TraceKey(ctx, req)
		if err != nil {
			return err
		}
		if a.json {
			return printJSON(a.out, traceToJSON(t))
		}
		_, err = io.WriteString(a.out, a.traceText(t))
		return writeError(err)
	})
}

func traceToJSON(t mr.Trace) traceJSON {
	out := traceJSON{
		Job: t.Job, Output: t.Output, Key: t.Key, Part: t.Part, More: t.More,
		Tasks: []traceTaskJSON{}, Records: []traceRecordJSON{}, Notes: append([]string{}, t.Notes...),
	}
	for _, k := range t.Tasks {
		out.Tasks = append(out.Tasks, traceTaskJSON(k))
	}
	for _, r := range t.Records {
		out.Records = append(out.Records, traceRecordJSON(r))
	}
	return out
}

func (a *app) traceText(t mr.Trace) string {
	var b strings.Builder
	where := a.relative(t.Output)
	if t.Part != "" {
		where += "/" + t.Part
	}
	fmt.Fprintf(&b, "key %s in %s, made by %s\n\n", a.painted(bold, strconv.Quote(t.Key)), shown(where), t.Job)
	for _, k := range t.Tasks {
		words := []string{k.Task, a.painted(stateColour(k.State), string(k.State))}
		if k.Job != "" && k.Job != t.Job {
			words = append(words, "of "+string(k.Job))
		}
		if k.State == mr.Lost {
			words = append(words, "its output is not in the store")
		} else {
			words = append(words, plural(int(k.Records), "record")+" with the key")
		}
		fmt.Fprintf(&b, "%s  from %s\n", strings.Join(words, "  "), shown(k.Split))
	}
	b.WriteString("\n")
	for _, r := range t.Records {
		fmt.Fprintf(&b, "%s:%d: %s\n", a.painted(cyan, shown(a.relative(r.Path))), r.Offset, printable(r))
	}
	if t.More {
		fmt.Fprintf(&b, "and more; --most N shows up to N\n")
	}
	for _, n := range t.Notes {
		fmt.Fprintf(&b, "note: %s\n", shownText(n))
	}
	return b.String()
}

// printable is a record on one line.
func printable(r mr.TraceRecord) string {
	if !r.Exact {
		return fmt.Sprintf("(%s bytes that emit the key together)", comma(r.Length))
	}
	const most = 300
	line := strings.TrimRight(r.Line, "\r\n")
	cut := int64(len(r.Line)) < r.Length
	if len(line) > most {
		line, cut = strings.ToValidUTF8(line[:most], ""), true
	}
	line = shownRecord(line)
	if cut {
		line += "…"
	}
	return line
}
