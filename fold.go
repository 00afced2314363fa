package mr

import "context"

// Jobs without a reducer, and inner nodes of merge trees: records in, folded if the job
// has a combiner, records out.

// foldText executes a reduce task of a job that has a combiner only.
func foldText[K, V any](ctx context.Context, p *Program, _ TaskEnv, in RecordReader, out RecordSink) (Counters, error) {
	sink := newTextSink[K, V](p, out)
	return eachKey(ctx, p, in, func(t *Task, g *groups[K, V]) error {
		return t.codecError("reduce", sink.write(g.key, g.value))
	}, func(t *Task, g *groups[K, V]) {
		g.count(t)
		t.count("reduce_output_records", sink.n)
	})
}

// foldRecords executes Program.Combine.
func foldRecords[K, V any](ctx context.Context, p *Program, _ TaskEnv, in RecordReader, out RecordSink) (Counters, error) {
	var value []byte
	var n int64
	return eachKey(ctx, p, in, func(t *Task, g *groups[K, V]) error {
		n++
		value = g.codec.Append(value[:0], g.value)
		return out.Record(g.first, value)
	}, func(t *Task, g *groups[K, V]) {
		t.count("combine_input_records", g.records)
		t.count("combine_output_records", n)
	})
}

func eachKey[K, V any](ctx context.Context, p *Program, in RecordReader,
	each func(*Task, *groups[K, V]) error, end func(*Task, *groups[K, V])) (Counters, error) {
	t := newTask(p.traits.Job)
	g := newGroups[K, V](ctx, p, in)
	g.traits = &Traits{} // folding is by whole keys, whatever the reducer groups by
	t.key = g.currentKey
	return t.sums(t.guard("combine", func() error {
		for g.nextGroup() {
			if err := each(t, g); err != nil {
				return err
			}
		}
		end(t, g)
		return g.err
	}))
}
