package plan

import (
	"fmt"
	"time"

	"github.com/mrd-io/mr"
)

// Tasks are values: what a worker is asked to do and what it answers, in types that
// cross net/rpc as they are, and within one process without a copy of what they point to:
// nobody changes that once it is sent. No interfaces, no maps, no closures; fields are only
// added.

// Kind is a task's phase. Wire and record values: append only.
type Kind uint8

// The kinds of tasks.
const (
	Map    Kind = 0
	Reduce Kind = 1
	Merge  Kind = 2 // an inner node of a reduce phase's tree: of outputs only
)

// Letter is the kind in names of tasks and parts.
func (k Kind) Letter() string {
	switch k {
	case Map:
		return "m"
	case Merge:
		return "n"
	}
	return "r"
}

// TaskName is a task's name in logs and lineage: "m-00003".
func TaskName(k Kind, index int) string { return fmt.Sprintf("%s-%05d", k.Letter(), index) }

// PartName is the name of an output part: "part-r-00000".
func PartName(k Kind, index int) string { return "part-" + TaskName(k, index) }

// Attempt names one execution of a task. It is unique in a store: the high 24 bits are
// the epoch of the daemon that started it, so attempts of an earlier life are fenced
// by their number alone.
type Attempt uint64

// AttemptOf makes the n-th attempt of a daemon's life.
func AttemptOf(epoch, n uint64) Attempt { return Attempt(epoch<<40 | n) }

// Epoch is the life of the daemon that started a.
func (a Attempt) Epoch() uint64 { return uint64(a) >> 40 }

func (a Attempt) String() string { return fmt.Sprintf("%d.%d", a.Epoch(), uint64(a)&(1<<40-1)) }

// Program is what a task executes, and with what configuration.
type Program struct {
	Job  string
	Code mr.Code
	Args []string
	Env  []Component // declared variables, with their values

	Version string // of the built-in that the keys of its outputs name; "": whichever there is
}

// Work is one attempt's order to a worker.
type Work struct {
	Attempt     Attempt
	Kind        Kind
	Index       int
	Program     Program
	Format      mr.Format
	RecordLimit int64 // bytes
	Memory      int64 // bytes the attempt may use

	// Map: the split in its binary form. Expect is the digest it is believed to have;
	// if it is zero or proves wrong, the worker reads and digests the split and answers
	// with Identified set, keeping the bytes until Proceed or Abandon.
	Split    []byte
	Expect   mr.Digest
	Unsorted bool // map-only: records keep their emission order

	// FastKey, if not 0, asks for a fast keyed hash of the split's bytes beside its digest. If
	// the hash is KnownFast, the digest is KnownDigest, and is not made again.
	FastKey     uint64
	KnownFast   [16]byte
	KnownDigest mr.Digest

	// Map: so many bad records may be skipped; 0: the first fails the attempt.
	SkipBadRecords int

	// Reduce: runs in split order, the range of keys, and where the part file goes.
	Runs         []uint64
	HasLo, HasHi bool // gob does not tell nil from empty
	Lo, Hi       []byte
	Part         string // path of the attempt's part file
	OutputFormat string
	KeepMost     int64 // a part of at most this many bytes is also kept in the store, as a run of chunks

	// Reduce with a combiner: the tree in which runs are folded (see TreeOf). Where Runs
	// holds the kept value of an inner node in place of its runs, Leaves is how many records
	// these have, and At the place of the first. Nodes are to be kept if that is worth it.
	Seps   []byte
	At     []int   // of Runs; nil: they are the tree's runs, all of them
	Leaves []int64 // of Runs; 0 for those that are the tree's own
	Nodes  []NodeOrder

	// Reduce: a quicker way to make the part, if Patch.Base is not 0. Runs can do without it.
	Patch Patch

	// Copy: the part is known, and is installed instead of reducing: linked from LinkFrom,
	// a part of the output that this one replaces, if its bytes have CopyDigest; else
	// copied from the one run in Runs, a kept part, if there is one.
	Copy       bool
	CopyDigest mr.Digest
	LinkFrom   string
}

// SetRange stores r in w.
func (w *Work) SetRange(r Range) {
	w.HasLo, w.HasHi, w.Lo, w.Hi = r.Lo != nil, r.Hi != nil, r.Lo, r.Hi
}

// Range is the range of keys of a reduce attempt.
func (w *Work) Range() (r Range) {
	if w.HasLo {
		r.Lo = append([]byte{}, w.Lo...)
	}
	if w.HasHi {
		r.Hi = append([]byte{}, w.Hi...)
	}
	return r
}

