package mr

import (
	"context"
	"time"
)

// JobID names a job for ever: "job_" and 26 characters that sort by submission time.
type JobID string

// SubmitID is made by the client and kept before it sends a submission, so that a
// retry is known to be one.
type SubmitID string

// Spec is a job as submitted: everything needed to run it again. The wire form only grows.
type Spec struct {
	Job          string // the job's name, as its code declares it
	Code         Code
	Args         []string // the job's own flags and arguments
	Inputs       []string // files, folders and globs, absolute
	Output       string   // absolute path of the output folder
	InputFormat  Format
	OutputFormat string // "text" (key TAB value LF), "raw", "jsonl"; empty: the job's own
	Reducers     int    // number of key ranges; 0: chosen from bytes
	SplitSize    int64  // bytes; 0: the default
	Chunking     string // how large files are cut: "fixed" or empty: at fixed ranges; "content": where their content says
	RecordLimit  int64  // longest record in bytes; 0: 64 MiB
	Overwrite    bool   // replace an existing output folder at commit
	NoCache      bool   // neither look up nor share map and reduce outputs
	Incremental  bool   // keep inner nodes of merges, although nothing says yet that the job comes again; in no key
	// SkipBadRecords is how many bad records of the input the job may skip: records on which the
	// mapper fails, and such that the input format can't make out. 0: the first fails the job.
	SkipBadRecords int
	NoSpeculation  bool   // no attempt gets a twin, however far it is behind its peers
	Verify         string // how far the file system is believed: "stat" or empty, "sample", "full"; in no key
	// Env are variables as NAME=value, of whoever submits: those that the job's code declares (see
	// the option Env) are taken from here, and the others forgotten. nil: from the engine's own
	// process. The same submit id may come with others.
	Env []string
}

// Code says what a job executes.
type Code struct {
	Kind   CodeKind
	Path   string // Binary: the file, absolute; for a built-in empty
	Digest Digest // Binary: SHA-256 of the file
	// MapPath and MapDigest name the binary of the map stage, if it was built apart from
	// that of the reduce stage (see the build tags mr_map and mr_reduce); else they are zero.
	MapPath   string
	MapDigest Digest
	Source    string // what the user typed, for people: "wordcount", "./examples/wordstats"
}

// ForMap is the code that map tasks execute.
func (c Code) ForMap() Code {
	if c.MapPath != "" {
		c.Path, c.Digest = c.MapPath, c.MapDigest
	}
	return c
}

// CodeKind tells built-ins and binaries apart. Wire values: append only.
type CodeKind uint8

// The kinds of code.
const (
	Builtin CodeKind = 0
	Binary  CodeKind = 1
)

// State of a job or of a task.
type State string

// Job states are the first five; tasks also have the last two.
const (
	Pending   State = "PENDING"
	Running   State = "RUNNING"
	Succeeded State = "SUCCEEDED"
	FailedJob State = "FAILED"
	Killed    State = "KILLED"
	Cached    State = "CACHED"
	Lost      State = "LOST"
)

// Done reports whether a job in state s has ended.
func (s State) Done() bool { return s == Succeeded || s == FailedJob || s == Killed }

// Status is a job as seen from outside at one moment.
type Status struct {
	Job       JobID
	Name      string // the job's name
	Spec      Spec
	State     State
	Phase     string // "planning", "map", "shuffle", "reduce", "commit", or "" when ended
	Output    string
	Error     string // the first failure's own words
	Submitted time.Time
	Started   time.Time
	Ended     time.Time
	Map       PhaseStatus
	Reduce    PhaseStatus
	Merge     MergeStatus
	Bytes     Bytes
	Seconds   Seconds
	Counters  Counters
	Warnings  []string
	Version   uint64   // grows with every change; for Wait
	Submit    SubmitID // under which it was submitted
	MapOnly   bool     // it reduces nothing: its reduce tasks write into parts what the maps have made
}

// PhaseStatus counts a phase's tasks and attempts.
type PhaseStatus struct {
	Tasks       int // planned
	Cached      int // done without running, from outputs on record
	Run         int // done by an attempt of this job
	Running     int // attempts running now
	Attempts    int // attempts started, in this and earlier lives of the daemon
	Failed      int // attempts failed
	Recomputed  int // tasks run again because their output was lost
	Speculative int // twins started
	BytesTotal  int64
	BytesDone   int64
}

// MergeStatus counts the inner nodes of the trees in which a job's reduce tasks have folded
// their runs: those read from the store, and those kept there for later. An earlier job's part
// of which a task has made its own is among those read.
type MergeStatus struct {
	Cached int
	Run    int
}

