//go:build !mr_map && !mr_combine

package mr

import "iter"

// See role_map_keep.go for what these files are about.

// Reduce makes f the job's reducer: it is called once a key, in key order, with the
// key's values in the order of the input. Values come from disk as they are read: a
// group may be larger than memory. values can be read once; what is left unread is
// skipped. With a combiner there is exactly one value.
//
// The key is valid after the call if it is a string, and during the call if it is or
// holds a []byte; a []byte value is valid until the next one.
func Reduce[K, V, K2, V2 any](f func(t *Task, key K, values iter.Seq[V], emit Emit[K2, V2]) error) Option {
	return reduceOption(&reduceFuncs[K, V, K2, V2]{each: f})
}

// ReduceFrom is Reduce for reducers that need to be set up: setup is called once a task.
// If the Reducer has a method Cleanup() error, it is called after the last group. It
// cannot emit: a task is one range of keys, and where ranges are cut must not show in
// the output. GroupAll is the way to see all keys at once.
func ReduceFrom[K, V, K2, V2 any](setup func(t *Task) (Reducer[K, V, K2, V2], error)) Option {
	return reduceOption(&reduceFuncs[K, V, K2, V2]{from: setup})
}

// ReducePairs is Reduce for jobs that group by a part of the key (GroupFirst, GroupAll)
// and want to see the whole key of each value.
func ReducePairs[K, V, K2, V2 any](f func(t *Task, group iter.Seq2[K, V], emit Emit[K2, V2]) error) Option {
	return reduceOption(&reduceFuncs[K, V, K2, V2]{pairs: f})
}
