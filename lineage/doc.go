// Package lineage remembers which inputs and which code made which output.
//
// The nouns:
//
//   - An Output says what one task made, under the task's key: a run of a map task or
//     the part of a reduce task, with the stage and the split or range it came from,
//     what it cost, and where the bytes are. An inner node of a reduce task's merge that
//     was kept is an Output as well, of kind Merge: the reduce task's, made beside its part. The record outlives the bytes: with Run 0
//     the output is known but must be computed again.
//   - A Task says what a job's task came to: the key of its output, computed or found.
//   - A Stage holds the named components of a stage's digest, once for all its tasks.
//   - A Stamp remembers the digest of a split by the stamps of its files, so that
//     unchanged input is not read again.
//   - A Slot remembers which outputs were last made at a place (job, path, offset), one a
//     stage. A miss is explained by comparing with the slot's earlier output of the same
//     stage, or the newest.
//   - A Plan is the list of a job's splits, kept under its own digest: reruns share it.
//
// All functions work inside a caller's store transaction, so that an output becomes
// visible together with its run and its task or not at all. Values returned are
// copies. Records carry a version byte; a record of an unknown version is an error.
package lineage
