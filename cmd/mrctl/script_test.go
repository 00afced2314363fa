package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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

func setup(e *testscript.Env) error {
	e.Setenv("MR_STORE", e.WorkDir+"/store")
	e.Setenv("MR_ADDR", "")
	e.Setenv("NO_COLOR", "1")
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	// Packages that scripts build find what was built before, and look for nothing on the network.
	e.Setenv("GOCACHE", orElse(os.Getenv("GOCACHE"), filepath.Join(cache, "go-build")))
	e.Setenv("GOFLAGS", "-mod=mod")
	e.Setenv("GOPROXY", "off")
	fake, err := exec.LookPath("mrctl-fake")
	e.Setenv("MRCTL", fake)
	return errors.Join(err, os.Mkdir(e.WorkDir+"/store", 0o700))
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
