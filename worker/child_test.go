package worker

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/childproto"
	"github.com/mrd-io/mr/plan"
)

// The test binary is its own job binary: with the variable of the protocol set, it
// serves these jobs instead of running tests.
var _ = serveJobs()

func serveJobs() bool {
	if _, isChild := os.LookupEnv(childproto.Env); !isChild {
		return false
	}
	if os.Getenv("HANG_AT_START") != "" {
		fmt.Println("waiting for nobody")
		time.Sleep(time.Hour)
	}
	if file := os.Getenv("LEAVE_BEHIND"); file != "" {
		left := exec.Command("/bin/sleep", "60")
		left.SysProcAttr, left.Stdout = &syscall.SysProcAttr{Setsid: true}, os.Stdout
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err == nil {
			err = left.Start()
		}
		if err == nil {
			fmt.Fprintln(f, left.Process.Pid)
			err = f.Close()
		}
		if err != nil {
			panic(err)
		}
	}
	words := []mr.Option{
		mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
			for w := range strings.FieldsSeq(line) {
				emit(w, 1)
			}
			return misbehave(line)
		}),
		mr.Combine(mr.Sum[int64]),
	}
	sum := mr.Reduce(func(t *mr.Task, w string, ns iter.Seq[int64], emit mr.Emit[string, int64]) error {
		for n := range ns {
			emit(w, n)
		}
		t.Count("test", "words", 1)
		for i := 0; w == "tally" && i < 300_000; i++ {
			t.Count("test", fmt.Sprintf("%040d", i), 1)
		}
		return misbehave(w)
	})
	sep := flag.String("sep", "-", "what to put behind a line")
	times := flag.Int("times", 1, "how often to write it")
	jobs := append(sumJobs(),
		mr.Job("flags", mr.ReduceOnly("times"), mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int]) error {
			emit(line+*sep, *times)
			return nil
		}), mr.Reduce(func(t *mr.Task, line string, n iter.Seq[int], emit mr.Emit[string, int]) error {
			for i := range n {
				emit(strings.Repeat(line, *times), i)
			}
			return nil
		})),
		mr.Job("count", append(words, sum)...),
		mr.Job("again", words...),
		mr.Job("slow", mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
			time.Sleep(100 * time.Millisecond)
			emit(line, 1)
			return nil
		}), mr.Reduce(func(t *mr.Task, w string, ns iter.Seq[int64], emit mr.Emit[string, int64]) error {
			for n := range ns {
				time.Sleep(100 * time.Millisecond)
				emit(w, n)
			}
			return nil
		})),
		mr.Job("env", mr.Env("COLOUR"), mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, string]) error {
			wd, _ := os.Getwd()
			left, _ := os.ReadDir(wd)
			emit(strings.Join(os.Environ(), " "), fmt.Sprint(os.Args, len(left), time.Local))
			return os.WriteFile("left-behind", nil, 0o600)
		})),
		mr.Job("lookup", mr.Env("TABLE"), mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
			scratch, err := os.CreateTemp(filepath.Dir(os.Getenv("TABLE")), "scratch")
			if err != nil {
				return err
			}
			_, err1 := os.ReadFile(scratch.Name())
			_, err2 := os.ReadFile("/proc/self/status")
			dir, err3 := os.MkdirTemp(filepath.Dir(os.Getenv("TABLE")), "scratch")
			err3 = errors.Join(err3, os.Mkdir(filepath.Join(dir, "a"), 0o700), os.RemoveAll(dir))
			_, _ = os.ReadDir(filepath.Join(filepath.Dir(os.Getenv("TABLE")), "rules"))
			_, _ = os.ReadFile(os.Getenv("TABLE") + ".local")
			b, err4 := os.ReadFile(os.Getenv("TABLE"))
			emit(line, string(b))
			return errors.Join(scratch.Close(), os.Remove(scratch.Name()), err1, err2, err3, err4)
		})),
		mr.Job("apart", mr.Env("SCRIPT"), mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
			shell := exec.Command("/bin/sh", "-c", os.Getenv("SCRIPT"))
			shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			b, err := shell.Output()
			emit(line, string(b))
			return err
		})),
		mr.Job("echo", mr.Map(func(t *mr.Task, line []byte, emit mr.Emit[[]byte, []byte]) error {
			emit(line, line)
			return nil
		}), mr.Reduce(func(t *mr.Task, k []byte, vs iter.Seq[[]byte], emit mr.Emit[mr.None, []byte]) error {
			for v := range vs {
				emit(mr.None{}, v)
			}
			return nil
		})),
		mr.JobFunc("now", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
			now := fs.String("now", time.Now().Format(time.RFC3339Nano), "what to write")
			return func([]string) ([]mr.Option, error) {
				return []mr.Option{mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, string]) error {
					emit(line, *now)
					return nil
				})}, nil
			}
		}),
	)
	if os.Getenv("ONE_JOB") != "" {
		jobs = jobs[:1]
	}
	mr.Main(jobs...)
	return true
}

