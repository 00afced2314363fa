//go:build failpoint

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestErrorAtTheNamedHitOnly(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := parse("a/b=error:ENOSPC@2;a/b=error:EIO@4", log)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []error{nil, syscall.ENOSPC, nil, syscall.EIO, nil} {
		if got := p.hit("a/b"); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("hit %d: %v, want %v", n+1, got, want)
		}
	}
	if err := p.hit("a/c"); err != nil {
		t.Errorf("another place: %v", err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "a/b error:ENOSPC\na/b error:EIO\n" {
		t.Errorf("the log holds %q, %v", b, err)
	}
}

func TestWhileAFileExists(t *testing.T) {
	full := filepath.Join(t.TempDir(), "full")
	p, err := parse("a=error:EDQUOT?"+full, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.hit("a"); err != nil {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(full, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.hit("a"); !errors.Is(err, syscall.EDQUOT) {
			t.Errorf("with the file: %v", err)
		}
	}
}

func TestSleep(t *testing.T) {
	p, err := parse("a=sleep:30ms@1", "")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := p.hit("a"); err != nil || time.Since(start) < 30*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for _, spec := range []string{"a", "=kill", "a=die", "a=kill@0", "a=kill@x", "a=error:E2BIG", "a=sleep:long"} {
		if p, err := parse(spec, ""); err == nil {
			t.Errorf("%q was read as %+v", spec, p.terms)
		}
	}
}

// TestKill runs itself as the process that dies.
func TestKill(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if os.Getenv("MR_FAILPOINTS") != "" {
		if err := Hit("here"); err != nil {
			t.Fatal(err)
		}
		Hit("here") //nolint:errcheck // it does not come back
		t.Fatal("it lives")
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKill$")
	cmd.Env = append(os.Environ(), "MR_FAILPOINTS=here=kill@2", "MR_FAILPOINTS_LOG="+log)
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if status, is := exit.Sys().(syscall.WaitStatus); !ok || !is || status.Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "here kill\n" {
		t.Errorf("the log holds %q, %v", b, err)
	}
}
