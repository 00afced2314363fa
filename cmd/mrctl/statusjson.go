package main

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	mr "github.com/mrd-io/mr"
)

// statusJSON is the object that --json prints for a job. Scripts read it: fields are only ever added,
// each object's new ones at its end, and the golden test holds them.
type statusJSON struct {
	Job      mr.JobID                    `json:"job"`
	State    mr.State                    `json:"state"`
	Output   string                      `json:"output"`
	Error    string                      `json:"error"`
	Map      phaseJSON                   `json:"map"`
	Reduce   phaseJSON                   `json:"reduce"`
	Bytes    bytesJSON                   `json:"bytes"`
	Seconds  secondsJSON                 `json:"seconds"`
	Counters map[string]map[string]int64 `json:"counters"`

	Name      string    `json:"name"`
	Phase     string    `json:"phase"`
	Submitted string    `json:"submitted,omitempty"`
	Started   string    `json:"started,omitempty"`
	Ended     string    `json:"ended,omitempty"`
	Warnings  []string  `json:"warnings"`
	Merge     mergeJSON `json:"merge"`
}

type phaseJSON struct {
	Tasks       int `json:"tasks"`
	Cached      int `json:"cached"`
	Run         int `json:"run"`
	Attempts    int `json:"attempts"`
	Failed      int `json:"failed"`
	Recomputed  int `json:"recomputed"`
	Speculative int `json:"speculative"`
}

// mergeJSON counts the inner nodes of merge trees, and earlier parts that others were made of:
// read from the store, and kept there.
type mergeJSON struct {
	Nodes  int `json:"nodes"`
	Cached int `json:"cached"`
	Run    int `json:"run"`
}

type bytesJSON struct {
	Input        int64 `json:"input"`
	Read         int64 `json:"read"`
	Intermediate int64 `json:"intermediate"`
	Output       int64 `json:"output"`
}

type secondsJSON struct {
	Elapsed float64 `json:"elapsed"`
	Map     float64 `json:"map"`
	Reduce  float64 `json:"reduce"`

	Plan   float64 `json:"plan"`
	Commit float64 `json:"commit"`

	Read   float64 `json:"read"`
	Sort   float64 `json:"sort"`
	Merge  float64 `json:"merge"`
	Output float64 `json:"output"`
}

func secondsToJSON(s mr.Seconds) secondsJSON {
	return secondsJSON{
		Elapsed: s.Elapsed, Map: s.Map, Reduce: s.Reduce, Plan: s.Plan, Commit: s.Commit,
		Read: s.Read, Sort: s.Sort, Merge: s.Merge, Output: s.Output,
	}
}

func toJSON(s mr.Status) statusJSON {
	return statusJSON{
		Job: s.Job, State: s.State, Output: s.Output, Error: s.Error,
		Map: phaseToJSON(s.Map), Reduce: phaseToJSON(s.Reduce),
		Bytes:    bytesJSON(s.Bytes),
		Seconds:  secondsToJSON(s.Seconds),
		Counters: countersToJSON(s.Counters),
		Name:     s.Name, Phase: s.Phase, Submitted: timeToJSON(s.Submitted), Started: timeToJSON(s.Started), Ended: timeToJSON(s.Ended),
		Warnings: append([]string{}, s.Warnings...),
		Merge:    mergeJSON{s.Merge.Cached + s.Merge.Run, s.Merge.Cached, s.Merge.Run},
	}
}

func phaseToJSON(p mr.PhaseStatus) phaseJSON {
	return phaseJSON{p.Tasks, p.Cached, p.Run, p.Attempts, p.Failed, p.Recomputed, p.Speculative}
}

// countersToJSON adds up counters whose names are the same once they are JSON: what is not UTF-8 of
// names that come from data is one character there.
func countersToJSON(cs mr.Counters) map[string]map[string]int64 {
	groups := map[string]map[string]int64{}
	for _, c := range cs {
		group, name := strings.ToValidUTF8(c.Group, "\uFFFD"), strings.ToValidUTF8(c.Name, "\uFFFD")
		if groups[group] == nil {
			groups[group] = map[string]int64{}
		}
		groups[group][name] += c.Value
	}
	return groups
}

func timeToJSON(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// printJSON writes v as one object on one line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // for people and scripts, not for web pages: paths stay as they are
	return writeError(e.Encode(v))
}

// writeError says what a failed write to stdout means.
func writeError(err error) error {
	if err == nil {
		return nil
	}
	return mr.Errorf(mr.Failed, "the result could not be written to standard output: %w", err)
}
