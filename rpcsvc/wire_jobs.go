package rpcsvc

import "context"

// The wire types of service Jobs. Rules, held by TestWireGolden: structs of strings,
// numbers, booleans, and slices and structs of them; no maps, interfaces or pointers;
// fields are never renamed, retyped or removed, only added, with a zero value that means
// what peers without the field meant. Times are nanoseconds since 1970, 0 for none.

// bound carries the context of a request from the codec to its handler, and the slot that it
// has, which the handler gives back; it is not sent.
type bound struct {
	ctx  context.Context
	slot func() // nil: it has none
}

func (b *bound) bind(ctx context.Context, slot func()) { b.ctx, b.slot = ctx, slot }

func (b *bound) leave() {
	if b.slot != nil {
		b.slot()
	}
}

func (b *bound) context() context.Context {
	if b.ctx == nil {
		return context.Background()
	}
	return b.ctx
}

// Spec is mr.Spec.
type Spec struct {
	Job          string   `json:"job"`
	Code         Code     `json:"code"`
	Args         []string `json:"args"`
	Inputs       []string `json:"inputs"`
	Output       string   `json:"output"`
	InputFormat  string   `json:"input_format"` // "text", "fixed:N", "whole"; empty: text
	OutputFormat string   `json:"output_format"`
	Reducers     int      `json:"reducers"`
	SplitSize    int64    `json:"split_size"`
	RecordLimit  int64    `json:"record_limit"`
	Overwrite    bool     `json:"overwrite"`
	NoCache      bool     `json:"no_cache"`
	Chunking     string   `json:"chunking"`
	Verify       string   `json:"verify"` // "stat" or empty, "sample", "full"

	SkipBadRecords int `json:"skip_bad_records"`

	Incremental bool `json:"incremental"`

	NoSpeculation bool `json:"no_speculation"`

	Env []string `json:"env"` // NAME=value, for what the job's code declares; empty: the daemon's own
}

// Code is mr.Code. An empty Code is the built-in named by the Spec's Job.
type Code struct {
	Kind   string `json:"kind"` // "builtin" or empty; "binary"
	Path   string `json:"path"`
	Digest string `json:"digest"` // hexadecimal; empty: not known
	Source string `json:"source"`

	MapPath   string `json:"map_path"` // the binary of the map stage, if it was built apart
	MapDigest string `json:"map_digest"`
}

// SubmitRequest asks for a job. SubmitID is the client's; without one the server makes
// one, and a retry is then a job of its own.
type SubmitRequest struct {
	bound
	SubmitID string `json:"submit_id"`
	Spec     Spec   `json:"spec"`
}

// SubmitReply names the job.
type SubmitReply struct {
	Job string `json:"job"`
}

// JobRequest names a job: Status, Kill, Logs, Counters.
type JobRequest struct {
	bound
	Job string `json:"job"`
}

// WaitRequest is a long poll: it is answered when the job has ended, or soon after its version
// is beyond Since, or after about ten seconds.
type WaitRequest struct {
	bound
	Job   string `json:"job"`
	Since uint64 `json:"since"`
}

// ListRequest asks for the jobs that have not ended, or all.
type ListRequest struct {
	bound
	All bool `json:"all"`
}

// ExplainRequest asks why a job's tasks ran or did not; Vs may be empty.
type ExplainRequest struct {
	bound
	Job string `json:"job"`
	Vs  string `json:"vs"`
}

// DryRunRequest asks what a submission would run.
type DryRunRequest struct {
	bound
	Spec Spec `json:"spec"`
}

// LineageRequest asks for an output's origin. Part < 0: all parts.
type LineageRequest struct {
	bound
	Output string `json:"output"`
	Part   int    `json:"part"`
}

// ImpactRequest asks which jobs used a file.
type ImpactRequest struct {
	bound
	File string `json:"file"`
}

// CacheStatsRequest asks what the store holds.
type CacheStatsRequest struct {
	bound
	Wire int `json:"wire"` // the client's WireVersion: gob can't send a struct whose fields are all hidden
}

// Empty is a reply without content.
type Empty struct{}

