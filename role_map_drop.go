//go:build mr_combine || mr_reduce

package mr

// See role_map_keep.go. Types of keys and values stay known: the reducer's must match.

// Map makes f the job's mapper; this build has dropped it.
func Map[I Input, K, V any](f func(t *Task, record I, emit Emit[K, V]) error) Option {
	return droppedMap[K, V]()
}

// MapFrom is Map with a setup a task; this build has dropped it.
func MapFrom[I Input, K, V any](setup func(t *Task) (Mapper[I, K, V], error)) Option {
	return droppedMap[K, V]()
}

// MapBlock is Map on blocks of records; this build has dropped it.
func MapBlock[K, V any](f func(t *Task, block []byte, emit Emit[K, V]) error) Option {
	return droppedMap[K, V]()
}
