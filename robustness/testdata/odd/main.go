// Odd is a job whose mapper misbehaves, as its environment says: the tests of faults run
// it. MR_ODD=WHAT:FILE makes it do WHAT once, in the process that creates FILE;
// MR_ODD=while:FILE makes it fail as long as FILE exists.
package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("odd", mr.Env("MR_ODD"), mr.Map(words), mr.Combine(mr.Sum[int64])))
}

func words(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
	if err := misbehave(); err != nil {
		return err
	}
	for word := range strings.FieldsSeq(line) {
		emit(word, 1)
	}
	return nil
}

// misbehave does the odd thing in the first process that comes here.
func misbehave() error {
	what, file, ok := strings.Cut(os.Getenv("MR_ODD"), ":")
	if !ok {
		return nil
	}
	if what == "while" {
		if _, err := os.Stat(file); err == nil {
			return fmt.Errorf("an odd record")
		}
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil // it was done
	}
	fmt.Fprintln(f, os.Getpid())
	f.Close()
	fmt.Fprintln(os.Stderr, "about to", what)
	switch what {
	case "exit":
		os.Exit(7)
	case "panic":
		panic("an odd thing")
	case "error":
		return fmt.Errorf("an odd record")
	case "oom":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "hang":
		time.Sleep(time.Hour) // not for ever: the runtime would see that nobody can wake it
	case "dawdle":
		time.Sleep(time.Minute)
	}
	return nil
}
