package engine

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// Transcripts are conversations with the core as text: an event a line, and below it,
// indented and marked >, the actions that it answers with. The simulation prints them,
// and testdata holds those of the main stories. In events:
//
//	add JOB [private] [resumed]
//	planned JOB [resumed] [cut] TASK... [/ TASK...]      maps / reduces
//	unplannable JOB "why"
//	worker W SLOTS · gone W · tick · at 2.5s             time since the beginning
//	identified ATTEMPT KEY · lookup a.m0 ATTEMPT miss · lookup a.m0 ATTEMPT hit RUN OUT
//	done ATTEMPT KEY RUN OUT [cached]
//	failed ATTEMPT KIND "why" [lost RUN,RUN] [copy] [changed]
//	cut JOB TASK... · cut JOB lost RUN,RUN · cut JOB failed "why"
//	committed JOB ["why not"] · kill JOB · finished JOB
//
// TASK is KEY, or KEY=RUN:OUT of a done one, with a * if that was a hit, and ~N for its
// failures so far. KEY, RUN and OUT are k1, r1, d1 or - for none; ATTEMPT is EPOCH.N.

var update = flag.Bool("update", false, "write the golden transcripts anew")

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("the stories are missing: %v, %v", files, err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got, err := replay(string(b))
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(b) {
				t.Errorf("%s: the core answers otherwise (-update accepts):\n%s", f, got)
			}
		})
	}
}

// replay feeds a transcript's events to a core and returns it with the core's answers.
func replay(text string) (string, error) {
	c, now := newCore(1), epochStart
	c.speculate = true
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "  > "):
			continue
		case len(words) == 0, words[0] == "#":
			b.WriteString(line + "\n")
			continue
		}
		b.WriteString(line + "\n")
		if words[0] == "at" {
			d, err := time.ParseDuration(words[1])
			if err != nil {
				return "", err
			}
			now = epochStart.Add(d)
			continue
		}
		if words[0] == "crash" {
			c = newCore(c.epoch + 1)
			c.speculate = true
			continue
		}
		ev, err := parseEvent(line)
		if err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		for _, a := range c.step(ev, now) {
			b.WriteString("  > " + formatAction(a) + "\n")
		}
		if err := audit(c); err != nil {
			return "", fmt.Errorf("after %q: %w", line, err)
		}
	}
	return b.String(), nil
}

var epochStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// name makes the digest that transcripts call by a letter and a number.
func name(letter byte, n uint64) (d mr.Digest) {
	d[0] = letter
	binary.BigEndian.PutUint64(d[1:], n)
	return d
}

func formatDigest(d mr.Digest) string {
	if d.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%c%d", d[0], binary.BigEndian.Uint64(d[1:]))
}

func formatTask(id taskID) string {
	return fmt.Sprintf("%s.%s%d", id.job, id.kind.Letter(), id.index)
}

func formatPlanned(p planned) string {
	s := formatDigest(p.key)
	if p.done {
		s += fmt.Sprintf("=r%d:%s", p.run, formatDigest(p.out))
	}
	if p.cached {
		s += "*"
	}
	if p.failures > 0 {
		s += fmt.Sprintf("~%d", p.failures)
	}
	return s
}

func formatAttempt(a plan.Attempt) string {
	if a == 0 {
		return "-"
	}
	return a.String()
}

var failureNames = map[plan.FailureKind]string{
	plan.UserError: "user", plan.BadInput: "input", plan.LostRun: "lostrun",
	plan.NoSpace: "space", plan.Cancelled: "cancelled",
}

func when(b bool, s string) string {
	if b {
		return " " + s
	}
	return ""
}

