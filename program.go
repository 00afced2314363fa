package mr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
)

// Program is a configured job. It implements Runner in the process it is in; its
// methods may be called by several goroutines at once if the author's functions may.
type Program struct {
	traits       Traits
	mapStages    *stages // as map tasks see the job
	reduceStages *stages // as combining and reduce tasks see it

	key, value       layout // of what the mapper emits
	outKey, outValue layout // of what the reducer, or else the mapper, emits
}

var _ Runner = (*Program)(nil)

// Traits describes the job.
func (p *Program) Traits() Traits { return p.traits }

// check finds out whether the parts of the job fit, and takes its types apart.
func (p *Program) check() (err error) {
	s := p.reduceStages
	m, c, r := s.mapper, s.combiner, s.reducer
	switch {
	case cmp.Or(s.wrong, p.mapStages.wrong) != "":
		return errors.New(cmp.Or(s.wrong, p.mapStages.wrong))
	case m == nil || p.mapStages.mapper == nil:
		return fmt.Errorf("no mapper: give it mr.Map, mr.MapFrom or mr.MapBlock")
	case c != nil && c.value != m.value:
		return fmt.Errorf("the mapper emits values of type %s, but Combine folds %s", m.value, c.value)
	case r != nil && r.key != m.key:
		return fmt.Errorf("the mapper emits keys of type %s, but Reduce takes keys of type %s", m.key, r.key)
	case r != nil && r.value != m.value:
		return fmt.Errorf("the mapper emits values of type %s, but Reduce takes values of type %s", m.value, r.value)
	case p.disagree() != "":
		return fmt.Errorf("flags that are ReduceOnly decide %s, and map tasks run without them: drop them from mr.ReduceOnly", p.disagree())
	case s.prefix != 0 && r == nil:
		return fmt.Errorf("GroupFirst and GroupAll need a reducer")
	}
	if p.key, err = layoutOf(m.key, false); err != nil {
		return err
	}
	if p.value, err = layoutOf(m.value, true); err != nil {
		return err
	}
	if err := p.key.checkPrefix(s.prefix); err != nil {
		return err
	}
	return p.checkOutput(m, r)
}

// disagree names what map tasks would do otherwise than the job's other tasks expect of them, where
// they see another configuration than these.
func (p *Program) disagree() string {
	m, r := p.mapStages, p.reduceStages
	switch {
	case m.mapper.key != r.mapper.key:
		return fmt.Sprintf("the type of the mapper's keys (%s or %s)", m.mapper.key, r.mapper.key)
	case m.mapper.value != r.mapper.value:
		return fmt.Sprintf("the type of the mapper's values (%s or %s)", m.mapper.value, r.mapper.value)
	case m.combiner != nil && r.combiner == nil:
		return "that there is no combiner"
	case (m.combiner != nil || m.reducer != nil) != (r.combiner != nil || r.reducer != nil):
		return "whether there is a reducer"
	}
	return ""
}

func (p *Program) checkOutput(m *mapOpt, r *reduceOpt) (err error) {
	key, value := m.key, m.value
	if r != nil {
		if key, value = r.outKey, r.outValue; key == nil { // dropped by the build
			return nil
		}
	}
	if p.outKey, err = layoutOf(key, true); err != nil {
		return err
	}
	if p.outValue, err = layoutOf(value, true); err != nil {
		return err
	}
	if err := p.outKey.textual(); err != nil {
		return err
	}
	return p.outValue.textual()
}

func (p *Program) describe(name string, params []Param) Traits {
	s := p.reduceStages
	env := slices.Clone(s.env)
	slices.Sort(env)
	t := Traits{
		Job: name, Version: s.version, MapStage: name, Params: params, Env: slices.Compact(env),
		Combine:   s.combiner != nil,
		Tree:      s.combiner != nil,
		Sums:      s.combiner != nil && isSum(s.combiner.f),
		Reduce:    s.combiner != nil || s.reducer != nil,
		Positions: p.mapStages.positions,
		Prefix:    s.prefix, KeyShape: p.key.keyShape(), Raw: s.raw, LikeInput: s.likeInput,
	}
	if s.reducer == nil && t.Sums {
		t.Totals = totals(&p.key, &p.outKey)
	}
	if s.reducer == nil || s.reducer.outKey != nil {
		t.NoKey, t.NoValue = len(p.outKey.parts) == 0, len(p.outValue.parts) == 0
	}
	return t
}

// isSum reports whether f is Sum of integers whose addition is that of varints. Two
// functions with the same code are the same; that it may not be recognised costs time only.
func isSum(f any) bool {
	is := func(sum any) bool { return reflect.ValueOf(f).Pointer() == reflect.ValueOf(sum).Pointer() }
	switch f.(type) {
	case func(a, b int64) int64:
		return is(Sum[int64])
	case func(a, b int) int:
		return strconv.IntSize == 64 && is(Sum[int])
	}
	return false
}

// Map implements Runner.
func (p *Program) Map(ctx context.Context, t TaskEnv, in BlockReader, out RecordSink) (Counters, error) {
	if p.mapStages.mapper.run == nil {
		return nil, p.lacks("mapper")
	}
	return p.mapStages.mapper.run(ctx, p, t, in, out)
}

// Reduce implements Runner.
func (p *Program) Reduce(ctx context.Context, t TaskEnv, in RecordReader, out RecordSink) (Counters, error) {
	s := p.reduceStages
	switch {
	case p.traits.Totals != "":
		return p.addUp(ctx, in, out)
	case s.reducer == nil:
		return s.mapper.emitText(ctx, p, t, in, out)
	case s.reducer.run == nil:
		return nil, p.lacks("reducer")
	}
	return s.reducer.run(ctx, p, t, in, out)
}

// Combine folds the values of each key of in with the job's combiner and writes the
// result as records that Reduce can read: an inner node of a tree of merges.
func (p *Program) Combine(ctx context.Context, t TaskEnv, in RecordReader, out RecordSink) (Counters, error) {
	if p.reduceStages.combiner == nil {
		return nil, Errorf(Usage, "job %s has no combiner", p.traits.Job)
	}
	return p.reduceStages.mapper.fold(ctx, p, t, in, out)
}

func (p *Program) lacks(what string) error {
	return Errorf(Usage, "job %s: this binary was built for another role and has no %s", p.traits.Job, what)
}

// combiner returns the job's combiner for values of type V, or nil. The types were checked.
func combiner[V any](s *stages) func(a, b V) V {
	if s.combiner == nil {
		return nil
	}
	f, ok := s.combiner.f.(func(a, b V) V)
	if !ok {
		panic("mr: a combiner of type " + reflect.TypeOf(s.combiner.f).String() + " passed the checks")
	}
	return f
}
