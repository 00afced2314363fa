package mr

import (
	"context"
	"time"
)

// Fleet is what an engine says of its workers and of when they did what. Whoever implements
// Jobs implements Fleet, too; of a store that is opened for reading only Timeline works.
type Fleet interface {
	// Workers lists those in the daemon's own process and those that have joined.
	Workers(ctx context.Context) ([]Worker, error)
	// Timeline lists the attempts that made a job's outputs, and those under way, by start.
	Timeline(ctx context.Context, job JobID) ([]TaskTimes, error)
}

// Worker is one worker as the engine sees it.
type Worker struct {
	Name    string
	Host    string
	PID     int
	Slots   int // attempts at a time; small ones have more
	Running int // attempts
	State   WorkerState
	Joined  time.Time
	Rests   time.Time     // until then, if it rests
	Silent  time.Duration // since its last sign of life
	Lease   time.Duration // how long it may be silent; 0: it is the daemon's own
	// What it knows of the daemon's time.
	Clock  string
	Offset time.Duration // the daemon's clock minus the worker's
	Bound  time.Duration
}

// WorkerState says what a worker is doing.
type WorkerState string

// The states of workers.
const (
	WorkerIdle    WorkerState = "idle"
	WorkerBusy    WorkerState = "busy"
	WorkerResting WorkerState = "resting" // too much has failed on it
	WorkerSilent  WorkerState = "silent"  // its lease has run out
)

// TaskTimes says when an attempt ran, on the daemon's clock.
type TaskTimes struct {
	Task                   string // "m-00003"
	Attempt                string
	Worker                 string
	State                  State     // Running, or Succeeded
	Known                  bool      // false: the worker's clock was not synchronised; Began and Ended are zero
	Began                  time.Time // true to within BeganBound
	Ended                  time.Time // true to within EndedBound; zero while it runs
	BeganBound, EndedBound time.Duration
	Took                   time.Duration // on the worker's monotonic clock
}
