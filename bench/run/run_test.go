package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestLinesDigest(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	g := newDigester()
	digest := func(edit func([]byte) []byte, paths ...string) string {
		s, err := g.lines(edit, paths...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := digest(nil, file("a", "x\t2\ny z\t1\nx\t2\n"))
	if got := digest(nil, file("b1", "y z\t1\n"), file("b2", "x\t2\nx\t2\n")); got != want {
		t.Errorf("other order, other files: %s, want %s", got, want)
	}
	if got := digest(uniqLine, file("c", "      2 x\n      2 x\n      1 y z\n")); got != want {
		t.Errorf("from uniq -c: %s, want %s", got, want)
	}
	for name, text := range map[string]string{"one less": "x\t2\ny z\t1\n", "another": "x\t2\ny z\t1\nx\t3\n", "twice the other": "x\t2\ny z\t1\ny z\t1\n"} {
		if digest(nil, file("d", text)) == want {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

// The real mrctl, on inputs of some KB: that the harness understands it, and that all answers are equal.
func TestSmallRun(t *testing.T) {
	var out, log bytes.Buffer
	err := run(t.Context(), []string{"--only", "wordcount,sort,grep,reducers,tasks", "--size", "300kB", "--tasks", "20", "--rounds", "1", "--temp", t.TempDir()}, &out, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	for _, want := range []string{"ceiling", "20 tasks that do nothing", "0 maps; reduce alone", "GNU sort"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "failed") {
		t.Errorf("%s\n%s", out.String(), log.String())
	}
}

// A rival whose answer differs, one that fails and one that is missing have no time; the others go on.
func TestContest(t *testing.T) {
	var log bytes.Buffer
	l := &lab{dir: t.TempDir(), log: &log, tools: toolbox{"there": "1.0"}}
	count := 0
	say := func(name, needs, script string) contestant {
		return contestant{name: name, needs: needs, command: func(string) command {
			count++
			return shell(script)
		}, answer: func(_ string, s sample) (string, error) { return strings.TrimSpace(string(s.stdout)), nil }}
	}
	rs, err := l.contest(t.Context(), 3, say("ours", "", "echo 5"), say("equal", "there", "sleep 0.02; echo 5"),
		say("other", "", "echo 6"), say("fails", "", "echo 5; echo oh no >&2; false | true"), say("absent", "there nowhere", "echo 5"))
	if err != nil {
		t.Fatal(err)
	}
	if len(rs[0].series) != 3 || len(rs[1].series) != 3 || rs[1].series.seconds() < 0.02 || count != 3+3+1+1 {
		t.Errorf("series of %d and %d runs, %d commands made", len(rs[0].series), len(rs[1].series), count)
	}
	if rs[2].err == nil || !strings.Contains(rs[2].err.Error(), "6, not 5") || len(rs[2].series) != 0 {
		t.Errorf("a different answer: %v", rs[2].err)
	}
	if rs[3].err == nil || !strings.Contains(rs[3].err.Error(), "oh no") {
		t.Errorf("a pipeline that fails: %v", rs[3].err)
	}
	if !rs[4].missing {
		t.Error("a tool that is not there is not missing")
	}
	if _, err := l.contest(t.Context(), 1, say("ours", "", "exit 3")); err == nil {
		t.Error("ours failed, and the contest did not")
	}
}

func TestAgainst(t *testing.T) {
	timed := func(name string, seconds float64) outcome {
		return outcome{name: name, series: series{{seconds: seconds}}}
	}
	f := finding{outcomes: []outcome{timed("mr", 2), timed("slow", 7), {name: "absent", missing: true}}}
	f.against("slow", 3)
	if f.reached != yes || f.ratios[0] != "3.50 × slow" {
		t.Errorf("%v %v", f.reached, f.ratios)
	}
	f.against("absent", 3)
	if f.reached != unknown {
		t.Errorf("with a rival missing: %v", f.reached)
	}
	f.reached = yes
	f.against("slow", 4)
	f.against("absent", 3)
	if f.reached != no {
		t.Errorf("an aim missed: %v", f.reached)
	}
}

func TestMeasureInterrupted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := shell("sleep 20 | cat").measure(ctx); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--only", "nonsense"}, {"--rounds", "0"}, {"extra"}, {"--growth", "1,x"}, {"--size", "12 apples"}} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, &out, &errs); err == nil || out.Len() > 0 {
			t.Errorf("%v: %v, %q", args, err, out.String())
		}
	}
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"--list"}, &out, &errs); err != nil || strings.Count(out.String(), "\n") != len(allRows()) {
		t.Errorf("--list: %v\n%s", err, out.String())
	}
}

// A row that does not fit on the disk is refused before anything is made.
func TestRoom(t *testing.T) {
	s, _, err := parse([]string{"--scale", "1000000"}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRoom(t.TempDir(), allRows(), s); err == nil || !strings.Contains(err.Error(), "--temp") {
		t.Errorf("petabytes: %v", err)
	}
}

func TestReport(t *testing.T) {
	rows, err := choose("grep")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{settings: settings{size: 1e9}, root: ".", tools: toolbox{}}
	f := finding{bytes: 1e9, outcomes: []outcome{
		{name: "mr", series: series{{seconds: 0.5, peak: 3 << 20}}, command: "mrctl run"},
		{name: "GNU grep -c", missing: true}, {name: "ripgrep -c", err: errors.New("broken | pipe")}}}
	var out strings.Builder
	if err := l.report(t.Context(), &out, []entry{{rows[0], f, nil}, {rows[0], finding{}, errors.New("disk\nfull")}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| grep, literal, 1 GB, warm | 0.500 s, 2000 MB/s, 3 MiB |  | ≥ 0.7 × GNU grep -c | – |",
		"| grep, literal, 1 GB, warm | failed: disk full | | ≥ 0.7 × GNU grep -c | no |",
		"| grep | GNU grep -c | not installed |", `failed: broken \| pipe`, "- grep, mr: `` mrctl run ``",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
