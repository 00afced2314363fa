package store_test

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const childEnv = "STORE_TEST_CHILD"

// TestMain runs the test binary as a child process when a test started it as one.
func TestMain(m *testing.M) {
	if mode := os.Getenv(childEnv); mode != "" {
		os.Exit(child(mode, os.Args[1]))
	}
	os.Exit(m.Run())
}

func child(mode, dir string) int {
	var err error
	switch mode {
	case "hold":
		err = childHold(dir, false)
	case "read":
		err = childHold(dir, true)
	case "work":
		err = childWork(dir)
	case "full":
		err = childFull(dir)
	}
	if err != nil {
		os.Stderr.WriteString("child: " + err.Error() + "\n")
		return 1
	}
	return 0
}

// process is a child process and the lines it prints.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// spawn starts the test binary in the given mode on dir.
func spawn(t testing.TB, mode, dir string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), childEnv+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, bufio.NewScanner(out)}
	t.Cleanup(p.kill)
	return p
}

// kill sends SIGKILL and waits for the end; again, it does nothing.
func (p *process) kill() {
	if p.ProcessState == nil {
		p.Process.Signal(syscall.SIGKILL) // it may have ended by itself
		p.Wait()
	}
}
