package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
)

// A client may leave at any moment of its submission. The job is on record then or it is not, and
// one that is on record is run.
func TestClientsThatLeave(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			ctx, leave := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
			defer leave()
			spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, fmt.Sprint("o", i))}
			n.Jobs().Submit(ctx, mr.SubmitID(fmt.Sprint("sub", i)), spec) //nolint:errcheck // the client has left
		})
	}
	wg.Wait()
	jobs, err := n.Jobs().List(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, s := range jobs {
		for id := s.Job; !s.State.Done(); {
			if s, err = n.Jobs().Wait(ctx, id, s.Version); err != nil {
				t.Fatalf("%d jobs are on record, and one of them never ends: %v", len(jobs), err)
			}
		}
	}
}

// Between the first look at an output folder and the job's record, another job may have come and
// gone: its output is not replaced without being asked for.
func TestOutputMadeWhileSubmitting(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("b a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	n, err := Open(filepath.Join(dir, "store"), Options{Workers: 2, Builtin: func(name string) (*mr.Definition, bool) {
		if name == "count" { // whose code takes its time to say what it declares
			asked <- struct{}{}
			<-answer
		}
		return builtin.Lookup()(name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	out := filepath.Join(dir, "out")
	refused := make(chan error)
	go func() {
		_, err := n.Jobs().Submit(t.Context(), "slow", mr.Spec{Job: "count", Inputs: []string{in}, Output: out + "/"})
		refused <- err
	}()
	<-asked
	spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: out}
	if s := runJob(t, n, spec); s.State != mr.Succeeded {
		t.Fatalf("%s: %s", s.State, s.Error)
	}
	close(answer)
	if err := <-refused; !errors.Is(err, mr.ErrRefused) {
		t.Errorf("a job whose output another has made meanwhile: %v", err)
	}
	if got := output(t, out); got != "a\t1\nb\t2\n" {
		t.Errorf("the output is %q", got)
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	if s := runJob(t, n, spec); s.State != mr.Succeeded { // the refused job does not hold the folder
		t.Errorf("%s: %s", s.State, s.Error)
	}
}

// A job that is killed while it is planned leaves nothing in the way of the next one.
func TestKilledWhilePlanned(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt") // its cuts follow from its content, which planning reads
	if err := os.WriteFile(in, bytes.Repeat([]byte("some words of a line\n"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, "out"), Chunking: "content"}
	for i := range 5 {
		id, err := n.Jobs().Submit(t.Context(), mr.SubmitID(fmt.Sprint("sub", i)), spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Jobs().Kill(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(spec.Output); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the output folder of killed jobs: %v", err)
	}
}

// A job that comes to nothing leaves none of the folders that were made for its output, and others' alone.
func TestFoldersOfAFailedJob(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := errors.Join(os.WriteFile(in, []byte("too long\n"), 0o600), os.MkdirAll(filepath.Join(dir, "was/there"), 0o700)); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	for out, left := range map[string]string{"new/er/out": ".", "was/there/out": "was/there", "was/new/out": "was", "out": "."} {
		spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, out), RecordLimit: 2}
		if s := runJob(t, n, spec); s.State != mr.FailedJob {
			t.Fatalf("it is %s", s.State)
		}
		if _, err := os.Lstat(filepath.Join(dir, left)); err != nil {
			t.Error(err)
		}
		next, _, _ := strings.Cut(strings.TrimPrefix(out, left+"/"), "/")
		if _, err := os.Lstat(filepath.Join(dir, left, next)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s, after a job that failed: %v", filepath.Join(left, next), err)
		}
	}
}

// A client's number of tasks need not be one.
func TestRerunOfLessThanNothing(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	s := runJob(t, n, mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, "out")})
	for tasks, want := range map[int]error{-1: mr.ErrUsage, 0: nil, 7: nil} {
		if _, err := n.Jobs().(mr.Tracer).Rerun(t.Context(), s.Output, tasks); !errors.Is(err, want) {
			t.Errorf("%d tasks: %v", tasks, err)
		}
	}
}

// A path that is relative would be looked for wherever the daemon was started.
func TestRelativePathsAreRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("in.txt", []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	for _, spec := range []mr.Spec{
		{Job: "wordcount", Inputs: []string{filepath.Join(dir, "in.txt"), "in.txt"}, Output: filepath.Join(dir, "o")},
		{Job: "wordcount", Inputs: []string{""}, Output: filepath.Join(dir, "o")},
		{Job: "wordcount", Inputs: []string{filepath.Join(dir, "in.txt")}, Output: "o"},
	} {
		if id, err := n.Jobs().Submit(t.Context(), "sub", spec); !errors.Is(err, mr.ErrUsage) {
			t.Errorf("%v to %q is job %q (%v)", spec.Inputs, spec.Output, id, err)
		}
	}
}

// A dry run tells why the job would be refused, besides what it would run.
func TestDryRunTellsWhatIsInTheWay(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("b a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, "out")}
	if s := runJob(t, n, spec); s.State != mr.Succeeded {
		t.Fatalf("%s: %s", s.State, s.Error)
	}
	for _, c := range []struct {
		output    string
		overwrite bool
		want      string
	}{
		{"out", false, "--overwrite"}, {"out", true, ""}, {"new", false, ""},
		{"store", true, "the store"}, {"store/out", false, "the store"}, {".", true, "the store"},
	} {
		spec.Output, spec.Overwrite = filepath.Join(dir, c.output), c.overwrite
		x, err := n.Jobs().DryRun(t.Context(), spec)
		notes := strings.Join(x.Notes, "\n")
		if err != nil || len(x.Rows) == 0 || (c.want == "") != (notes == "") || !strings.Contains(notes, c.want) {
			t.Errorf("%s, --overwrite=%t: %d rows, and notes %q (%v)", c.output, c.overwrite, len(x.Rows), notes, err)
		}
	}
}

// A submit id that is too long to be kept is the client's mistake, and told as that.
func TestLongSubmitID(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	for long, want := range map[int]error{1024: nil, 1025: mr.ErrUsage, 40000: mr.ErrUsage} {
		spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, fmt.Sprint("o", long))}
		if _, err := n.Jobs().Submit(t.Context(), mr.SubmitID(strings.Repeat("s", long)), spec); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", long, err)
		}
	}
}
