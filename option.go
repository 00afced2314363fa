package mr

import (
	"context"
	"iter"
	"reflect"
)

// Emit takes a pair. It keeps neither key nor value after it returns, except strings. It must
// not be called by two goroutines at once, nor after the function that was given it has returned: one that
// starts goroutines waits for them. It panics where it is seen to be, but it is no lock.
type Emit[K, V any] func(key K, value V)

// Input is the type of records that a mapper takes.
type Input interface{ string | []byte }

// Mapper is a mapper with state; see MapFrom.
type Mapper[I Input, K, V any] interface {
	Map(record I, emit Emit[K, V]) error
}

// Reducer is a reducer with state; see ReduceFrom.
type Reducer[K, V, K2, V2 any] interface {
	Reduce(key K, values iter.Seq[V], emit Emit[K2, V2]) error
}

// Option is a part of a job. Jobs of one binary that are given the very same Option
// values for Map and Combine (made once, in a variable) share map outputs.
type Option func(*stages)

// stages is what the options of a job add up to.
type stages struct {
	mapper     *mapOpt
	combiner   *combineOpt
	reducer    *reduceOpt
	wrong      string // with an option by itself, or with having it twice
	positions  bool
	raw        bool
	likeInput  bool
	version    string
	env        []string
	reduceOnly []string
	prefix     int // components to group by; -1: all keys are one group
}

// mapOpt is a Map option. run is nil in a binary that was built without its mapper.
// Its address is its identity: see Option.
type mapOpt struct {
	key, value reflect.Type
	run        func(ctx context.Context, p *Program, env TaskEnv, in BlockReader, out RecordSink) (Counters, error)
	fold       func(ctx context.Context, p *Program, env TaskEnv, in RecordReader, out RecordSink) (Counters, error)
	emitText   func(ctx context.Context, p *Program, env TaskEnv, in RecordReader, out RecordSink) (Counters, error)
}

// combineOpt is a Combine option; f is a func(a, b V) V.
type combineOpt struct {
	value reflect.Type
	f     any
}

// reduceOpt is a Reduce option. run is nil in a binary that was built without its reducer.
type reduceOpt struct {
	key, value       reflect.Type
	outKey, outValue reflect.Type // nil where the reducer was dropped
	run              func(ctx context.Context, p *Program, env TaskEnv, in RecordReader, out RecordSink) (Counters, error)
}

func mapOption[I Input, K, V any](f *mapFuncs[I, K, V]) Option {
	o := newMapOpt[K, V]()
	o.run = f.run
	return orNil("Map", f.each == nil && f.from == nil && f.block == nil && f.blocks == nil && f.spans == nil, o.set)
}

// droppedMap must not be inlined into Map, which then would be too large to be inlined
// itself; see role_map_keep.go.
//
//go:noinline
func droppedMap[K, V any]() Option { return newMapOpt[K, V]().set } //nolint:unused // of the role that drops it

func newMapOpt[K, V any]() *mapOpt {
	return &mapOpt{key: reflect.TypeFor[K](), value: reflect.TypeFor[V](), fold: foldRecords[K, V], emitText: foldText[K, V]}
}

func (o *mapOpt) set(s *stages) {
	if s.mapper != nil {
		s.wrong = "more than one Map"
	}
	s.mapper = o
}

// Combine makes f the job's combiner: it folds two values of a key into one, in the
// order of the input. It must be associative; it is called any number of times, in map
// tasks and in reduce tasks, and a reducer then sees one value a key. It may change and
// return a. A job with a combiner and no reducer writes each key and its folded value.
func Combine[V any](f func(a, b V) V) Option {
	o := &combineOpt{value: reflect.TypeFor[V](), f: f}
	return orNil("Combine", f == nil, func(s *stages) {
		if s.combiner != nil {
			s.wrong = "more than one Combine"
		}
		s.combiner = o
	})
}

// orNil is set, unless the option of that name was given nil for its function.
func orNil(option string, isNil bool, set Option) Option {
	if !isNil {
		return set
	}
	return func(s *stages) { set(s); s.wrong = option + " without a function: it was given nil" }
}

func reduceOption[K, V, K2, V2 any](f *reduceFuncs[K, V, K2, V2]) Option {
	o := &reduceOpt{
		key: reflect.TypeFor[K](), value: reflect.TypeFor[V](),
		outKey: reflect.TypeFor[K2](), outValue: reflect.TypeFor[V2](),
		run: f.run,
	}
	return orNil("Reduce", f.each == nil && f.from == nil && f.pairs == nil && f.pass == nil, o.set)
}

// droppedReduce must not be inlined into Reduce, as droppedMap.
//
//go:noinline
func droppedReduce[K, V any]() Option { //nolint:unused // of the role that drops it
	return (&reduceOpt{key: reflect.TypeFor[K](), value: reflect.TypeFor[V]()}).set
}

func (o *reduceOpt) set(s *stages) {
	if s.reducer != nil {
		s.wrong = "more than one Reduce"
	}
	s.reducer = o
}

// Positions lets the mapper call Task.Path and Task.Offset. Outputs of its map tasks
// are then used again only for the same file name and place in the file.
func Positions() Option { return func(s *stages) { s.positions = true } }

// Version names what the job's code does. Outputs of a job whose code is in the program that
// runs the engine, as that of built-ins and of tests with package mrtest is, are found by its
// name and v: change v with every change of what the code computes. A job binary is known by
// its bytes, whatever v is.
func Version(v string) Option { return func(s *stages) { s.version = v } }

// Env declares environment variables that the job's code reads. Their values become
// part of the job's identity; no others are visible to it (and TZ is UTC). They are those of
// whoever submits the job, or of the daemon where that is reached over TCP.
func Env(names ...string) Option {
	return func(s *stages) { s.env = append(s.env, names...) }
}

// ReduceOnly names flags of the job that only its reducer reads. Map tasks run with
// these flags at their defaults, and their outputs serve every value of them. So such a
// flag must not decide which mapper or combiner the job has.
func ReduceOnly(flags ...string) Option {
	return func(s *stages) { s.reduceOnly = append(s.reduceOnly, flags...) }
}

// GroupFirst groups by the first n components of a tuple key instead of all of it: the
// reducer is called once for each such prefix, and gets the values in the order of the
// whole key (a secondary sort). The key it is given is the group's first.
func GroupFirst(n int) Option {
	return func(s *stages) {
		if s.prefix = n; n < 1 {
			s.wrong = "GroupFirst with less than one component"
		}
	}
}

// GroupAll makes all keys one group: the reducer is called once, in a single reduce
// task (and not at all if there is no record). Use it with ReducePairs.
func GroupAll() Option { return func(s *stages) { s.prefix = -1 } }

// RawOutput writes the output's keys and values back to back, without TAB and LF.
func RawOutput() Option { return func(s *stages) { s.raw = true } }

// OutputLikeInput declares that the output's records are records of the input: where
// those are of a fixed length, the output's have no separators either.
func OutputLikeInput() Option { return func(s *stages) { s.likeInput = true } }

// Number is any type that can be added up.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 |
		~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64
}

// Sum is the combiner that adds.
func Sum[T Number](a, b T) T { return a + b }

// Min is the combiner that keeps the smaller value.
func Min[T Number](a, b T) T { return min(a, b) }

// Max is the combiner that keeps the larger value.
func Max[T Number](a, b T) T { return max(a, b) }
