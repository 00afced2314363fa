package mr

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"unsafe"

	"github.com/mrd-io/mr/collect"
)

// mapFuncs is a map stage; exactly one of its functions is set.
type mapFuncs[I Input, K, V any] struct {
	each   func(t *Task, record I, emit Emit[K, V]) error
	from   func(t *Task) (Mapper[I, K, V], error)
	block  func(t *Task, block []byte, emit Emit[K, V]) error
	blocks func(t *Task) (Mapper[I, K, V], error)                                    // of blocks; see MapBlocksFrom
	spans  func(e *emitter[K, V]) func(t *Task, block []byte, emit Emit[K, V]) error // makes a block
}

// run executes a map task.
func (f *mapFuncs[I, K, V]) run(ctx context.Context, p *Program, env TaskEnv, in BlockReader, out RecordSink) (Counters, error) {
	side := newStrands(ctx, p, env, f, out)
	if side != nil {
		env.Memory /= 2 // the strands share the other half
	}
	t := newMapping(p, env)
	e := newEmitter[K, V](p, env, out)
	defer e.discard()
	defer side.discard()
	return t.sums(t.guard("map", func() error {
		m := newMapTask(ctx, t, f, e)
		m.pulse.tell = env.Alive
		if env.Skip != nil {
			m.skip = &skipper{report: env.Skip}
		}
		if err := m.run(f, in, side); err != nil {
			return err
		}
		return e.finish(ctx, t)
	}))
}

func newMapping(p *Program, env TaskEnv) *Task {
	t := newTask(p.traits.Job)
	t.mapping, t.positions, t.format = true, p.mapStages.positions, env.Format
	return t
}

// mapTask feeds the records of one task to a mapper.
type mapTask[I Input, K, V any] struct {
	ctx     context.Context // of the task; the only call it bounds is run
	task    *Task
	format  Format
	emitter *emitter[K, V]
	emit    Emit[K, V]
	each    func(t *Task, record I, emit Emit[K, V]) error
	block   func(t *Task, block []byte, emit Emit[K, V]) error // if set, each is not
	records int64
	bytes   int64
	skip    *skipper // nil: a bad record fails the task
	pulse   pulse
}

func newMapTask[I Input, K, V any](ctx context.Context, t *Task, f *mapFuncs[I, K, V], e *emitter[K, V]) *mapTask[I, K, V] {
	m := &mapTask[I, K, V]{ctx: ctx, task: t, format: t.format, emitter: e, emit: e.emit(), each: f.each, block: f.block}
	if f.spans != nil {
		m.block = f.spans(e)
	}
	return m
}

func (m *mapTask[I, K, V]) run(f *mapFuncs[I, K, V], in BlockReader, side *strands[I, K, V]) error {
	var mapper Mapper[I, K, V]
	setup := f.from
	if f.blocks != nil {
		setup = f.blocks
	}
	if setup != nil {
		var err error
		if mapper, err = setup(m.task); err == nil && mapper == nil {
			err = errors.New("the setup function returned neither a Mapper nor an error")
		}
		if err != nil {
			return m.task.userError("map", err)
		}
		m.each = func(_ *Task, record I, emit Emit[K, V]) error { return mapper.Map(record, emit) }
	}
	switch {
	case f.blocks != nil:
		m.emit = m.emitter.through()
		m.block = func(_ *Task, block []byte, emit Emit[K, V]) error { return mapper.Map(asInput[I](block), emit) }
	case m.skip != nil && m.block != nil:
		m.block = m.carefulBlock(m.block)
	case m.skip != nil:
		m.each = m.careful(m.each)
	}
	n, err := m.blocks(in, side)
	if err = side.wait(n, err); err != nil {
		return err
	}
	if c, ok := mapper.(interface{ Cleanup(Emit[K, V]) error }); ok {
		if err := c.Cleanup(m.emitter.through()); err != nil {
			return m.task.userError("map cleanup", err)
		}
	}
	side.join(m)
	m.task.count("map_input_records", m.records)
	m.task.count("map_input_bytes", m.bytes)
	return m.task.codecError("map cleanup", m.emitter.err)
}

