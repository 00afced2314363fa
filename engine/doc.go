// Package engine decides what runs next, across crashes.
//
// It has three layers, each in its own files:
//
//   - The core (core.go, lease.go, attempts.go, twin.go, rest.go, silence.go) is a pure step function over events. It owns no
//     bytes, no clock and no goroutine, and can be simulated.
//   - The loop (loop.go, act.go) owns all state. It feeds the core one event at a time,
//     writes what the core's actions persist in one transaction, and only then carries
//     out the others: orders to workers, planning, cutting, committing.
//   - The methods of mr.Jobs (submit.go, query.go) send the loop requests, or read the
//     catalog.
//
// Invariants:
//
//   - The catalog is the only truth after a crash. What a worker made is visible from
//     the transaction that records its task, its output and its run, and not before.
//   - A task's output is committed by one actTaskDone; results of attempts that are no
//     longer on the core's books are dropped.
//   - Workers are called asynchronously (rpc.Client.Go); the loop never waits for one.
//   - Only the loop touches a job's fields. Others get copies.
package engine
