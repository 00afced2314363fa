package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	mr "github.com/mrd-io/mr"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// mapping is a job in its map phase, done bytes of a gigabyte into it.
func mapping(done int64) mr.Status {
	return mr.Status{
		State: mr.Running, Phase: "map", Submitted: noon.Add(-time.Second),
		Map: mr.PhaseStatus{Tasks: 64, Cached: 15, Run: 25, Running: 2, BytesTotal: 1e9, BytesDone: done},
	}
}

func TestMeterRate(t *testing.T) {
	var m meter
	m.add(mapping(400e6), noon) // from cache, before the clock ran: no rate can be had from it
	if v := m.view(noon); v.rate != 0 || v.left != 0 || v.fraction != 0.4 || v.elapsed != time.Second {
		t.Fatalf("after one status: %+v", v)
	}
	for i := range 20 {
		m.add(mapping(400e6+int64(i)*10e6), noon.Add(time.Duration(i)*time.Second))
	}
	v := m.view(noon.Add(19 * time.Second))
	if v.rate < 9.9e6 || v.rate > 10.1e6 || v.left.Round(time.Second) != 41*time.Second {
		t.Errorf("at a steady 10 MB/s: %v bytes/s, %v left", v.rate, v.left)
	}
	if slow := m.view(noon.Add(60 * time.Second)); slow.rate >= v.rate/3 {
		t.Errorf("standing still for 40 s: still %v bytes/s", slow.rate)
	}
	m.add(mr.Status{Phase: "reduce", Reduce: mr.PhaseStatus{Tasks: 4, Run: 1, BytesTotal: 100, BytesDone: 25}}, noon.Add(61*time.Second))
	if v := m.view(noon.Add(61 * time.Second)); v.phase != "reduce" || v.rate != 0 || v.fraction != 0.25 || v.tasks != 4 {
		t.Errorf("in a new phase: %+v", v)
	}
}

func TestLineWords(t *testing.T) {
	var m meter
	m.add(mapping(400e6), noon)
	m.add(mapping(500e6), noon.Add(2*time.Second))
	if got, want := m.view(noon.Add(2*time.Second)).line(), "map 50%, 40 of 64 tasks (15 cached), 500 MB of 1.0 GB, 50 MB/s, 10 s left"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := (view{phase: "planning", fraction: -1}).line(), "planning"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBarLine(t *testing.T) {
	v := view{phase: "map", fraction: 0.625, tasks: 64, done: 40, cached: 16, bytesDone: 625e6, bytes: 1e9, rate: 50e6, left: 7500 * time.Millisecond}
	for width, want := range map[int]string{
		120: "map      [##################----------]  62%  40 of 64 tasks (16 cached)  625 MB of 1.0 GB  50 MB/s  7.5 s left",
		80:  "map      [############------]  62%  40 of 64 tasks (16 cached)  7.5 s left",
		60:  "map      [#########----]  62%  50 MB/s  7.5 s left",
		40:  "map      [######--]  62%  7.5 s left",
		24:  "map      [######--]  62%",
		12:  "map  62%",
		5:   "map  ",
		0:   "",
		-1:  "",
	} {
		got := barLine(v, width, false)
		if got != want {
			t.Errorf("width %d:\ngot  %q\nwant %q", width, got, want)
		}
	}
	for width := range 200 {
		if got := barLine(v, width, false); utf8.RuneCountInString(got) > width {
			t.Errorf("width %d: %q is wider", width, got)
		}
	}
	coloured := barLine(v, 200, true)
	if n := strings.Count(coloured, "━"); n != barMost {
		t.Errorf("the coloured bar has %d columns, want %d: %q", n, barMost, coloured)
	}
	if got, want := barLine(view{phase: "planning", fraction: -1, elapsed: 3 * time.Second}, 80, true), "planning 3.0 s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		3 * time.Millisecond: "3 ms", 2500 * time.Millisecond: "2.5 s", 42 * time.Second: "42 s", 62 * time.Second: "1m 02s",
		3*time.Hour + 4*time.Minute: "3h 04m", 100 * time.Hour: "4 days",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"run", "submit", "status", "wait", "list"}
	for word, want := range map[string]string{"rnu": "run", "stauts": "status", "lst": "list", "subm": "submit", "xylophone": "", "": ""} {
		got := didYouMean(word, names)
		if want != "" {
			want = " (did you mean " + want + "?)"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestSummaryTellsOfMerges(t *testing.T) {
	for want, m := range map[string]mr.MergeStatus{
		"": {}, "1 merge from cache": {Cached: 1}, "3 kept": {Run: 3}, "2 merges from cache, 1 kept": {Cached: 2, Run: 1},
	} {
		if got := mergeWords(m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}

// The reduce tasks of a map-only job write its parts, and reduce and count nothing.
func TestSummaryOfAMapOnlyJob(t *testing.T) {
	a := app{dir: "/", env: func(string) string { return "" }}
	s := mr.Status{
		Map: mr.PhaseStatus{Tasks: 3, Run: 3}, Reduce: mr.PhaseStatus{Tasks: 3, Run: 3}, Bytes: mr.Bytes{Output: 2000},
		Counters: mr.Counters{{Group: "mr", Name: "map_input_records", Value: 8}, {Group: "mr", Name: "map_output_records", Value: 7}},
	}
	if got := a.summary(s); !strings.Contains(got, "output   3 parts · 7 records · 2.0 kB\n") {
		t.Errorf("got\n%s", got)
	}
	s.MapOnly, s.Phase = true, "reduce"
	var m meter
	m.add(s, noon)
	for _, got := range []string{a.summary(s), a.statusText(s, noon), m.view(noon).line()} {
		if strings.Contains(got, "reduce") || !strings.Contains(got, "write") {
			t.Errorf("got\n%s", got)
		}
	}
}

// What goes to stderr is coloured where that is a terminal, whatever stdout is.
func TestColourOfWarnings(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var stderr bytes.Buffer
		a := app{err: &notes{w: &stderr}, errTerminal: terminal, outTerminal: !terminal, env: func(string) string { return "" }}
		if a.tell(yellow, "SKIPPED"); strings.Contains(stderr.String(), yellow) != terminal {
			t.Errorf("stderr is a terminal: %v: %q", terminal, &stderr)
		}
	}
}

// Of a job that failed, the last attempt was not tried again.
func TestFailedAttemptsAreOnlyCounted(t *testing.T) {
	if got, want := phaseWords(mr.PhaseStatus{Tasks: 1, Attempts: 1, Failed: 1}), "1 task, 0 run, 1 attempt failed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := phaseWords(mr.PhaseStatus{Tasks: 4, Cached: 1, Run: 3, Failed: 2, Recomputed: 1}), "4 tasks, 1 cached, 3 run, 2 attempts failed, 1 recomputed"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Names that JSON shows alike are counted together, and those that it can show stand for themselves.
func TestCountersOfOddNamesAddUp(t *testing.T) {
	got := countersToJSON(mr.Counters{
		{Group: "g", Name: "\ufffd", Value: 1}, {Group: "g", Name: "\xfe", Value: 2}, {Group: "g", Name: "a\n\x00", Value: 4},
		{Group: "\xfe", Name: "n", Value: 8}, {Group: "\xff", Name: "n", Value: 16},
	})
	if len(got) != 2 || got["g"]["\ufffd"] != 3 || got["g"]["a\n\x00"] != 4 || got["\ufffd"]["n"] != 24 {
		t.Errorf("got %v", got)
	}
}
