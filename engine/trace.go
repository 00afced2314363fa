package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/rpc"
	"slices"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
	"github.com/mrd-io/mr/store"
)

// This file goes from an output back to its input by doing work again: the runs of the
// maps say which of them have a key, and mapping their splits again, in ever smaller
// pieces, says which records it comes from.

// maxTraced is how many records are looked for unless the request says.
const maxTraced = 20

// origin is what is on record about the job that made an output.
type origin struct {
	rec    *record
	splits []input.Split
	maps   map[int]*lineage.Task
	outs   map[int]*lineage.Output
}

func (e *Engine) originOf(output string) (o *origin, err error) {
	o = &origin{maps: map[int]*lineage.Task{}, outs: map[int]*lineage.Output{}}
	err = e.o.Store.View(func(tx *store.Tx) error {
		if o.rec, err = latest(tx, output); err != nil {
			return err
		}
		if o.splits, err = splitsOf(tx, o.rec); err != nil {
			return err
		}
		return lineage.ScanTasks(tx, o.rec.ID, plan.Map, func(i int, t *lineage.Task) error {
			out, err := lineage.GetOutput(tx, t.Key)
			if err == nil && out != nil && i < len(o.splits) && t.State == lineage.TaskDone {
				o.maps[i], o.outs[i] = t, out
			}
			return err
		})
	})
	if err == nil {
		e.locate(&o.rec.Spec.Code)
		err = needBinary(o.rec)
	}
	if err == nil && len(o.maps) == 0 {
		err = mr.Errorf(mr.NotFound, "the map tasks of job %s, which wrote %s, are not on record any more", o.rec.ID, output)
	}
	return o, err
}

// mapAgain is the order to make the output of map task i of a job again.
func (e *Engine) mapAgain(r *record, s input.Split, i int, out *lineage.Output) (w plan.Work, err error) {
	w = r.work(plan.Map, i, e.o.TaskMemory)
	w.Expect = out.Split
	w.Split, err = s.MarshalBinary()
	return w, err
}

// ask calls any one worker and waits for its answer.
func (e *Engine) ask(ctx context.Context, method string, args, reply any) error {
	c, err := e.anyWorker(ctx)
	if err != nil {
		return err
	}
	call := c.Go(method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return call.Error
	case <-ctx.Done():
		return mr.Errorf(mr.Interrupted, "gave up waiting for a worker: %w", ctx.Err())
	}
}

// TraceKey implements mr.Tracer.
func (e *Engine) TraceKey(ctx context.Context, req mr.TraceRequest) (t mr.Trace, err error) {
	if req.Most <= 0 {
		req.Most = maxTraced
	}
	o, err := e.originOf(req.Output)
	if err != nil {
		return t, err
	}
	t = mr.Trace{Job: o.rec.ID, Output: o.rec.Spec.Output, Key: req.Key}
	shape := o.rec.Traits.KeyShape
	if !o.rec.Traits.Reduce { // the runs of a map-only job hold text
		shape = "*"
	}
	forms, exact := keyForms(shape, req.Key)
	if len(forms) == 0 {
		return t, mr.Errorf(mr.Usage, "%q is no key of job %s: its keys have %d components, separated by TABs, or are numbers", req.Key, o.rec.Traits.Job, len(shape))
	}
	var tasks []int
	if tasks, err = e.tasksWithKey(o, req.Part, forms, exact, &t); err != nil {
		return t, err
	}
	if len(tasks) == 0 && o.rec.Traits.Reduce {
		return t, mr.Errorf(mr.NotFound, "no map output of job %s has the key %q; if it stands in %s, the reducer makes keys of its own, and only 'mrctl lineage %s#PART' can tell more", o.rec.ID, req.Key, t.Output, t.Output)
	}
	for _, i := range tasks {
		if err := e.searchTask(ctx, o, i, &plan.Search{Keys: forms, Exact: exact}, req.Most, &t); err != nil {
			return t, err
		}
		if t.More {
			break
		}
	}
	if len(t.Records) == 0 && len(t.Notes) == 0 {
		return t, mr.Errorf(mr.NotFound, "no record of the input makes job %s emit the key %q", o.rec.Traits.Job, req.Key)
	}
	return t, nil
}

// tasksWithKey finds the maps whose runs have the key, and where runs are gone, those that
// may have had it.
func (e *Engine) tasksWithKey(o *origin, part int, forms [][]byte, exact bool, t *mr.Trace) (tasks []int, err error) {
	rs := o.rec.Ranges
	for i := range rs {
		inside := func(k []byte) bool { return plan.Range(rs[i]).Contains(k) }
		if o.rec.Traits.Reduce && slices.ContainsFunc(forms, inside) && (part < 0 || part == i) {
			t.Part = partName(o.rec, i)
			break
		}
	}
	for i := range len(o.splits) {
		out := o.outs[i]
		if out == nil || !o.rec.Traits.Reduce && part >= 0 && part != i {
			continue
		}
		job, _ := maker(o.rec, o.maps[i], out)
		task := mr.TraceTask{
			Task: plan.TaskName(plan.Map, i), Split: o.splits[i].String(), State: mr.Succeeded, Job: job,
		}
		if o.maps[i].Cached {
			task.State = mr.Cached
		}
		n, err := countKey(e.o.Store, o.maps[i].Made.Run, forms, exact)
		if err != nil {
			task.State = mr.Lost
		} else if n == 0 {
			continue
		}
		task.Records = n
		t.Tasks = append(t.Tasks, task)
		tasks = append(tasks, i)
	}
	return tasks, nil
}

