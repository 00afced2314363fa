package mr

import (
	"context"
	"time"
)

// Cache is what an engine says of the outputs it keeps for later jobs, and does with
// them. Whoever implements Jobs implements Cache, too; of a store that is opened for
// reading only CacheReport and CacheVerify work.
type Cache interface {
	// CacheReport tells what is kept, under which bound, and for which jobs.
	CacheReport(ctx context.Context) (CacheReport, error)
	// CacheVerify reads every stored run and checks all checksums and digests. What is
	// damaged is forgotten, so that it is computed again when it is needed.
	CacheVerify(ctx context.Context) (CacheVerdict, error)
	// CacheInvalidate makes the outputs of a job, by its id, or of all jobs of a name,
	// unusable. The empty string: all outputs.
	CacheInvalidate(ctx context.Context, job string) (CacheFreed, error)
	// CachePin keeps the outputs of a job from being evicted, or (pin false) lets go of
	// them. The job is named by its id, or by the output folder that it wrote.
	CachePin(ctx context.Context, job string, pin bool) (CachePin, error)
	// CacheGC frees what need not be kept: it evicts down to the bound, removes garbage
	// and the records of old jobs. With DryRun it only says so.
	CacheGC(ctx context.Context, req CacheGC) (CacheFreed, error)
}

// CacheReport describes a store and what it spares its jobs.
type CacheReport struct {
	Stats   CacheStats
	Limit   int64 // bytes the store may take; 0: no bound, or not known here
	Disk    int64 // bytes it takes
	Held    int64 // bytes of runs that jobs under way use
	Pinned  int64 // bytes of runs that are pinned
	Evicted int   // outputs on record whose bytes were evicted
	// Binaries are the job binaries that are kept, and BinaryBytes what they take, which Disk includes.
	Binaries    int
	BinaryBytes int64
	Lost        int // outputs on record whose bytes were lost
	Jobs        []CacheJob
	Pins        []CachePin
}

// CacheJob is what the jobs of one name have in the store, those with most bytes first.
type CacheJob struct {
	Name         string
	Outputs      int   // on record
	Runs         int   // of them, with bytes
	Bytes        int64 // of the runs
	Hits, Misses int64
	SavedSeconds float64 // CPU seconds
}

// CachePin is a job whose outputs are not evicted.
type CachePin struct {
	Job    JobID
	Name   string
	Output string
	At     time.Time
	Bytes  int64
}

// CacheVerdict is what reading all runs has shown.
type CacheVerdict struct {
	Runs    int
	Bytes   int64
	Damaged []DamagedRun
}

// DamagedRun is a run that can't be read, or holds something else than its record says.
type DamagedRun struct {
	Task      string // "m-00003"
	Job       JobID  // that made it
	Name      string // of that job
	Why       string
	Forgotten bool // it will be computed again
}

// CacheGC asks for a collection. Limit 0: the store's own bound, if it has one.
type CacheGC struct {
	DryRun bool
	Limit  int64
}

// CacheFreed is what was given up.
type CacheFreed struct {
	Outputs int     // whose bytes are not used any more
	Bytes   int64   // of their runs
	Seconds float64 // CPU seconds to compute them again
	Disk    int64   // bytes given back to the file system; unknown (0) after a dry run
	Jobs    int     // records of old jobs removed
	InUse   int     // outputs that jobs under way go on using until they end

	Binaries int // job binaries removed: built again where they are needed
}

// Tracer answers what needs code to be executed again.
type Tracer interface {
	// TraceKey follows one key of an output, as text, back to the records of input that
	// the mapper made it from.
	TraceKey(ctx context.Context, req TraceRequest) (Trace, error)
	// Rerun executes n of the map tasks again that made an output, chosen at random, and
	// compares what they make with what is on record. Nothing is stored.
	Rerun(ctx context.Context, output string, n int) ([]RerunTask, error)
}

// TraceRequest asks for one key's origin. Part < 0: any.
type TraceRequest struct {
	Output string
	Part   int
	Key    string
	Most   int // records wanted; 0: 20
}

// Trace is a key's origin.
type Trace struct {
	Job     JobID
	Output  string
	Key     string
	Part    string // the part whose range has the key
	Tasks   []TraceTask
	Records []TraceRecord
	More    bool     // there are more records than wanted
	Notes   []string // what could not be found out, and why
}

// TraceTask is a map task whose output holds the key.
type TraceTask struct {
	Task    string
	Split   string
	State   State
	Job     JobID // that computed it; empty: not on record any more
	Records int64 // of its output with that key; 0: its output is gone, so it may have none
}

// TraceRecord is a record of input that emits the key. Exact is false for a piece of a file that
// does so as a whole only: the mapper carries something from record to record.
type TraceRecord struct {
	Task   string
	Path   string
	Offset int64 // in the decompressed file
	Length int64
	Line   string // the beginning of it
	Exact  bool
}

// RerunTask is a map task that was executed again.
type RerunTask struct {
	Task     string
	Split    string
	Recorded string // digest on record
	Got      string // digest now; empty if it could not be executed
	Same     bool
	Error    string
	CPU      float64 // seconds
}
