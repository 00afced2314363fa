// Package worker executes tasks: map or reduce, for a built-in or an author's binary.
//
// A Service is what a master calls over net/rpc: the worker dials in, and then serves.
// One attempt is one RunTask call; a map attempt whose split turns out to have another
// digest than expected, or none yet, answers Identified and holds the split's bytes
// until the master says Proceed or Abandon. So the master decides, with the catalog
// before it, whether the map has to run at all, and the bytes are read once.
//
// Contract:
//
//   - A failure of the task is in plan.Result.Failure, with its kind; the RPC error is
//     only for a broken request.
//   - An attempt's run is sealed (durable) before its result is sent, and invisible
//     until the master commits it. What an attempt leaves behind when it fails or is
//     abandoned, it removes.
//   - Runs do not travel in RPC messages: a worker writes and reads them through Runs.
//   - All methods may be called concurrently. An author's panic ends the attempt, never
//     the worker.
package worker