func misbehave(word string) error {
	switch word {
	case "fail":
		return errors.New("no good")
	case "verbose":
		return errors.New("no good: " + strings.Repeat("x", 9<<20))
	case "full":
		return fmt.Errorf("no good: %w", syscall.EDQUOT)
	case "panic":
		panic("boom")
	case "stray":
		go panic("in a goroutine")
		time.Sleep(time.Hour)
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour)
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "print":
		fmt.Println("to stdout\nin two lines")
		fmt.Fprint(os.Stderr, "to stderr")
	case "flood":
		for range 2000 {
			fmt.Println(strings.Repeat("x", 99))
		}
	}
	return nil
}

// textBlocks serves lines in one block each.
type textBlocks struct {
	lines []string
	off   int64
	err   error
}

func (b *textBlocks) Next() (mr.Block, error) {
	if len(b.lines) == 0 {
		if b.err != nil {
			return mr.Block{}, b.err
		}
		return mr.Block{}, io.EOF
	}
	blk := mr.Block{Data: []byte(b.lines[0] + "\n"), Path: "in.txt", Off: b.off, Last: len(b.lines) == 1}
	b.lines, b.off = b.lines[1:], b.off+int64(len(blk.Data))
	return blk, nil
}

type keyValue struct{ k, v string }

type records struct {
	all  []keyValue
	fail error
}

func (r *records) Record(k, v []byte) error {
	r.all = append(r.all, keyValue{string(k), string(v)})
	return r.fail
}

func (r *records) Next() ([]byte, []byte, error) {
	if len(r.all) == 0 {
		return nil, nil, io.EOF
	}
	p := r.all[0]
	r.all = r.all[1:]
	return []byte(p.k), []byte(p.v), nil
}

func newTestChildren(t *testing.T, o ChildOptions) *Children {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	before := runtime.NumGoroutine()
	c := NewChildren(o)
	t.Cleanup(func() {
		c.Close()
		if left, _ := filepath.Glob(os.Getenv("TMPDIR") + "/mr-task-*"); len(left) > 0 {
			t.Errorf("working directories left behind: %v", left)
		}
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
	})
	return c
}

// ownDigest is that of the test's own binary.
var ownDigest = sync.OnceValue(func() mr.Digest {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		panic(err)
	}
	return sha256.Sum256(b)
})

