package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mrd-io/mr/worker"
)

// The scripts run these commands in processes of their own: mrctl on the real system, and mrctl-fake
// on one without an engine, for what is about the command line alone.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"mrctl":      main,
		"mrctl-fake": func() { os.Exit(mainStatus(fakeSystem{os.Getenv("FAKE")})) },
	})
}

func TestFakeScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/fake",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:         setup,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"status": wantStatus},
	})
}

func TestScripts(t *testing.T) {
	daemon := filepath.Join(t.TempDir(), "mrd")
	if out, err := exec.Command("go", "build", "-o", daemon, "../mrd").CombinedOutput(); err != nil {
		t.Fatalf("building mrd: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(daemon)+string(os.PathListSeparator)+e.Getenv("PATH"))
			return setup(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": wantStatus, "truncated-gzip": truncatedGzip, "damage": damage, "await": await},
		Condition: func(cond string) (bool, error) {
			if cond != "watch" { // files that jobs open are seen
				return false, fmt.Errorf("condition %q is not known", cond)
			}
			return worker.CanWatch() == nil, nil
		},
	})
}

// truncatedGzip writes a gzip file whose end is missing: truncated-gzip FILE
func truncatedGzip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: truncated-gzip FILE")
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for i := range 10000 {
		_, err := fmt.Fprintln(w, i*i)
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes()[:b.Len()/2], 0o600))
}

// damage overwrites most of a file: damage FILE
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage FILE")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	for i := 16 << 10; i < len(data); i++ { // behind the pages that say what the file is
		data[i] ^= 0x55
	}
	ts.Check(os.WriteFile(path, data, 0o600))
}

// await runs a command until it succeeds: await COMMAND…
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: await COMMAND…")
	}
	for deadline := time.Now().Add(20 * time.Second); ts.Exec(args[0], args[1:]...) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%q does not succeed", args)
		}
	}
}

func setup(e *testscript.Env) error {
	e.Setenv("MR_STORE", e.WorkDir+"/store")
	e.Setenv("MR_ADDR", "")
	e.Setenv("NO_COLOR", "1")
	e.Setenv("GORACE", "atexit_sleep_ms=0") // otherwise each command of a test with -race takes a second more
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	// Packages that scripts build find what was built before, and look for nothing on the network.
	e.Setenv("GOCACHE", orElse(os.Getenv("GOCACHE"), filepath.Join(cache, "go-build")))
	e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".tmp", "cache")) // what mrctl builds is gone with the test
	e.Setenv("GOFLAGS", "-mod=mod")
	e.Setenv("GOPROXY", "off")
	repo, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	e.Setenv("REPO", repo)
	port, err := freePort()
	if err != nil {
		return err
	}
	e.Setenv("PORT", port)
	fake, err := exec.LookPath("mrctl-fake")
	e.Setenv("MRCTL", fake)
	return errors.Join(err, os.Mkdir(e.WorkDir+"/store", 0o700))
}

// freePort is a port that nobody listened on a moment ago.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// wantStatus runs a command and checks its exit status: status 2 mrctl run
func wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command…")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = strconv.Itoa(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}
