package mr

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/mrd-io/mr/internal/childproto"
)

// Main is the whole of a job binary's main function: it serves jobs to the engine that
// started the binary, and does not return. Started by hand, it says how to run the jobs.
//
// Main parses the program's own flags (package flag) for jobs made by Job; a main
// function must not call flag.Parse itself, since the engine hands the arguments to Main.
func Main(jobs ...*Definition) {
	version, isChild := os.LookupEnv(childproto.Env)
	if !isChild {
		if len(os.Args) > 1 && (os.Args[1] == "--help" || os.Args[1] == "-help" || os.Args[1] == "-h") {
			describeJobs(os.Stdout, jobs)
			os.Exit(0)
		}
		describeJobs(os.Stderr, jobs)
		os.Exit(2)
	}
	for _, d := range jobs {
		d.useProgramFlags()
	}
	os.Exit(serveParent(version, jobs))
}

// useProgramFlags makes the program's own flags those of a job that declares none.
func (d *Definition) useProgramFlags() {
	if d.plain {
		d.global = flag.CommandLine
		d.global.Init(d.name, flag.ContinueOnError)
		d.global.SetOutput(io.Discard)
		d.global.Usage = func() {}
	}
}

func describeJobs(w io.Writer, jobs []*Definition) {
	program := filepath.Base(os.Args[0])
	fmt.Fprintf(w, "%s holds MapReduce jobs; the engine runs them, with mrctl:\n\n", program)
	job := ""
	if len(jobs) > 1 {
		job = " --job " + jobs[0].name
	}
	fmt.Fprintf(w, "    mrctl run ./%s%s --input FILES --output FOLDER [-- FLAGS OF THE JOB]\n\nJobs:\n\n", program, job)
	for _, d := range jobs {
		if d.plain {
			d.global = flag.CommandLine
		}
		fmt.Fprintln(w, d.Help())
	}
}
