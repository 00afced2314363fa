package mr

import "context"

// EmitSpans takes a value for many keys that lie in one text: the first key is
// text[spans[0]:spans[1]], the second text[spans[2]:spans[3]], and so on. It keeps neither.
type EmitSpans[V Number] func(text []byte, spans []uint32, v V)

// MapSpans is MapBlock for mappers that cut keys out of a block and say the same of many:
// what a call a key costs is paid once for some hundred. It is there for the jobs that come
// with the system; no role of an author's binary drops its argument.
func MapSpans[V Number](f func(t *Task, block []byte, emit EmitSpans[V]) error) Option {
	o := newMapOpt[[]byte, V]()
	o.run = func(ctx context.Context, p *Program, env TaskEnv, in BlockReader, out RecordSink) (Counters, error) {
		s := mapFuncs[[]byte, []byte, V]{spans: func(e *emitter[[]byte, V]) func(*Task, []byte, Emit[[]byte, V]) error {
			emit := emitSpans(e)
			return func(t *Task, block []byte, _ Emit[[]byte, V]) error { return f(t, block, emit) }
		}}
		return s.run(ctx, p, env, in, out)
	}
	return o.set
}

func emitSpans[V Number](e *emitter[[]byte, V]) EmitSpans[V] {
	if e.table != nil && e.held == nil {
		return e.table.AddSpans
	}
	one := e.emit()
	return func(text []byte, spans []uint32, v V) {
		for i := 0; i+1 < len(spans); i += 2 {
			one(text[spans[i]:spans[i+1]], v)
		}
	}
}