func open(t *testing.T, c *Children, job string, env ...string) mr.Runner {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Open(t.Context(), exe, ownDigest(), job, nil, env)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mapLines(t *testing.T, r mr.Runner, lines ...string) (*records, mr.Counters, error) {
	t.Helper()
	out := &records{}
	cs, err := r.Map(t.Context(), mr.TaskEnv{SpillDir: t.TempDir()}, &textBlocks{lines: lines}, out)
	return out, cs, err
}

func TestChildRunsAJob(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	r := open(t, c, "count")
	if tr := r.Traits(); tr.Job != "count" || !tr.Combine || !tr.Reduce || tr.MapStage != "count" || tr.KeyShape != "*" {
		t.Errorf("traits %+v", tr)
	}
	if tr := open(t, c, "again").Traits(); tr.Job != "again" || tr.MapStage != "count" {
		t.Errorf("a job that shares Map and Combine has traits %+v", tr)
	}
	var first *child
	for range 3 {
		mid, cs, err := mapLines(t, r, "b a b", "print")
		if err != nil {
			t.Fatal(err)
		}
		if want := (mr.Counter{Group: "mr", Name: "map_input_records", Value: 2}); !slices.Contains(cs, want) {
			t.Errorf("counters %v", cs)
		}
		out := &records{}
		cs, err = r.Reduce(t.Context(), mr.TaskEnv{}, mid, out)
		if err != nil {
			t.Fatal(err)
		}
		if want := []keyValue{{"a", "1"}, {"b", "2"}, {"print", "1"}}; !slices.Equal(out.all, want) {
			t.Errorf("got %v, want %v", out.all, want)
		}
		if want := (mr.Counter{Group: "test", Name: "words", Value: 3}); !slices.Contains(cs, want) {
			t.Errorf("counters %v", cs)
		}
		if now := c.idle[len(c.idle)-1]; first == nil {
			first = now
		} else if now != first {
			t.Error("the child was not used again")
		}
	}
	if got := r.(*childRunner).Printed(); len(got) != 18 || got[0] != "to stdout" || got[2] != "to stderr" {
		t.Errorf("printed %q", got)
	}
}

// TestChildIsSparedWhereNothingIsTheAuthors: a job that only adds up is reduced without a
// process, and one with a reducer isn't.
func TestChildIsSparedWhereNothingIsTheAuthors(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	adds, reduces := open(t, c, "again"), open(t, c, "count")
	if tr := adds.Traits(); tr.Totals != "1 bytes" {
		t.Errorf("traits %+v", tr)
	}
	mid, _, err := mapLines(t, adds, "b a b")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, test := range []struct {
		r    mr.Runner
		want []keyValue
	}{{adds, []keyValue{{"a", "1"}, {"b", "2"}}}, {reduces, nil}} {
		out := &records{}
		_, err = test.r.Reduce(t.Context(), mr.TaskEnv{}, &records{all: mid.all}, out)
		if (err == nil) != (test.want != nil) || !slices.Equal(out.all, test.want) {
			t.Errorf("%s: %v, %v", test.r.Traits().Job, out.all, err)
		}
		out = &records{}
		_, err = test.r.(combiner).Combine(t.Context(), mr.TaskEnv{}, &records{all: mid.all}, out)
		if (err == nil) != (test.want != nil) || err == nil && !slices.Equal(out.all, mid.all) {
			t.Errorf("%s: nodes %v, %v", test.r.Traits().Job, out.all, err)
		}
	}
}

func TestChildHasTheProgramsFlags(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	exe, _ := os.Executable()
	r, err := c.Open(t.Context(), exe, mr.Digest{}, "flags", []string{"--times", "3", "--sep=\xff"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []mr.Param{{Name: "--sep", Value: "\xff"}, {Name: "--times", Value: "3", ReduceOnly: true}}
	if got := r.Traits().Params; !slices.Equal(got, want) {
		t.Errorf("params %v, want %v", got, want)
	}
	m, err := c.Open(t.Context(), exe, mr.Digest{}, "flags", []string{"--sep=\xff"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mid, _, err := mapLines(t, m, "a")
	if err != nil {
		t.Fatal(err)
	}
	out := &records{}
	if _, err := r.Reduce(t.Context(), mr.TaskEnv{}, mid, out); err != nil {
		t.Fatal(err)
	}
	if want := []keyValue{{"a\xffa\xffa\xff", "1"}}; !slices.Equal(out.all, want) {
		t.Errorf("got %q, want %q", out.all, want)
	}
	if _, err := c.Open(t.Context(), exe, mr.Digest{}, "flags", []string{"--nope"}, nil); mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), "how often to write it") {
		t.Errorf("an unknown flag: %v", err)
	}
}

func TestChildSeesNothingUndeclared(t *testing.T) {
	t.Setenv("SECRET", "x")
	r := open(t, newTestChildren(t, ChildOptions{}), "env", "COLOUR=red")
	for range 2 { // the file that the first leaves behind must not be there for the second
		out, _, err := mapLines(t, r, "x")
		if want := []keyValue{{"TZ=UTC COLOUR=red", "[job] 0 UTC"}}; err != nil || !slices.Equal(out.all, want) {
			t.Errorf("got %v, %v", out.all, err)
		}
	}
}

func TestChildFailures(t *testing.T) {
	for word, wants := range map[string][]string{
		"fail":   {"in.txt at byte 3", "no good"},
		"panic":  {"in.txt at byte 3", "boom", "misbehave"},
		"full":   {"no good"},
		"stray":  {"exited with status 2", "in a goroutine"},
		"exit":   {"exited with status 3", "middle of a task"},
		"killed": {"was killed (out of memory?)"},
		"hang":   {"no sign of life for 1s"},
	} {
		t.Run(word, func(t *testing.T) {
			o := ChildOptions{Silence: time.Minute} // a busy machine may be silent for a while
			if word == "hang" {
				o.Silence = time.Second
			}
			r := open(t, newTestChildren(t, o), "count")
			_, _, err := mapLines(t, r, "ok", word, "more")
			_, err2 := r.Reduce(t.Context(), mr.TaskEnv{}, &records{all: []keyValue{{"a", "\x02"}, {word, "\x02"}, {"zz", "\x02"}}}, &records{})
			for _, want := range wants {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("map: %q is not in: %v", want, err)
				}
				if want = strings.Replace(want, "in.txt at byte 3", `key "`+word+`"`, 1); err2 == nil || !strings.Contains(err2.Error(), want) {
					t.Errorf("reduce: %q is not in: %v", want, err2)
				}
			}
			if full := errors.Is(err, syscall.ENOSPC) && errors.Is(err2, syscall.ENOSPC); full != (word == "full") {
				t.Errorf("a full disk: %t, for %v, %v", full, err, err2)
			}
			if _, _, err := mapLines(t, r, "ok"); err != nil {
				t.Errorf("the next task: %v", err)
			}
		})
	}
}

func TestChildFloodIsCut(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{OutputCap: 1000}), "count")
	if _, _, err := mapLines(t, r, "flood"); err != nil {
		t.Fatal(err)
	}
	if got := r.(*childRunner).Printed(); len(got) != 11 || got[10] != "[199000 more bytes printed; only the first 1000 are kept]" {
		t.Errorf("printed %d lines, the last %q", len(got), got[len(got)-1])
	}
}

