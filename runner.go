package mr

import "context"

// This file holds what the system and a job's code say to each other, in bytes.
// The typed API (Map, Combine, Reduce) is a layer of generics above it. A Program
// implements Runner in its own process; package worker has a second Runner that
// drives a child process, where Main serves a Program.

// Block is a piece of one input file that holds whole records.
type Block struct {
	Data []byte // owned by the reader; valid until its next Next
	Path string // the file, as listed
	Off  int64  // offset in the decoded file of Data[0], in bytes
	Last bool   // the block ends at its file's end (the last line may lack its LF)
}

// BlockReader hands out a split's blocks in order. Next returns io.EOF after the last.
type BlockReader interface {
	Next() (Block, error)
}

// RecordReader hands out records in key order. key and value are valid until the
// next call. Next returns io.EOF after the last.
type RecordReader interface {
	Next() (key, value []byte, err error)
}

// RecordSink takes records. It must not keep key or value after it returns.
type RecordSink interface {
	Record(key, value []byte) error
}

// TaskEnv is what the system gives one task.
type TaskEnv struct {
	Index    int    // the task's number in its phase
	Format   Format // of the input blocks (map tasks)
	Memory   int64  // bytes the task may use for its tables and buffers
	SpillDir string // where spills beyond Memory may go; removed by the caller

	// Skip, if not nil, is told of each record of a map task on which the mapper failed: the
	// task goes on without it, unless Skip returns an error. nil: a bad record fails the task.
	Skip func(BadRecord) error

	// Alive, if not nil, is told now and then, while the mapper is given records, that it takes them.
	Alive func() error

	// Spare asks for another core for a while, never waiting for one; done gives it back. The task
	// may use more cores than one only so. nil: there are none.
	Spare func() (done func(), ok bool)
}

// Traits describe a configured job to the planner.
type Traits struct {
	Job       string
	Version   string   // a built-in's version constant, or what the author declared with Version
	MapStage  string   // jobs of one binary with equal MapStage have the very same Map and Combine values and share map outputs
	Params    []Param  // every flag and argument the job's code can see, in canonical order
	Env       []string // names of the environment variables the job declared
	Combine   bool     // has a combiner
	Tree      bool     // its combiner can fold in a tree: see TreeReader
	Sums      bool     // its combiner is Sum of 64-bit integers: values are signed varints that may be added in any order and in parts
	Totals    string   // how Reduce and Combine are done without the job's code, "" if they can't be; see Totals
	Reduce    bool     // has a reduce phase (false: map-only, parts are named part-m-…)
	Positions bool     // the mapper sees path and offset of its records
	Prefix    int      // components of the key that group (0: the whole key; -1: none, all keys are one group)
	KeyShape  string   // how an encoded key is cut into components; see Group
	Raw       bool     // the output's records have no separators: key and value back to back
	LikeInput bool     // the output's records are records of the input, and raw where those are of a fixed length
	NoKey     bool     // the output's records have no key: the value alone, without a TAB (known where the output is made)
	NoValue   bool     // the output's records have no value: the key alone, without a TAB (known where the output is made)
}

// RawFor reports whether the output's records have no separators if the input's are in
// format f.
func (t *Traits) RawFor(f Format) bool { return t.Raw || t.LikeInput && f.Kind == Fixed }

// Param is one flag or argument of a job, by name.
type Param struct {
	Name, Value string
	// ReduceOnly: declared with ReduceOnly. Map tasks run with the flag at its default,
	// so its value is unobservable there and stays out of their keys.
	ReduceOnly bool
}

// Runner executes the stages of one configured job. Its methods may be called by
// several goroutines at once.
type Runner interface {
	Traits() Traits

	// Map maps every block of in and writes the result to out: sorted by key bytes,
	// then by emission order, and combined if the job has a combiner. A map-only
	// job's records come in emission order, as text.
	Map(ctx context.Context, t TaskEnv, in BlockReader, out RecordSink) (Counters, error)

	// Reduce reads sorted records and writes the output's records, as text, in
	// the order the reducer emits them.
	Reduce(ctx context.Context, t TaskEnv, in RecordReader, out RecordSink) (Counters, error)
}

// Counter is one named sum. Counters of committed attempts are added up, and each
// task counts once, whatever its retries, twins and cache hits.
type Counter struct {
	Group, Name string
	Value       int64
}

// Counters are sorted by group, then name; each pair occurs once.
type Counters []Counter