// blocks maps all blocks, but for those that side takes, and returns how many there were up
// to the first error.
func (m *mapTask[I, K, V]) blocks(in BlockReader, side *strands[I, K, V]) (n int64, err error) {
	for !side.broken() {
		block, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		n++
		if err == nil {
			err = m.ctx.Err()
		}
		if err == nil && !side.take(n, block) {
			err = m.next(block)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// next maps a block.
func (m *mapTask[I, K, V]) next(block Block) error {
	m.task.block, m.task.pos = block, 0
	m.bytes += int64(len(block.Data))
	if m.block != nil {
		return m.whole(block.Data)
	}
	return m.pieces(block.Data)
}

// whole hands a block to a block mapper. Its records are counted here, since it may
// look at them in any way it likes.
func (m *mapTask[I, K, V]) whole(block []byte) error {
	m.records += countRecords(m.format, block)
	if err := m.block(m.task, block, m.emit); err != nil {
		return m.task.userError("map", err)
	}
	return m.task.codecError("map", m.emitter.err)
}

// pieces cuts a block into records. Strings are cut from an immutable copy of a chunk of
// it, which costs one allocation for many records; []byte records are the block itself.
func (m *mapTask[I, K, V]) pieces(data []byte) error {
	var record I
	switch any(record).(type) {
	case []byte:
		return m.piece(data, 0)
	default:
		if len(data) == 0 {
			return m.piece(data, 0)
		}
		for off, chunk := range chunks(m.format, data) {
			s := string(chunk)
			if err := m.piece(unsafe.Slice(unsafe.StringData(s), len(s)), off); err != nil {
				return err
			}
		}
		return nil
	}
}

// piece feeds the records of data, which begins at off in the block. If I is string,
// data is the memory of a string that nobody will change.
func (m *mapTask[I, K, V]) piece(data []byte, off int) error {
	for at, record := range Records(m.format, data) {
		m.task.pos = off + at
		if m.records++; m.records&0xfff == 0 {
			if err := m.ctx.Err(); err != nil {
				return err
			}
		}
		if err := m.each(m.task, asInput[I](record), m.emit); err != nil {
			return m.task.userError("map", err)
		}
		if m.emitter.err != nil {
			return m.task.codecError("map", m.emitter.err)
		}
		if err := m.pulse.beat(); err != nil {
			return err
		}
	}
	return nil
}

// asInput views b as an I without a copy: a slice's header begins with a string's.
func asInput[I Input](b []byte) I { return *(*I)(unsafe.Pointer(&b)) }

// emitter takes what a mapper emits to where the job wants it: a Table if there is a
// combiner, a Buffer if there is only a reducer, else the output itself.
type emitter[K, V any] struct {
	key    *layout
	value  *valueCodec[V]
	table  *collect.Table[V]
	beside []*collect.Table[V] // of strands, to be drained with table
	buffer *collect.Buffer
	text   *textSink[K, V]
	out    RecordSink
	kbuf   []byte
	vbuf   []byte
	n      int64      // pairs emitted; a table counts its own
	err    error      // of the output; emit cannot return it, so the task looks here
	held   *held[V]   // what the current record has emitted, where bad ones are skipped; else nil
	pass   Emit[K, V] // takes a pair at once, where held is not nil
	over   bool       // the mapper has returned for the last time
	alone  alone
}

func newEmitter[K, V any](p *Program, env TaskEnv, out RecordSink) *emitter[K, V] {
	e := &emitter[K, V]{key: &p.key, value: newValueCodec[V](&p.value), out: out, alone: alone{blind: p.value.custom}}
	opts := collect.Options{Memory: env.Memory, Dir: env.SpillDir, Spare: env.Spare}
	switch f := combiner[V](p.mapStages); {
	case f != nil && p.traits.Sums:
		e.table = collect.NewSums(opts, f, e.value.forTable())
	case f != nil:
		e.table = collect.NewTable(opts, f, e.value.forTable())
	case p.traits.Reduce:
		e.buffer = collect.NewBuffer(opts)
	default:
		e.text = newTextSink[K, V](p, out)
	}
	if env.Skip != nil {
		e.held, e.pass = &held[V]{limit: int(max(env.Memory/2, heldLimit))}, e.through()
	}
	return e
}

// emit returns the function that the mapper calls for its records.
func (e *emitter[K, V]) emit() Emit[K, V] {
	if e.held != nil {
		return e.hold
	}
	return e.through()
}

// through returns the function that takes a pair at once, resolved once for the task.
func (e *emitter[K, V]) through() Emit[K, V] {
	switch {
	case e.text != nil:
		return func(k K, v V) {
			e.inTime()
			e.alone.enter()
			e.n++
			if e.err == nil {
				e.err = e.text.write(k, v)
			}
			e.alone.leave()
		}
	case e.buffer != nil:
		return func(k K, v V) {
			e.inTime()
			e.alone.enter()
			e.n++
			e.vbuf = e.value.Append(e.vbuf[:0], v)
			e.buffer.Add(e.encode(&k), e.vbuf)
			e.alone.leave()
		}
	case e.value.l.refers():
		return func(k K, v V) {
			e.inTime()
			e.table.Add(e.encode(&k), e.value.OwnAll(v))
		}
	case e.key.single == partString:
		add := e.table.Adder(e.inTime)
		return func(k K, v V) {
			s := *(*string)(unsafe.Pointer(&k))
			add(unsafe.Slice(unsafe.StringData(s), len(s)), v)
		}
	case e.key.single == partBytes:
		if emit, ok := any(Emit[[]byte, V](e.table.Adder(e.inTime))).(Emit[K, V]); ok {
			return emit
		}
		fallthrough
	default:
		return func(k K, v V) {
			e.inTime()
			e.table.Add(e.encode(&k), v)
		}
	}
}

// inTime stops who emits when the task is over, as from a goroutine that nobody waited for: the pair would be
// lost without a word. It is no lock: see Emit.
func (e *emitter[K, V]) inTime() {
	if e.over {
		panic(Errorf(Usage, "emit was called after the mapper had returned for the last time; wait for every goroutine that emits"))
	}
}

// alone finds out that two goroutines emit at once, most of the time: records would be lost without a word. It is
// no lock, which would cost each record more than all else that is done for it, and so it is not in the way
// of combined records; there the second execution of new code has to show it.
type alone struct {
	inside bool
	blind  bool // an author's methods are called inside, and if one panics nothing leaves
}

func (a *alone) enter() {
	if a.inside {
		panic(Errorf(Usage, "emit was called by two goroutines at once, and would lose records; let one of them emit, or put a mutex around it"))
	}
	a.inside = !a.blind
}

func (a *alone) leave() { a.inside = false }

// encode returns k's encoding, valid until the next call or while k's own bytes are.
func (e *emitter[K, V]) encode(k *K) []byte {
	switch e.key.single {
	case partString:
		s := *(*string)(unsafe.Pointer(k))
		return unsafe.Slice(unsafe.StringData(s), len(s))
	case partBytes:
		return *(*[]byte)(unsafe.Pointer(k))
	case partInt, partUint:
		if e.key.size == 8 {
			u := *(*uint64)(unsafe.Pointer(k))
			if e.key.single == partInt {
				u ^= 1 << 63
			}
			e.kbuf = binary.BigEndian.AppendUint64(e.kbuf[:0], u)
			return e.kbuf
		}
	}
	e.kbuf = appendKey(e.kbuf[:0], unsafe.Pointer(k), e.key.parts)
	return e.kbuf
}

// finish writes what was collected to the output.
func (e *emitter[K, V]) finish(ctx context.Context, t *Task) error {
	e.over = true
	out := &stoppable{ctx: ctx, out: e.out}
	if e.table != nil {
		if err := e.table.Drain(out, e.beside...); err != nil {
			return err
		}
		n := e.table.Stats().RecordsIn
		for _, other := range e.beside {
			n += other.Stats().RecordsIn
		}
		t.count("map_output_records", n)
		t.count("combine_output_records", e.table.Stats().RecordsOut)
		return nil
	}
	t.count("map_output_records", e.n)
	if e.buffer != nil {
		return e.buffer.Drain(out)
	}
	return e.err
}

// stoppable is a RecordSink that takes nothing more once its task is cancelled: there may be
// gigabytes to come.
type stoppable struct {
	ctx context.Context // of the task whose records these are
	out RecordSink
	n   int64
}

func (s *stoppable) Record(key, value []byte) error {
	if s.n++; s.n&0xfff == 0 {
		if err := s.ctx.Err(); err != nil {
			return err
		}
	}
	return s.out.Record(key, value)
}

// discard releases what a failed task collected; after finish it does nothing.
func (e *emitter[K, V]) discard() {
	e.over = true
	if e.table != nil {
		e.table.Discard()
	}
	if e.buffer != nil {
		e.buffer.Discard()
	}
}

// textSink writes pairs as the output shows them.
type textSink[K, V any] struct {
	key        *textCodec[K]
	value      *textCodec[V]
	out        RecordSink
	kbuf, vbuf []byte
	n          int64
}

func newTextSink[K, V any](p *Program, out RecordSink) *textSink[K, V] {
	return &textSink[K, V]{key: newTextCodec[K](&p.outKey), value: newTextCodec[V](&p.outValue), out: out}
}

func (s *textSink[K, V]) write(k K, v V) error {
	s.n++
	key, value, err := s.render(&k, &v)
	if err != nil {
		return err
	}
	return s.out.Record(key, value)
}

// render returns the text of a pair, valid until the next call or while the pair is.
func (s *textSink[K, V]) render(k *K, v *V) (key, value []byte, err error) {
	if key, err = s.key.view(&s.kbuf, k); err == nil {
		value, err = s.value.view(&s.vbuf, v)
	}
	return key, value, err
}
