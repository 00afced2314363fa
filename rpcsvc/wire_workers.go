package rpcsvc

// JoinRequest introduces a worker. On the connection that it came on, the worker serves
// net/rpc's service Worker from then on, and the server calls.
type JoinRequest struct {
	bound
	taken
	Name        string   `json:"name"`
	Host        string   `json:"host"`
	PID         int      `json:"pid"`
	Incarnation int64    `json:"incarnation"` // grows from one process of that name to the next
	Slots       int      `json:"slots"`
	Version     string   `json:"version"`
	Build       string   `json:"build"` // of a program without a version: its digest
	Platform    string   `json:"platform"`
	Wire        int      `json:"wire"`
	Features    []string `json:"features"`

	TaskMemory int64 `json:"task_memory"` // bytes a task may use there; 0: what the daemon's own may
}

// JoinReply welcomes a worker.
type JoinReply struct {
	Seat    uint64 `json:"seat"`    // names this membership, on streams too
	Lease   int64  `json:"lease"`   // ns without a sign of life after which its attempts are another's
	Silence int64  `json:"silence"` // ns without a sign of life after which it is to end a job binary's process
	Epoch   uint64 `json:"epoch"`
	Machine string `json:"machine"` // the same for whoever shares the server's kernel; empty: not known
}

// StreamRequest turns its connection into a stream of a worker that has joined.
type StreamRequest struct {
	bound
	taken
	Seat uint64 `json:"seat"`
}

// WorkersRequest asks for the list of workers.
type WorkersRequest struct {
	bound
	Wire int `json:"wire"`
}

// WorkersReply is the list of workers.
type WorkersReply struct {
	Workers []Worker `json:"workers"`
}

// Worker is mr.Worker.
type Worker struct {
	Name    string `json:"name"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Slots   int    `json:"slots"`
	Running int    `json:"running"`
	State   string `json:"state"`
	Joined  int64  `json:"joined"`
	Rests   int64  `json:"rests"`
	Silent  int64  `json:"silent"`
	Lease   int64  `json:"lease"`
	Clock   string `json:"clock"`
	Offset  int64  `json:"offset"`
	Bound   int64  `json:"bound"`
}

// TimelineReply is when a job's attempts ran.
type TimelineReply struct {
	Tasks []TaskTimes `json:"tasks"`
}

// TaskTimes is mr.TaskTimes.
type TaskTimes struct {
	Task       string `json:"task"`
	Attempt    string `json:"attempt"`
	Worker     string `json:"worker"`
	State      string `json:"state"`
	Known      bool   `json:"known"`
	Began      int64  `json:"began"`
	Ended      int64  `json:"ended"`
	BeganBound int64  `json:"began_bound"`
	EndedBound int64  `json:"ended_bound"`
	Took       int64  `json:"took"`
}