func TestChildBrokenSurroundings(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{}), "count")
	bad := errors.New("the disk is on fire")
	if _, err := r.Map(t.Context(), mr.TaskEnv{}, &textBlocks{lines: []string{"a"}, err: bad}, &records{}); err != bad {
		t.Errorf("a broken input: %v", err)
	}
	if _, err := r.Map(t.Context(), mr.TaskEnv{}, &textBlocks{lines: []string{"a"}}, &records{fail: bad}); err != bad {
		t.Errorf("a broken output: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := r.Map(ctx, mr.TaskEnv{}, &textBlocks{lines: []string{"hang"}}, &records{}); err != context.Canceled {
		t.Errorf("a cancelled task: %v", err)
	}
}

func TestChildHugeRecords(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{}), "echo")
	big := strings.Repeat("0123456789abcdef", 1<<20)
	lines := []string{"small", big, ""}
	mid, _, err := mapLines(t, r, lines...)
	if err != nil {
		t.Fatal(err)
	}
	out := &records{}
	if _, err := r.Reduce(t.Context(), mr.TaskEnv{}, mid, out); err != nil {
		t.Fatal(err)
	}
	if len(out.all) != 3 || out.all[1].v != big {
		t.Errorf("%d records came back", len(out.all))
	}
}

// Input and output are larger than what the sockets hold, in both directions at once.
func TestChildStreamsBothWays(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{}), "echo")
	in := &records{}
	for i := range 60_000 {
		k := fmt.Sprintf("%06d", i)
		in.all = append(in.all, keyValue{k, strings.Repeat(k, 20)})
	}
	out := &records{}
	if _, err := r.Reduce(t.Context(), mr.TaskEnv{}, in, out); err != nil {
		t.Fatal(err)
	}
	if len(out.all) != 60_000 || out.all[59_999].v[:6] != "059999" {
		t.Errorf("%d records came back", len(out.all))
	}
}

func TestWrongPrograms(t *testing.T) {
	c := newTestChildren(t, ChildOptions{Handshake: 300 * time.Millisecond})
	exe, _ := os.Executable()
	script := filepath.Join(t.TempDir(), "talk")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho 'GET / HTTP/1.0' >&3\nsleep 5\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		path, job string
		env       []string
		want      []string
	}{
		{"/bin/true", "j", nil, []string{"exited with status 0", "mr.Main", "printed: nothing"}},
		{"/bin/cat", "j", nil, []string{"exited with status 0", "mr.Main"}},
		{"/bin/false", "j", nil, []string{"exited with status 1"}},
		{script, "j", nil, []string{"does not speak the protocol"}},
		{"/does/not/exist", "j", nil, []string{"starting /does/not/exist"}},
		{exe, "count", []string{"HANG_AT_START=1"}, []string{"said nothing for 300ms", "waiting for nobody"}},
		{exe, "nope", nil, []string{`no job "nope"; it has: sums, rounded, flags, count, again, slow, env, lookup, apart, echo`}},
		{exe, "", nil, []string{"several jobs; choose one with --job"}},
	} {
		_, err := c.Open(t.Context(), x.path, mr.Digest{}, x.job, nil, x.env)
		for _, want := range x.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", x.path, want, err)
			}
		}
	}
}

