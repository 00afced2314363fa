//go:build mr_map || mr_combine

package mr

import "iter"

// See role_map_keep.go for what these files are about.

// Reduce makes f the job's reducer; this build has dropped it.
func Reduce[K, V, K2, V2 any](f func(t *Task, key K, values iter.Seq[V], emit Emit[K2, V2]) error) Option {
	return droppedReduce[K, V]()
}

// ReduceFrom is Reduce with a setup a task; this build has dropped it.
func ReduceFrom[K, V, K2, V2 any](setup func(t *Task) (Reducer[K, V, K2, V2], error)) Option {
	return droppedReduce[K, V]()
}

// ReducePairs is Reduce with whole keys; this build has dropped it.
func ReducePairs[K, V, K2, V2 any](f func(t *Task, group iter.Seq2[K, V], emit Emit[K2, V2]) error) Option {
	return droppedReduce[K, V]()
}
