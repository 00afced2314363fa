// Odd is a job whose mapper misbehaves, as its environment says: the tests of faults run
// it. MR_ODD=WHAT:FILE makes it do WHAT once, in the process that creates FILE;
// MR_ODD=while:FILE makes it fail as long as FILE exists. MR_ODD=nap,A,B:FILE makes each task
// sleep for A, and the one that creates FILE for B. MR_ODD=choke:TEXT makes it fail on each line that
// begins with TEXT, having emitted its first word.
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
	mr.Main(mr.Job("odd", mr.Env("MR_ODD"), mr.MapFrom(setup), mr.Combine(mr.Sum[int64])))
}

type words struct{}

func setup(*mr.Task) (mr.Mapper[string, string, int64], error) {
	what, file, _ := strings.Cut(os.Getenv("MR_ODD"), ":")
	naps := strings.Split(what, ",")
	if naps[0] != "nap" {
		return words{}, nil
	}
	nap := naps[1]
	if f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, os.Getpid())
		f.Close()
		nap = naps[2]
	}
	d, err := time.ParseDuration(nap)
	time.Sleep(d)
	return words{}, err
}

func (words) Map(line string, emit mr.Emit[string, int64]) error {
	if err := misbehave(); err != nil {
		return err
	}
	choke, on := strings.CutPrefix(os.Getenv("MR_ODD"), "choke:")
	for word := range strings.FieldsSeq(line) {
		emit(word, 1)
		if on && strings.HasPrefix(line, choke) {
			panic("choked")
		}
	}
	return nil
}

// looks counts the records of this process.
var looks int

// misbehave does the odd thing in the first process that comes here. It looks for the file with its first record and
// each 64th: an open is not for free.
func misbehave() error {
	what, file, ok := strings.Cut(os.Getenv("MR_ODD"), ":")
	if !ok || what == "choke" || strings.HasPrefix(what, "nap") {
		return nil
	}
	if what == "while" {
		if _, err := os.Stat(file); err == nil {
			return fmt.Errorf("an odd record")
		}
		return nil
	}
	if looks++; looks%64 != 1 {
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
	case "hangup": // the connection to the daemon
		return syscall.Shutdown(3, syscall.SHUT_RDWR)
	case "babble":
		_, err := syscall.Write(3, []byte("what no protocol knows"))
		return err
	case "hang":
		time.Sleep(time.Hour) // not for ever: the runtime would see that nobody can wake it
	case "dawdle":
		time.Sleep(time.Minute)
	}
	return nil
}