// Bytes of a job.
type Bytes struct {
	Input        int64 // listed
	Read         int64 // read from input files by this job
	Intermediate int64 // stored map outputs, after compression
	Output       int64
}

// Seconds of a job, wall clock from the monotonic clock.
type Seconds struct {
	Elapsed, Plan, Map, Reduce, Commit float64

	// Where the phases' time went: a phase's wall clock, shared out as its attempts spent
	// their own. Read and Sort are in Map: reading and digesting the input, and sorting,
	// compressing and writing runs when all is mapped; what is left is the mapper's and the
	// combiner's. Merge and Output are in Reduce: reading and merging runs, and writing,
	// digesting and syncing parts; what is left is the reducer's.
	Read, Sort, Merge, Output float64
}

// LogLine is one line of a job's log: an event of the engine or a line that a task wrote.
type LogLine struct {
	Time time.Time
	Task string // "m-00003.1" (map task 3, attempt 1), "r-00000.0", or "" for the job
	Text string
}

// ExplainRow is one reason with the tasks it holds for.
type ExplainRow struct {
	Phase    string   // "map" or "reduce"
	State    State    // CACHED or what the task did instead
	Reason   string   // "new input", "input changed", "map code changed", "parameter --letters: false → true", …
	Tasks    int      // how many
	Examples []string // up to a few: "FILE@[a,b)"
}

// Explanation says why a job's tasks ran or did not.
type Explanation struct {
	Job  JobID
	Vs   JobID // the job compared with, or empty
	Rows []ExplainRow
	Keys []KeyComponent // components of the job's stages, beside those of Vs, or of the last job like it

	Notes []string // of a dry run: what it has found out beside the tasks, such as why the job would be refused
}

// KeyComponent is a field of cache keys, with the value it had in those of the job compared with.
type KeyComponent struct {
	Name, Value, Earlier string
	Differs              bool
}

// LineageNode is an output part, a task or a range of an input file; edges go to what it was made from.
type LineageNode struct {
	ID      string // "part-r-00000", "r-00000", "n-00000-1f2e3d4c", "m-00003", "FILE@[a,b)"
	Kind    string // "part", "reduce", "merge" (a kept inner node of a reduce task's merge), "map", "input"
	Label   string
	Digest  string
	State   State
	Job     JobID // the job that computed it (another one for a cached task; empty: not on record any more)
	Code    string
	CPU     float64 // seconds for which its task had a core when it was computed
	From    []string
	Attempt string // that computed it: the life of the daemon, and a number
}

// Lineage is a graph in topological order, outputs first.
type Lineage struct {
	Job    JobID
	Output string
	Nodes  []LineageNode
}

// CacheStats describe the store's contents.
type CacheStats struct {
	Outputs      int   // map and reduce outputs on record
	Runs         int   // runs with bytes
	RunBytes     int64 // stored bytes of runs
	CatalogBytes int64
	VolumeBytes  int64
	Volumes      int
	Hits, Misses int64
	SavedSeconds float64 // CPU seconds of the outputs that were used again
}

// Jobs is the engine as its clients see it; package engine implements it, and so
// does the RPC client. All methods may be called concurrently and return *Error
// errors; ctx bounds the call, never the job.
type Jobs interface {
	// Submit makes a job durable and returns its id. The same id and spec again
	// return the same job; the same id with another spec is Refused.
	Submit(ctx context.Context, id SubmitID, spec Spec) (JobID, error)
	// Status returns a job's current status.
	Status(ctx context.Context, job JobID) (Status, error)
	// Wait returns when the job has ended, or soon after its Version is beyond since, or
	// after about ten seconds, with the status at that moment. Changes that come one
	// behind the other are gathered for at most a tenth of a second.
	Wait(ctx context.Context, job JobID, since uint64) (Status, error)
	// List returns the jobs that have not ended, or all, oldest first.
	List(ctx context.Context, all bool) ([]Status, error)
	// Kill cancels a job and returns when it has ended.
	Kill(ctx context.Context, job JobID) error
	// Logs returns the lines on record.
	Logs(ctx context.Context, job JobID) ([]LogLine, error)
	Explain(ctx context.Context, job, vs JobID) (Explanation, error)
	// DryRun plans a job and explains what would run, without running it.
	DryRun(ctx context.Context, spec Spec) (Explanation, error)
	// Lineage explains an output folder's part (part < 0: all).
	Lineage(ctx context.Context, output string, part int) (Lineage, error)
	// Impact lists the jobs and outputs that used file.
	Impact(ctx context.Context, file string) ([]Status, error)
	CacheStats(ctx context.Context) (CacheStats, error)
}