// Made is what a task has produced: a run (map) or a part file (reduce).
type Made struct {
	Run     uint64    // id of the run in the store; 0: none
	Digest  mr.Digest // of the run's records, or of the part's bytes
	Records int64
	Raw     int64 // bytes before compression
	Stored  int64 // bytes in the store
}

// Patch says how a part of sums in text follows from an earlier one, of the same stage and
// range, whose key has fewer or other runs: what Minus come to is taken off the sums there,
// and what Plus come to is added.
type Patch struct {
	Base        uint64 // the earlier part, kept as a run
	Totals      string // of the job's traits: what its lines are
	Records     int64  // of Base
	Positive    bool   // all values that were added up for it are positive: a key whose sum comes to 0 has no record left
	Input       int64  // records that Base was made of
	Minus, Plus []uint64
}

// NodeOrder asks for an inner node of the tree, over runs at the places [From, To).
type NodeOrder struct {
	Key      mr.Digest
	From, To int
}

// NodeMade is an inner node that a reduce attempt has kept.
type NodeMade struct {
	Key    mr.Digest
	Made   Made
	Input  int64 // bytes of the records that were folded
	Leaves int64 // records of the runs that it stands for
	CPU    time.Duration
}

// Result is a worker's answer about one attempt.
type Result struct {
	Attempt    Attempt
	Identified bool // Split is known, nothing has been computed: Proceed or Abandon
	Split      mr.Digest
	Start      int64    // offset of the split's first record, for a range of a file
	Fast       [16]byte // fast hash of the split's bytes, if it was asked for
	Moved      bool     // a file's stamps moved: they do not vouch for the digest
	Made       Made
	Nodes      []NodeMade    // in the order of Work.Nodes; those not worth it are missing
	Patched    bool          // the part was made by Work.Patch
	Positive   bool          // a part of sums: see Patch
	Read       int64         // bytes read from input files
	CPU        time.Duration // for which this leg of the attempt had a core; what it lent from others is not in it
	Counters   mr.Counters
	Steps      Steps          // of this leg of the attempt
	Log        []string       // what the task printed, cut to size
	Skipped    []mr.BadRecord // in the order of the input
	Opened     []Opened       // by path
	Failure    Failure

	// When the attempt began and ended, and how long it ran on the worker's monotonic clock;
	// the time that it was held for the master's word is in it.
	Began, Ended Moment
	Took         time.Duration
}

// Opened is a file besides its input that a task's process has opened to read.
type Opened struct {
	Path   string    // empty: it has opened more than could be noted
	Digest mr.Digest // of what it read there; zero: not known, as the file changed meanwhile
}

// Steps are what parts of CPU went into.
type Steps struct {
	Read   time.Duration // reading and digesting the split
	Sort   time.Duration // from the end of the split to that of the run
	Merge  time.Duration // reading and merging runs
	Output time.Duration // writing the part file and its copy
}

// FailureKind tells what a failure means for the task. Wire values: append only.
type FailureKind uint8

// The kinds of failures.
const (
	NoFailure FailureKind = 0
	UserError FailureKind = 1 // the job's code failed, or died: another attempt may do better
	BadInput  FailureKind = 2 // the input can't be read as asked; trying again is in vain
	Changed   FailureKind = 3 // an input file changed under the attempt
	LostRun   FailureKind = 4 // a stored run can't be read; LostRuns must be made again
	NoSpace   FailureKind = 5 // storage refused a write: not the task's fault
	Cancelled FailureKind = 6 // stopped on request, or its worker went away
)

// Failure is why an attempt failed; the zero Failure is success.
type Failure struct {
	Kind     FailureKind
	Message  string
	LostRuns []uint64
}

// TooManyBad says that a job with --skip-bad-records most met more: the first of them, and
// one more than it may skip.
func TooManyBad(most int, first, last mr.BadRecord) error {
	return mr.Errorf(mr.Failed, "more bad records than --skip-bad-records %d allows: the first is %s; number %d is %s",
		most, placeOf(first), most+1, placeOf(last))
}

func placeOf(b mr.BadRecord) string {
	return fmt.Sprintf("%s at byte %d (%s)", b.Path, b.Offset, b.Reason)
}

// Description is a worker's answer about a job's code.
type Description struct {
	Traits mr.Traits
	Kind   mr.Kind // of the error, if there is one
	Error  string
}