func formatEvent(ev event) string {
	switch e := ev.(type) {
	case evAdd:
		return fmt.Sprintf("add %s", e.job) + when(!e.share, "private") + when(e.resumed, "resumed")
	case evPlanned:
		s := fmt.Sprintf("planned %s", e.job) + when(e.resumed, "resumed") + when(e.cut, "cut")
		for _, p := range e.maps {
			s += " " + formatPlanned(p)
		}
		s += when(len(e.reduces) > 0, "/")
		for _, p := range e.reduces {
			s += " " + formatPlanned(p)
		}
		return s
	case evPlanFailed:
		return fmt.Sprintf("unplannable %s %q", e.job, e.err)
	case evWorker:
		return fmt.Sprintf("worker %d %d", e.worker, e.slots)
	case evJoined:
		return fmt.Sprintf("joined %d %d %s %s", e.worker, e.slots, e.name, e.lease)
	case evBeat:
		return fmt.Sprintf("beat %d", e.worker)
	case evWorkerGone:
		return fmt.Sprintf("gone %d", e.worker)
	case evIdentified:
		return fmt.Sprintf("identified %s %s", e.attempt, formatDigest(e.key))
	case evLookup:
		if !e.hit {
			return fmt.Sprintf("lookup %s %s miss", formatTask(e.task), formatAttempt(e.attempt))
		}
		return fmt.Sprintf("lookup %s %s hit r%d %s", formatTask(e.task), formatAttempt(e.attempt), e.run, formatDigest(e.out))
	case evDone:
		return fmt.Sprintf("done %s %s r%d %s", e.attempt, formatDigest(e.key), e.run, formatDigest(e.out)) + when(e.cached, "cached")
	case evFailed:
		s := fmt.Sprintf("failed %s %s %q", e.attempt, failureNames[e.kind], e.err)
		return s + when(len(e.lost) > 0, "lost "+formatRuns(e.lost)) + when(e.copy, "copy") + when(e.changed, "changed")
	case evCut:
		switch {
		case e.err != "":
			return fmt.Sprintf("cut %s failed %q", e.job, e.err)
		case len(e.lost) > 0:
			return fmt.Sprintf("cut %s lost %s", e.job, formatRuns(e.lost))
		}
		s := fmt.Sprintf("cut %s", e.job)
		for _, p := range e.reduces {
			s += " " + formatPlanned(p)
		}
		return s
	case evCommitted:
		return fmt.Sprintf("committed %s", e.job) + when(e.err != "", strconv.Quote(e.err))
	case evKill:
		return fmt.Sprintf("kill %s", e.job)
	case evFinished:
		return fmt.Sprintf("finished %s", e.job)
	case evTick:
		return "tick"
	}
	return fmt.Sprintf("%#v", ev)
}

func formatRuns(runs []uint64) string {
	var s []string
	for _, r := range runs {
		s = append(s, fmt.Sprintf("r%d", r))
	}
	return strings.Join(s, ",")
}

func formatAction(a action) string {
	switch a := a.(type) {
	case actTaskDone:
		return fmt.Sprintf("done %s %s", formatTask(a.task), formatAttempt(a.attempt)) + when(a.cached, "cached")
	case actTaskLost:
		return fmt.Sprintf("lost %s r%d", formatTask(a.task), a.run)
	case actTaskFail:
		return fmt.Sprintf("fail %s %s", formatTask(a.task), a.attempt)
	case actTaskStart:
		return fmt.Sprintf("started %s %s", formatTask(a.task), a.attempt) + when(a.twin, "twin")
	case actJobEnd:
		return fmt.Sprintf("end %s %s", a.job, a.state) + when(a.err != "", strconv.Quote(a.err))
	case actJobPhase:
		return fmt.Sprintf("phase %s", a.job)
	case actPlan:
		return fmt.Sprintf("plan %s", a.job)
	case actLookup:
		return fmt.Sprintf("lookup %s %s %s", formatTask(a.task), formatAttempt(a.attempt), formatDigest(a.key))
	case actStart:
		return fmt.Sprintf("start %s %s on %d", formatTask(a.task), a.attempt, a.worker)
	case actProceed:
		return fmt.Sprintf("proceed %s", a.attempt)
	case actAbandon:
		return fmt.Sprintf("abandon %s", a.attempt)
	case actFence:
		return fmt.Sprintf("fence %s", a.attempt)
	case actDiscard:
		return fmt.Sprintf("discard %s", a.attempt)
	case actCut:
		return fmt.Sprintf("cut %s", a.job)
	case actCommit:
		return fmt.Sprintf("commit %s", a.job)
	case actFinish:
		return fmt.Sprintf("finish %s %s", a.job, a.state)
	}
	return fmt.Sprintf("%#v", a)
}

// scanner takes a line's words off its front. The first bad one is kept in err.
type scanner struct {
	words []string
	err   error
}

// parseEvent is the inverse of formatEvent.
func parseEvent(line string) (event, error) {
	p := &scanner{words: splitWords(line)}
	ev := p.event()
	if p.err == nil && len(p.words) > 0 {
		p.err = fmt.Errorf("%q is left over", p.words)
	}
	return ev, p.err
}

// splitWords cuts at spaces, but not within quotes.
func splitWords(line string) (words []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		word, err := strconv.QuotedPrefix(line)
		if err != nil {
			word, _, _ = strings.Cut(line, " ")
		}
		words, line = append(words, word), line[len(word):]
	}
	return words
}