// Status is mr.Status.
type Status struct {
	Job       string    `json:"job"`
	Name      string    `json:"name"`
	Spec      Spec      `json:"spec"`
	State     string    `json:"state"`
	Phase     string    `json:"phase"`
	Output    string    `json:"output"`
	Error     string    `json:"error"`
	Submitted int64     `json:"submitted"`
	Started   int64     `json:"started"`
	Ended     int64     `json:"ended"`
	Map       Phase     `json:"map"`
	Reduce    Phase     `json:"reduce"`
	Bytes     Bytes     `json:"bytes"`
	Seconds   Seconds   `json:"seconds"`
	Counters  []Counter `json:"counters"`
	Warnings  []string  `json:"warnings"`
	Version   uint64    `json:"version"`
	Merge     Merge     `json:"merge"`
	SubmitID  string    `json:"submit_id"`
	MapOnly   bool      `json:"map_only"`
}

// Phase is mr.PhaseStatus.
type Phase struct {
	Tasks       int   `json:"tasks"`
	Cached      int   `json:"cached"`
	Run         int   `json:"run"`
	Running     int   `json:"running"`
	Attempts    int   `json:"attempts"`
	Failed      int   `json:"failed"`
	Recomputed  int   `json:"recomputed"`
	Speculative int   `json:"speculative"`
	BytesTotal  int64 `json:"bytes_total"`
	BytesDone   int64 `json:"bytes_done"`
}

// Merge is mr.MergeStatus.
type Merge struct {
	Cached int `json:"cached"`
	Run    int `json:"run"`
}

// Bytes is mr.Bytes.
type Bytes struct {
	Input        int64 `json:"input"`
	Read         int64 `json:"read"`
	Intermediate int64 `json:"intermediate"`
	Output       int64 `json:"output"`
}

// Seconds is mr.Seconds.
type Seconds struct {
	Elapsed float64 `json:"elapsed"`
	Plan    float64 `json:"plan"`
	Map     float64 `json:"map"`
	Reduce  float64 `json:"reduce"`
	Commit  float64 `json:"commit"`
	Read    float64 `json:"read"`
	Sort    float64 `json:"sort"`
	Merge   float64 `json:"merge"`
	Output  float64 `json:"output"`
}

// Counter is mr.Counter.
type Counter struct {
	Group string `json:"group"`
	Name  string `json:"name"`
	Value int64  `json:"value"`
}

// StatusReply is one job's status.
type StatusReply struct {
	Status Status `json:"status"`
}

// ListReply is the status of several jobs.
type ListReply struct {
	Jobs []Status `json:"jobs"`
}

// CountersReply is one job's counters.
type CountersReply struct {
	Counters []Counter `json:"counters"`
}

// LogLine is mr.LogLine.
type LogLine struct {
	Time int64  `json:"time"`
	Task string `json:"task"`
	Text string `json:"text"`
}

// LogsReply is a job's log.
type LogsReply struct {
	Lines []LogLine `json:"lines"`
}

// ExplainRow is mr.ExplainRow.
type ExplainRow struct {
	Phase    string   `json:"phase"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	Tasks    int      `json:"tasks"`
	Examples []string `json:"examples"`
}

// KeyComponent is mr.KeyComponent.
type KeyComponent struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Earlier string `json:"earlier"`
	Differs bool   `json:"differs"`
}

// ExplainReply is mr.Explanation.
type ExplainReply struct {
	Job  string         `json:"job"`
	Vs   string         `json:"vs"`
	Rows []ExplainRow   `json:"rows"`
	Keys []KeyComponent `json:"keys"`

	Notes []string `json:"notes"`
}

// LineageNode is mr.LineageNode.
type LineageNode struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Label   string   `json:"label"`
	Digest  string   `json:"digest"`
	State   string   `json:"state"`
	Job     string   `json:"job"`
	Code    string   `json:"code"`
	CPU     float64  `json:"cpu"`
	From    []string `json:"from"`
	Attempt string   `json:"attempt"`
}

// LineageReply is mr.Lineage.
type LineageReply struct {
	Job    string        `json:"job"`
	Output string        `json:"output"`
	Nodes  []LineageNode `json:"nodes"`
}

// CacheStatsReply is mr.CacheStats.
type CacheStatsReply struct {
	Outputs      int     `json:"outputs"`
	Runs         int     `json:"runs"`
	RunBytes     int64   `json:"run_bytes"`
	CatalogBytes int64   `json:"catalog_bytes"`
	VolumeBytes  int64   `json:"volume_bytes"`
	Volumes      int     `json:"volumes"`
	Hits         int64   `json:"hits"`
	Misses       int64   `json:"misses"`
	SavedSeconds float64 `json:"saved_seconds"`
}
