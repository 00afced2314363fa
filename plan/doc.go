// Package plan turns a job into the keys of its tasks and its reduce phase into key
// ranges. It is pure: no I/O, no clock, no state.
//
// The nouns:
//
//   - A Stage is everything that the tasks of one phase of a job have in common: code,
//     parameters, environment, format. It is a list of named components, kept so that
//     two stages can be compared and the first difference named.
//   - A key is the digest of a stage and of one task's own input. Two tasks with equal
//     keys have equal outputs; that is the promise on which all reuse stands.
//   - A tree says in which order a combiner folds the runs of a job; its inner nodes have
//     keys of their own.
//   - A Range is a half-open interval of key bytes; the ranges of a job's reduce tasks
//     cover all keys, in order.
//
// This package is the only place that makes keys. Every field is length-prefixed and
// every kind of key has a domain string of its own, so no two inputs share an encoding.
// Never in a key: job id, name, output path, number of reducers, workers, retries,
// memory, log level, codec, modification times.
package plan
