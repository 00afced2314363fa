package mr

// MapBlocksFrom is MapFrom for mappers that take blocks, as those of MapBlock do, and keep what
// they find until Cleanup, or until it becomes much. No record can be bad for such a mapper:
// what it emits is not held back, and its errors fail the task. It is there for the jobs that
// come with the system; no role of an author's binary drops its argument.
func MapBlocksFrom[K, V any](setup func(t *Task) (Mapper[[]byte, K, V], error)) Option {
	return mapOption(&mapFuncs[[]byte, K, V]{blocks: setup})
}