// countKey counts the records of a run with one of the keys.
func countKey(s *store.Store, id uint64, forms [][]byte, exact bool) (n int64, err error) {
	src, err := s.OpenRun(store.RunID(id))
	if err != nil {
		return 0, err
	}
	defer src.Close()
	ix, err := run.ReadIndex(src, src.Blobs())
	if err != nil {
		return 0, err
	}
	for _, f := range forms {
		var lo, hi []byte
		if !ix.Unsorted {
			lo = f
			if exact {
				hi = append(append([]byte{}, f...), 0)
			}
		}
		r := run.NewReader(src, ix, lo, hi)
		for r.Next() {
			switch {
			case bytes.Equal(r.Key(), f) || !exact && bytes.HasPrefix(r.Key(), f):
				n++
			case !ix.Unsorted:
				goto next // beyond all that begin with f
			}
		}
		if err := r.Err(); err != nil {
			return n, err
		}
	next:
	}
	return n, nil
}

// searchTask looks for the records in one split.
func (e *Engine) searchTask(ctx context.Context, o *origin, i int, q *plan.Search, most int, t *mr.Trace) error {
	var err error
	if q.Work, err = e.mapAgain(o.rec, o.splits[i], i, o.outs[i]); err != nil {
		return err
	}
	q.Most = most - len(t.Records)
	name := plan.TaskName(plan.Map, i)
	if q.Most <= 0 {
		t.More = true
		return nil
	}
	var found plan.Found
	if err := e.ask(ctx, "Worker.Search", q, &found); err != nil {
		return err
	}
	if found.Failure.Kind != plan.NoFailure {
		t.Notes = append(t.Notes, fmt.Sprintf("%s could not be mapped again: %s", name, found.Failure.Message))
	}
	for _, r := range found.Records {
		t.Records = append(t.Records, mr.TraceRecord{
			Task: name, Path: r.Path, Offset: r.Offset, Length: r.Length, Line: string(r.Line), Exact: r.Exact,
		})
	}
	t.More = found.More
	return nil
}

// Rerun implements mr.Tracer.
func (e *Engine) Rerun(ctx context.Context, output string, n int) (list []mr.RerunTask, err error) {
	if n < 0 {
		return nil, mr.Errorf(mr.Usage, "%d map tasks cannot be executed again: the number cannot be negative", n)
	}
	o, err := e.originOf(output)
	if err != nil {
		return nil, err
	}
	var all []int
	for i := range len(o.splits) {
		if o.outs[i] != nil {
			all = append(all, i)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(n, len(all))]
	slices.Sort(all)
	for _, i := range all {
		w, err := e.mapAgain(o.rec, o.splits[i], i, o.outs[i])
		if err != nil {
			return list, err
		}
		var res plan.Rehearsal
		if err := e.ask(ctx, "Worker.Rehearse", &w, &res); err != nil {
			return list, err
		}
		// The task's own digest: what is on record under its key may be a later output.
		t := mr.RerunTask{
			Task: plan.TaskName(plan.Map, i), Split: o.splits[i].String(),
			Recorded: o.maps[i].Made.Digest.String(), CPU: res.CPU.Seconds(),
		}
		var files []plan.Opened
		if o.outs[i].Made.Digest == o.maps[i].Made.Digest {
			if files, err = e.openedList(o.outs[i].Opened); err != nil {
				return list, err
			}
		}
		strange := unknownFiles(res.Opened, files)
		switch {
		case len(strange) > 0:
			t.Error = errFileChanged(strange[0]).Error()
		case res.Failure.Kind != plan.NoFailure:
			t.Error = res.Failure.Message
		case res.Split != w.Expect:
			t.Error = "the input has changed since: " + t.Split
		default:
			t.Got = res.Digest.String()
			t.Same = res.Digest == o.maps[i].Made.Digest
		}
		list = append(list, t)
	}
	return list, nil
}

// TraceKey needs an engine: records are mapped again.
func (c Catalog) TraceKey(context.Context, mr.TraceRequest) (mr.Trace, error) {
	return mr.Trace{}, errNoEngine
}

// Rerun needs an engine.
func (c Catalog) Rerun(context.Context, string, int) ([]mr.RerunTask, error) { return nil, errNoEngine }

var (
	_ mr.Tracer = (*Engine)(nil)
	_ mr.Tracer = Catalog{}
)
