package rpcsvc

// Wire types of what service Jobs offers of mr.Cache and mr.Tracer; see wire_jobs.go for
// the rules.

// CacheReportRequest asks what the store holds, and for whom.
type CacheReportRequest struct {
	bound
	Wire int `json:"wire"`
}

// CacheReportReply is mr.CacheReport.
type CacheReportReply struct {
	Stats   CacheStatsReply `json:"stats"`
	Limit   int64           `json:"limit"`
	Disk    int64           `json:"disk"`
	Held    int64           `json:"held"`
	Pinned  int64           `json:"pinned"`
	Evicted int             `json:"evicted"`
	Lost    int             `json:"lost"`
	Jobs    []CacheJob      `json:"jobs"`
	Pins    []CachePinReply `json:"pins"`

	Binaries    int   `json:"binaries"`
	BinaryBytes int64 `json:"binary_bytes"`
}

// CacheJob is mr.CacheJob.
type CacheJob struct {
	Name         string  `json:"name"`
	Outputs      int     `json:"outputs"`
	Runs         int     `json:"runs"`
	Bytes        int64   `json:"bytes"`
	Hits         int64   `json:"hits"`
	Misses       int64   `json:"misses"`
	SavedSeconds float64 `json:"saved_seconds"`
}

// CachePinReply is mr.CachePin.
type CachePinReply struct {
	Job    string `json:"job"`
	Name   string `json:"name"`
	Output string `json:"output"`
	At     int64  `json:"at"`
	Bytes  int64  `json:"bytes"`
}

// CachePinRequest pins the outputs of a job, or lets go of them. Job is an id or an
// absolute output folder.
type CachePinRequest struct {
	bound
	Job string `json:"job"`
	Pin bool   `json:"pin"`
}

// CacheVerifyRequest asks for all runs to be read and checked.
type CacheVerifyRequest struct {
	bound
	Wire int `json:"wire"`
}

// CacheVerifyReply is mr.CacheVerdict.
type CacheVerifyReply struct {
	Runs    int          `json:"runs"`
	Bytes   int64        `json:"bytes"`
	Damaged []DamagedRun `json:"damaged"`
}

// DamagedRun is mr.DamagedRun.
type DamagedRun struct {
	Task      string `json:"task"`
	Job       string `json:"job"`
	Name      string `json:"name"`
	Why       string `json:"why"`
	Forgotten bool   `json:"forgotten"`
}

// CacheInvalidateRequest names the outputs not to be used again: a job's id, the name of
// jobs, or, with All, all of them.
type CacheInvalidateRequest struct {
	bound
	Job string `json:"job"`
	All bool   `json:"all"`
}

// CacheGCRequest is mr.CacheGC.
type CacheGCRequest struct {
	bound
	DryRun bool  `json:"dry_run"`
	Limit  int64 `json:"limit"`
}

// CacheFreedReply is mr.CacheFreed.
type CacheFreedReply struct {
	Outputs int     `json:"outputs"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Disk    int64   `json:"disk"`
	Jobs    int     `json:"jobs"`
	InUse   int     `json:"in_use"`

	Binaries int `json:"binaries"`
}

// TraceKeyRequest is mr.TraceRequest.
type TraceKeyRequest struct {
	bound
	Output string `json:"output"`
	Part   int    `json:"part"`
	Key    string `json:"key"`
	Most   int    `json:"most"`
}

// TraceKeyReply is mr.Trace.
type TraceKeyReply struct {
	Job     string        `json:"job"`
	Output  string        `json:"output"`
	Key     string        `json:"key"`
	Part    string        `json:"part"`
	Tasks   []TraceTask   `json:"tasks"`
	Records []TraceRecord `json:"records"`
	More    bool          `json:"more"`
	Notes   []string      `json:"notes"`
}

// TraceTask is mr.TraceTask.
type TraceTask struct {
	Task    string `json:"task"`
	Split   string `json:"split"`
	State   string `json:"state"`
	Job     string `json:"job"`
	Records int64  `json:"records"`
}

// TraceRecord is mr.TraceRecord.
type TraceRecord struct {
	Task   string `json:"task"`
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Line   string `json:"line"`
	Exact  bool   `json:"exact"`
}

// RerunRequest asks for map tasks of an output to be executed again.
type RerunRequest struct {
	bound
	Output string `json:"output"`
	Tasks  int    `json:"tasks"`
}

// RerunReply says what they made.
type RerunReply struct {
	Tasks []RerunTask `json:"tasks"`
}

// RerunTask is mr.RerunTask.
type RerunTask struct {
	Task     string  `json:"task"`
	Split    string  `json:"split"`
	Recorded string  `json:"recorded"`
	Got      string  `json:"got"`
	Same     bool    `json:"same"`
	Error    string  `json:"error"`
	CPU      float64 `json:"cpu"`
}