// What a script starts is not in its digest, under which outputs would be kept.
func TestScriptIsNotRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := []byte("#!/bin/sh\nexec " + exe + "\n")
	path := filepath.Join(t.TempDir(), "talk")
	if err := os.WriteFile(path, script, 0o700); err != nil {
		t.Fatal(err)
	}
	c := newTestChildren(t, ChildOptions{})
	_, err = c.Open(t.Context(), path, sha256.Sum256(script), "count", nil, nil)
	if mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), path+" is a script") {
		t.Errorf("%v", err)
	}
}

// A binary that is not what its digest says is not run.
func TestDamagedBinaryIsNotRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "job")
	if err := os.WriteFile(path, append(b, 0), 0o700); err != nil {
		t.Fatal(err)
	}
	c := newTestChildren(t, ChildOptions{})
	_, err = c.Open(t.Context(), path, ownDigest(), "count", nil, nil)
	if !errors.Is(err, ErrBinary) || !strings.Contains(err.Error(), path) {
		t.Fatalf("%v", err)
	}
	if err := os.WriteFile(path+"-right", b, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"-right", path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), path, ownDigest(), "count", nil, nil); err != nil {
		t.Error(err)
	}
}

// A child that dies while it has nothing to do is nobody's failure.
func TestDeadIdleChildIsReplaced(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	r := open(t, c, "count")
	ch := c.idle[0]
	ch.kill()
	<-ch.exited
	if _, _, err := mapLines(t, r, "a"); err != nil {
		t.Error(err)
	}
	if c.idle[0] == ch {
		t.Error("the dead child is still there")
	}
}

// Who asks a binary for its one job, whatever that is called, and then for the job by its name
// has one process.
func TestNamelessJobIsThatOfTheName(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	for _, job := range []string{"", "sums", ""} {
		r := open(t, c, job, "ONE_JOB=yes")
		if name := r.Traits().Job; name != "sums" {
			t.Fatalf("job %q is %q", job, name)
		}
		if _, _, err := mapLines(t, r, "a"); err != nil {
			t.Fatal(err)
		}
		if len(c.live) != 1 {
			t.Errorf("job %q: %d processes", job, len(c.live))
		}
	}
}

// A flag's default may be another in each process: a job is told anew, and its tasks have what it was told to be.
func TestDefaultsThatChange(t *testing.T) {
	c := newTestChildren(t, ChildOptions{Idle: -1})
	exe, _ := os.Executable()
	var said [2]mr.Traits
	for i := range said {
		var err error
		if said[i], err = c.Describe(t.Context(), exe, ownDigest(), "now", nil); err != nil {
			t.Fatal(err)
		}
	}
	if said[0].Params[0] == said[1].Params[0] {
		t.Errorf("it said %v twice", said[0].Params)
	}
	r, err := c.Open(t.Context(), exe, ownDigest(), "now", plan.Args(said[0].Params), nil)
	if err != nil {
		t.Fatal(err)
	}
	recs, _, err := mapLines(t, r, "a")
	if want := said[0].Params[0].Value; err != nil || len(recs.all) != 1 || recs.all[0].v != want {
		t.Errorf("%v, %v; want %s", recs.all, err, want)
	}
}

func TestUnknownDigestIsNeverReused(t *testing.T) {
	c := newTestChildren(t, ChildOptions{})
	exe, _ := os.Executable()
	for range 2 {
		if _, err := c.Open(t.Context(), exe, mr.Digest{}, "count", nil, nil); err != nil {
			t.Fatal(err)
		}
		if len(c.idle) > 0 {
			t.Error("a child of unknown code was kept")
		}
	}
}

func TestIdleChildrenEnd(t *testing.T) {
	c := newTestChildren(t, ChildOptions{IdleTime: 30 * time.Millisecond})
	open(t, c, "count")
	for range 200 {
		c.mu.Lock()
		n := len(c.live)
		c.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("an idle child still lives")
}