func (p *scanner) event() event {
	switch verb := p.word(); verb {
	case "add":
		return evAdd{job: p.job(), share: !p.is("private"), resumed: p.is("resumed")}
	case "planned":
		e := evPlanned{job: p.job(), resumed: p.is("resumed"), cut: p.is("cut"), maps: p.tasks()}
		if p.is("/") {
			e.reduces = p.tasks()
		}
		return e
	case "unplannable":
		return evPlanFailed{p.job(), p.quoted()}
	case "worker":
		return evWorker{workerID(p.num("")), int(p.num(""))}
	case "gone":
		return evWorkerGone{workerID(p.num(""))}
	case "identified":
		return evIdentified{p.attempt(), p.digest()}
	case "lookup":
		e := evLookup{task: p.task(), attempt: p.attempt(), hit: p.word() == "hit"}
		if e.hit {
			e.run, e.out = p.num("r"), p.digest()
		}
		return e
	case "done":
		return evDone{attempt: p.attempt(), key: p.digest(), run: p.num("r"), out: p.digest(), cached: p.is("cached")}
	case "failed":
		e := evFailed{attempt: p.attempt(), kind: p.failure(), err: p.quoted()}
		if p.is("lost") {
			e.lost = p.runs()
		}
		e.copy, e.changed = p.is("copy"), p.is("changed")
		return e
	case "cut":
		e := evCut{job: p.job()}
		switch {
		case p.is("lost"):
			e.lost = p.runs()
		case p.is("failed"):
			e.err = p.quoted()
		default:
			e.reduces = p.tasks()
		}
		return e
	case "committed":
		e := evCommitted{job: p.job()}
		if len(p.words) > 0 {
			e.err = p.quoted()
		}
		return e
	case "kill":
		return evKill{job: p.job()}
	case "finished":
		return evFinished{p.job()}
	case "tick":
		return evTick{}
	default:
		p.fail("no event is called %q", verb)
		return nil
	}
}

func (p *scanner) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *scanner) word() string {
	if len(p.words) == 0 {
		p.fail("the line ends too early")
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

// is takes the next word if it is w.
func (p *scanner) is(w string) bool {
	if len(p.words) > 0 && p.words[0] == w {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *scanner) job() mr.JobID { return mr.JobID(p.word()) }

func (p *scanner) quoted() string {
	s, err := strconv.Unquote(p.word())
	if err != nil {
		p.fail("words belong in quotes")
	}
	return s
}

func (p *scanner) parseNum(s, prefix string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, prefix), 10, 64)
	if err != nil {
		p.fail("%q is not a number", s)
	}
	return n
}

func (p *scanner) num(prefix string) uint64 { return p.parseNum(p.word(), prefix) }

func (p *scanner) parseDigest(s string) mr.Digest {
	if s == "-" || s == "" {
		return mr.Digest{}
	}
	return name(s[0], p.parseNum(s[1:], ""))
}

func (p *scanner) digest() mr.Digest { return p.parseDigest(p.word()) }

func (p *scanner) attempt() plan.Attempt {
	s := p.word()
	if s == "-" {
		return 0
	}
	epoch, n, _ := strings.Cut(s, ".")
	return plan.AttemptOf(p.parseNum(epoch, ""), p.parseNum(n, ""))
}

func (p *scanner) task() taskID {
	s := p.word()
	job, rest, ok := strings.Cut(s, ".")
	if !ok || len(rest) < 2 {
		p.fail("%q is not a task", s)
		return taskID{}
	}
	id := taskID{job: mr.JobID(job), index: int(p.parseNum(rest[1:], ""))}
	if rest[0] == 'r' {
		id.kind = plan.Reduce
	}
	return id
}

func (p *scanner) runs() (runs []uint64) {
	for _, s := range strings.Split(p.word(), ",") {
		runs = append(runs, p.parseNum(s, "r"))
	}
	return runs
}

func (p *scanner) failure() plan.FailureKind {
	w := p.word()
	for k, n := range failureNames {
		if n == w {
			return k
		}
	}
	p.fail("no failure is called %q", w)
	return 0
}

func (p *scanner) tasks() (ps []planned) {
	for len(p.words) > 0 && p.words[0] != "/" {
		var t planned
		s, failures, some := strings.Cut(p.word(), "~")
		if some {
			t.failures = int(p.parseNum(failures, ""))
		}
		s, t.cached = strings.CutSuffix(s, "*")
		key, made, done := strings.Cut(s, "=")
		t.key, t.done = p.parseDigest(key), done
		if done {
			run, out, _ := strings.Cut(made, ":")
			t.run, t.out = p.parseNum(run, "r"), p.parseDigest(out)
		}
		ps = append(ps, t)
	}
	return ps
}

// TestTranscriptLanguage holds that what the simulation prints can be read back.
func TestTranscriptLanguage(t *testing.T) {
	for _, line := range []string{
		"add a", "add a private resumed",
		"planned a - k1 k2=r5:d9* k3=r6:d1~2", "planned a resumed cut k1=r1:d1 / k2 k3=r0:d7*~1",
		`unplannable a "no \"input\" there"`, "worker 1 2", "gone 1", "tick",
		"identified 1.2 k3", "lookup a.m0 - miss", "lookup a.m0 1.2 hit r3 d4",
		"done 1.2 k3 r4 d5 cached", `failed 1.2 lostrun "gone for good" lost r1,r2 copy changed`,
		"cut a k1 k2", "cut a lost r1,r2", `cut a failed "why"`,
		"committed a", `committed a "disk"`, "kill a", "finished a",
	} {
		ev, err := parseEvent(line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if got := formatEvent(ev); got != line {
			t.Errorf("%q is printed as %q", line, got)
		}
	}
	if !slices.Equal(splitWords(`a "b c" d`), []string{"a", `"b c"`, "d"}) {
		t.Errorf("quotes don't hold words together")
	}
}
