package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	mr "github.com/mrd-io/mr"
)

func TestShown(t *testing.T) {
	for s, want := range map[string]string{
		"":                    "",
		"counts/part-r-00000": "counts/part-r-00000",
		`C:\x "quoted" été 日本 👩‍👩‍👧 \n`: `C:\x "quoted" été 日本 👩‍👩‍👧 \n`,
		"a\x1b]0;title\x07b":        `a\x1b]0;title\ab`,
		"two\nlines\tand\r":         `two\nlines\tand\r`,
		"del\x7f, C1 \u009b2J":      `del\x7f, C1 \u009b2J`,
		"not UTF-8 \xff\xc3":        `not UTF-8 \xff\xc3`,
		"the rune \ufffd itself":    "the rune \ufffd itself",
		"cod\u202egnp.exe\u2069":    `cod\u202egnp.exe\u2069`,
		"line\u2028paragraph\u2029": `line\u2028paragraph\u2029`,
	} {
		if got := shown(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
	if got, want := shownText("panic:\n\tmain.go:1\x1b[2J"), "panic:\n\tmain.go:1"+`\x1b[2J`; got != want {
		t.Errorf("a text of two lines: got %q, want %q", got, want)
	}
	if got, want := shownRecord("key\t1\u009b"), `"key\t1\u009b"`; got != want {
		t.Errorf("a record: got %s, want %s", got, want)
	}
}

// TestHostileNames has each human output show a job whose every text has what a terminal obeys,
// and looks for it in what comes out.
func TestHostileNames(t *testing.T) {
	const evil = "x\x1b[2J\u202e\xff\r"
	job := mr.Status{
		Job: "job_1", Name: evil, State: mr.Succeeded, Output: "/out/" + evil + "\n", Error: evil, Warnings: []string{evil},
		Spec:     mr.Spec{Job: evil, Args: []string{evil}, Inputs: []string{evil}, Code: mr.Code{Source: "/src/" + evil}},
		Counters: mr.Counters{{Group: evil, Name: evil, Value: 1}},
	}
	node := mr.LineageNode{ID: evil, Kind: "part", Label: evil + "b", Code: evil, Attempt: evil}
	for name, print := range map[string]func(a *app){
		"status":  func(a *app) { a.out.Write([]byte(a.statusText(job, noon))) },
		"summary": func(a *app) { a.out.Write([]byte(a.summary(job))) },
		"list":    func(a *app) { a.printJobs([]mr.Status{job}, noon) },
		"workers": func(a *app) { a.printWorkers([]mr.Worker{{Name: evil, Host: evil}}, noon) },
		"explain": func(a *app) {
			a.printExplanation(mr.Explanation{Rows: []mr.ExplainRow{{Reason: evil, Examples: []string{"b" + evil}}}, Keys: []mr.KeyComponent{{Name: evil, Value: evil}}})
		},
		"lineage": func(a *app) {
			a.out.Write([]byte(a.lineageText(mr.Lineage{Output: evil, Nodes: []mr.LineageNode{node}}, true)))
		},
		"trace": func(a *app) {
			a.out.Write([]byte(a.traceText(mr.Trace{
				Output: evil, Key: evil, Notes: []string{evil},
				Tasks: []mr.TraceTask{{Split: evil}}, Records: []mr.TraceRecord{{Path: evil, Line: evil, Exact: true}},
			})))
		},
		"diff": func(a *app) {
			d := &diffJSON{Left: evil, Parts: []string{evil}, OnlyLeft: 1, Notes: []string{evil}, Keys: []diffKeyJSON{{Key: evil, Left: []string{evil}}}}
			d.Inputs.Changed = []string{evil}
			a.out.Write([]byte(a.diffText(d, true)))
		},
		"verify": func(a *app) { a.printVerify(&verifyJSON{Faults: []string{evil}}) },
		"damage": func(a *app) { a.printVerdict(mr.CacheVerdict{Damaged: []mr.DamagedRun{{Name: evil, Why: evil}}}) },
		"cache":  func(a *app) { a.out.Write([]byte(cacheText(mr.CacheReport{Pins: []mr.CachePin{{Output: evil}}}))) },
		"logs": func(a *app) {
			a.outTerminal = true
			a.printLogs("job_1", []mr.LogLine{{Text: evil}})
		},
		"say":      func(a *app) { a.say("no such file: %s", evil) },
		"note":     func(a *app) { writeNote(a.err, evil) },
		"warnings": func(a *app) { slog.New(warnings{w: a.err}).Warn("can't read", "file", evil) },
		"skipped":  func(a *app) { a.report(mr.Status{State: mr.Succeeded, Warnings: []string{"SKIPPED " + evil}}) },
	} {
		var b bytes.Buffer
		print(&app{out: &b, err: &notes{w: &b}, env: func(string) string { return "dumb" }})
		if s := b.String(); !strings.Contains(s, `x\x1b[2J\u202e\xff\r`) || strings.ContainsAny(s, "\x1b\u202e\r") || strings.Contains(s, "\xff") {
			t.Errorf("%s: %q", name, s)
		}
	}
}

// TestExactForPrograms: what programs read is not escaped a second time, or at all.
func TestExactForPrograms(t *testing.T) {
	var b bytes.Buffer
	a := &app{out: &b, err: &notes{w: &b}, env: func(string) string { return "" }}
	const odd = "x\x1b[2J\u202e\n"
	if err := a.printLogs("job_1", []mr.LogLine{{Text: odd}}); err != nil || !strings.Contains(b.String(), odd) {
		t.Errorf("logs in a pipe: %q, %v", b.String(), err)
	}
	b.Reset()
	a.json, a.outTerminal = true, true
	var list struct{ Jobs []struct{ Output string } }
	if err := a.printJobs([]mr.Status{{Output: odd}}, noon); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &list); err != nil || list.Jobs[0].Output != odd {
		t.Errorf("--json: %q, %v", b.String(), err)
	}
}

// broken is an output that takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no room") }

// Help that nobody can read is an error, as any other result.
func TestHelpWithoutRoom(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"run", "--help"}, {"help", "run"}} {
		var said bytes.Buffer
		a := &app{system: realSystem{}, out: broken{}, err: &notes{w: &said}, env: func(string) string { return "" }}
		if status := a.main(t.Context(), args); status != 1 || !strings.Contains(said.String(), "no room") {
			t.Errorf("%q: status %d, %s", args, status, &said)
		}
	}
}
