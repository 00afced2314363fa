//go:build !mr_combine && !mr_reduce

package mr

// A job's package is built once a role. The map role (-tags mr_map) keeps the arguments
// of Map and Combine, the combine role (mr_combine) that of Combine, the reduce role
// (mr_reduce) those of Combine and Reduce; the linker then drops what nobody refers to.
// A stage is identified by the hash of its role's binary, so that an edit of the reducer
// leaves the map binary, and with it all map outputs on record, as they are.
//
// The functions here must stay small enough to be inlined, in the dropping variants
// above all: an argument is dropped only where the compiler sees that nobody uses it.

// Map makes f the job's mapper: it is called once a record and emits any number of pairs.
//
// The record type I is string (a copy the function may keep) or []byte (valid during
// the call only, and faster). Keys and values are described at Job.
func Map[I Input, K, V any](f func(t *Task, record I, emit Emit[K, V]) error) Option {
	return mapOption(&mapFuncs[I, K, V]{each: f})
}

// MapFrom is Map for mappers that have state or need to be set up: setup is called once
// a task. If the Mapper has a method Cleanup(Emit[K, V]) error, it is called after the
// task's last record, and may emit.
//
// A task is one split of the input. Splits depend on the input alone, but an append
// changes the last one: state should only ever make things faster, never different.
func MapFrom[I Input, K, V any](setup func(t *Task) (Mapper[I, K, V], error)) Option {
	return mapOption(&mapFuncs[I, K, V]{from: setup})
}

// MapBlock is for advanced authors who want to look at many records at once: f gets
// blocks of whole records, as they stand in the file, line ends included (Records cuts
// them). The block is valid during the call only. Where blocks are cut is up to the
// system, and what f emits must not depend on it.
func MapBlock[K, V any](f func(t *Task, block []byte, emit Emit[K, V]) error) Option {
	return mapOption(&mapFuncs[[]byte, K, V]{block: f})
}
