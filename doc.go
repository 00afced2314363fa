// Package mr is what the authors of MapReduce jobs and the engine that runs them share.
//
// A job's binary declares its jobs and hands them to Main:
//
//	func main() {
//		mr.Main(mr.Job("wordcount",
//			mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
//				for word := range strings.FieldsSeq(line) {
//					emit(word, 1)
//				}
//				return nil
//			}),
//			mr.Combine(mr.Sum[int64])))
//	}
//
// and is run with mrctl run ./path/to/package --input … --output ….
//
// # The nouns
//
//   - A Definition is a job as declared: a name and Options. Configure gives it arguments
//     and makes a Program.
//   - A Program is a configured job. It implements Runner: Map turns blocks of input into
//     one sorted, combined stream of records; Reduce turns sorted records into output.
//   - Map, Combine and Reduce (and MapFrom, MapBlock, ReduceFrom, ReducePairs, Pass) make the
//     Options that hold the author's functions; their type parameters are the job's types.
//   - A Task is what such a function sees of the task it runs in: counters, and the place
//     of the current record if the job asks for Positions.
//   - Spec, Status, Jobs, Error: a job as submitted, as seen from outside, and the engine
//     as its clients see it.
//
// # The contract with an author's functions
//
// The output of a job is the same to the byte however many tasks, workers, ranges and
// retries it took, provided its functions are deterministic, Combine is associative, and
// nothing but their arguments, the job's flags, and the declared environment decides what
// they do. Outputs of map tasks are kept and used again by later runs, so whatever else a
// function might look at is kept from it: a child process has no environment but what Env
// declares, an empty folder as its working directory, TZ=UTC, and no arguments.
//
// Files can't be kept from it. On Linux (amd64, arm64) one that a function opens by its full
// path, or a shared library that is not the system's, is seen, and what was made with it is used
// as long as it holds the same. Elsewhere it is in no key, and when it changes outputs are used
// again that were made of the old one. So what a job needs beside its input comes best with its
// source (embed), or as the value of a flag or a variable.
//
// Keys are kept in an encoding whose byte order is their natural order (numbers by value,
// strings by bytes, tuples by component, Desc in reverse), and all sorting is by it.
package mr
