package engine

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// world is what surrounds the core in the simulation: the loop, with its order of doing
// things, the catalog, the runs on disk, and workers that answer when the dice say so.
// Nothing in it is concurrent, and all its randomness comes from one seed.
type world struct {
	rng     *rand.Rand
	core    *core
	check   *checker
	now     time.Time
	faults  int  // how much may still go wrong
	slow    bool // some attempts take their time
	ticking bool // time is seen to pass at every step, and leases may run out
	twins   bool // the core may speculate
	small   int  // slots for small tasks
	log     func(format string, args ...any)

	// On disk; survives a crash.
	jobs    []*simJob
	records map[taskID]simTask
	outputs map[mr.Digest]simOutput // what the catalog holds by key
	runs    map[uint64]*simRun
	epoch   uint64
	lastRun uint64
	lastDig uint64

	// In the daemon; gone after a crash.
	queue      []event
	flights    []*simFlight
	background []func()
	workers    []simWorker
	lastWorker workerID

	zombies []*simFlight // attempts that the daemon has given up, and that may yet answer
}

type simWorker struct {
	id      workerID
	slots   int
	leased  bool // it is in another process
	stopped bool // and gives no sign of life
}

type simOutput struct {
	run uint64
	out mr.Digest
}

type simRun struct {
	out     mr.Digest
	damaged bool
}

type simJob struct {
	id       mr.JobID
	share    bool
	nondet   bool // its maps come out different each time
	stamped  bool // planning knows what its splits hold
	tiny     bool // every other split of it is
	reducers int
	contents []mr.Digest // what the splits hold now, as the key of a job that shares

	record  struct{ planned, cut bool }
	planned bool // the daemon's copy
	state   mr.State
	maps    []simTask
	reduces []simTask
	cutOuts []mr.Digest // the maps' digests that the ranges were cut from
}

type simTask struct {
	state    uint8 // of lineage.TaskState
	key      mr.Digest
	run      uint64
	out      mr.Digest
	cached   bool
	failures int
	expect   mr.Digest // memory only: the key that the split is believed to have
	keep     uint64    // memory only: a kept part
	keepAs   mr.Digest
}

const (
	simStarted = 1 + iota
	simDone
	simLost
)

type simFlight struct {
	id        plan.Attempt
	task      taskID
	worker    workerID
	expect    mr.Digest
	content   mr.Digest // what it has read
	runs      []uint64
	copies    bool
	keepAs    mr.Digest
	held      bool
	proceeded bool
	cancelled bool
	answer    *evDone // queued, not yet settled
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// fault reports whether something goes wrong now, and books it.
func (w *world) fault(percent int) bool {
	if w.faults == 0 || !w.chance(percent) {
		return false
	}
	w.faults--
	return true
}

func (w *world) job(id mr.JobID) *simJob {
	for _, j := range w.jobs {
		if j.id == id && j.state == "" {
			return j
		}
	}
	return nil
}

func (w *world) task(id taskID) (*simJob, *simTask) {
	j := w.job(id.job)
	if j == nil {
		return nil, nil
	}
	ts := j.maps
	if id.kind == plan.Reduce {
		ts = j.reduces
	}
	if id.index >= len(ts) {
		return nil, nil
	}
	return j, &ts[id.index]
}

func (j *simJob) mapKey(i int) mr.Digest {
	if !j.share {
		var h uint64
		fmt.Sscanf(string(j.id), "j%d", &h)
		return name('p', h*100+uint64(i))
	}
	return j.contents[i]
}

// digestOf is the digest of what a reduce task makes of map outputs.
func digestOf(letter byte, index int, outs []mr.Digest) mr.Digest {
	h := fnv.New32a()
	for _, d := range outs {
		h.Write(d[:])
	}
	return name(letter, uint64(h.Sum32())*100+uint64(index))
}

func (j *simJob) outs() (ds []mr.Digest) {
	for i := range j.maps {
		ds = append(ds, j.maps[i].out)
	}
	return ds
}

// turn is loop.turn: step, persist, carry out, until nothing is queued.
func (w *world) turn() {
	for len(w.queue) > 0 {
		evs := w.queue
		w.queue = nil
		var acts []action
		for _, ev := range evs {
			w.log("%s", formatEvent(ev))
			as := w.core.step(ev, w.now)
			for _, a := range as {
				w.log("  > %s", formatAction(a))
			}
			w.check.observe(ev, as)
			acts = append(acts, as...)
		}
		if w.fault(1) {
			w.crash("before it was recorded")
			return
		}
		for _, a := range acts {
			w.persist(a)
		}
		if w.fault(1) {
			w.crash("before it was carried out")
			return
		}
		for _, a := range acts {
			w.carryOut(a)
		}
	}
	w.check.quiet()
}

func (w *world) putTask(id taskID, t *simTask) { w.records[id] = *t }

func (w *world) forget(key mr.Digest) {
	delete(w.runs, w.outputs[key].run)
	delete(w.outputs, key)
}

func (w *world) persist(a action) {
	switch a := a.(type) {
	case actTaskStart:
		if _, t := w.task(a.task); t != nil {
			if t.state != simLost {
				t.state = simStarted
			}
			w.putTask(a.task, t)
		}
	case actTaskDone:
		w.taskDone(a)
	case actTaskLost:
		if _, t := w.task(a.task); t != nil {
			t.state, t.cached = simLost, false
			if a.task.kind == plan.Reduce || w.outputs[t.key].run == a.run {
				w.forget(t.key)
			}
			w.putTask(a.task, t)
		}
	case actTaskFail:
		if _, t := w.task(a.task); t != nil {
			t.failures++
			w.putTask(a.task, t)
		}
	case actJobPhase:
		if j, c := w.job(a.job), w.core.jobs[a.job]; j != nil && c != nil {
			j.record.planned, j.record.cut = j.planned, c.cut
		}
	case actJobEnd:
		j := w.job(a.job)
		w.check.must(j != nil, "%s ends twice on record", a.job)
		j.state = a.state
	}
}

func (w *world) taskDone(a actTaskDone) {
	j, t := w.task(a.task)
	t.state, t.cached = simDone, a.cached
	if a.attempt == 0 {
		found := w.core.jobs[j.id].maps[a.task.index] // it may be lost again already
		t.key, t.run, t.out, t.expect = found.key, found.run, found.out, found.key
		w.putTask(a.task, t)
		return
	}
	f := w.flight(a.attempt)
	w.drop(f)
	t.run, t.out = f.answer.run, f.answer.out
	if a.task.kind == plan.Map {
		t.key, t.expect = f.answer.key, f.answer.key
	}
	if !f.copies {
		if a.task.kind == plan.Map {
			w.check.committed(j, t.key)
		}
		w.forget(t.key) // replaced
		w.outputs[t.key] = simOutput{t.run, t.out}
		w.runs[t.run] = &simRun{out: t.out}
	}
	w.putTask(a.task, t)
}

func (w *world) flight(id plan.Attempt) *simFlight {
	for _, f := range w.flights {
		if f.id == id {
			return f
		}
	}
	return nil
}

func (w *world) drop(f *simFlight) {
	w.flights = slices.DeleteFunc(w.flights, func(g *simFlight) bool { return g == f })
}

func (w *world) carryOut(a action) {
	switch a := a.(type) {
	case actPlan:
		w.plan(a.job)
	case actLookup:
		o, hit := w.outputs[a.key]
		if hit = hit && w.runs[o.run] != nil; !hit {
			o = simOutput{}
		}
		w.check.must(a.attempt != 0 || w.job(a.task.job).maps[a.task.index].state >= simDone || a.key == w.job(a.task.job).mapKey(a.task.index),
			"%s looks up %s, which its split does not hold", formatTask(a.task), formatDigest(a.key))
		w.queue = append(w.queue, evLookup{a.task, a.attempt, hit, o.run, o.out})
	case actStart:
		w.start(a)
	case actProceed:
		if f := w.flight(a.attempt); f != nil {
			f.held, f.proceeded = false, true
			w.check.computes(f, w.core.jobs[f.task.job])
		}
	case actAbandon:
		if f := w.flight(a.attempt); f != nil {
			f.cancelled = true
			if f.held {
				w.drop(f)
				w.zombies = append(w.zombies, f)
				w.queue = append(w.queue, evFailed{attempt: f.id, kind: plan.Cancelled, err: "abandoned"})
			}
		}
	case actFence:
		if f := w.flight(a.attempt); f != nil {
			w.drop(f)
			w.zombies = append(w.zombies, f)
		}
	case actDiscard:
		if f := w.flight(a.attempt); f != nil {
			w.drop(f)
			w.zombies = append(w.zombies, f)
		}
	case actCut:
		w.cut(a.job)
	case actCommit:
		w.background = append(w.background, func() {
			ev := evCommitted{job: a.job}
			if w.fault(3) {
				ev.err = "publishing failed"
			} else {
				w.check.published(w.job(a.job))
			}
			w.queue = append(w.queue, ev)
		})
	case actFinish:
		w.background = append(w.background, func() { w.queue = append(w.queue, evFinished{a.job}) })
	}
}

func (w *world) start(a actStart) {
	j, t := w.task(a.task)
	if t == nil || !slices.ContainsFunc(w.workers, func(x simWorker) bool { return x.id == a.worker }) {
		return
	}
	f := &simFlight{id: a.attempt, task: a.task, worker: a.worker, expect: t.expect}
	if a.task.kind == plan.Reduce {
		if f.copies = t.keep != 0; f.copies {
			f.runs, f.keepAs = []uint64{t.keep}, t.keepAs
		} else {
			for i := range j.maps {
				f.runs = append(f.runs, j.maps[i].run)
			}
		}
	}
	w.flights = append(w.flights, f)
	if a.task.kind == plan.Map && !t.expect.IsZero() && t.expect == j.mapKey(a.task.index) {
		w.check.computes(f, w.core.jobs[f.task.job])
	}
}

// plan looks at the catalog now or later, and answers later.
func (w *world) plan(id mr.JobID) {
	j := w.job(id)
	if j == nil {
		return
	}
	var ps []planned
	early := w.chance(50)
	if early {
		ps = w.lookUpSplits(j)
	}
	w.background = append(w.background, func() {
		if w.job(id) == nil {
			return
		}
		if w.fault(2) {
			w.queue = append(w.queue, evPlanFailed{id, "cannot be planned"})
			return
		}
		if !early {
			ps = w.lookUpSplits(j)
		}
		j.planned, j.maps = true, make([]simTask, len(ps))
		for i := range ps {
			j.maps[i].expect = ps[i].key
		}
		w.queue = append(w.queue, evPlanned{job: id, maps: ps})
	})
}

func (w *world) lookUpSplits(j *simJob) []planned {
	ps := make([]planned, len(j.contents))
	for i := range ps {
		ps[i].tiny = j.tiny && i%2 == 0
		if !j.stamped {
			continue
		}
		ps[i].key = j.mapKey(i)
		if o, ok := w.outputs[ps[i].key]; ok && j.share && w.runs[o.run] != nil {
			ps[i].done, ps[i].cached, ps[i].run, ps[i].out = true, true, o.run, o.out
		}
	}
	return ps
}

// cut looks at the maps' runs now or later, and answers later.
func (w *world) cut(id mr.JobID) {
	j := w.job(id)
	if j == nil {
		return
	}
	runs := make([]uint64, len(j.maps))
	for i := range j.maps {
		runs[i] = j.maps[i].run
	}
	var lost []uint64
	var reduces []simTask
	var outs []mr.Digest
	look := func() { lost, reduces, outs = w.shuffle(j, runs) }
	early := w.chance(50)
	if early {
		look()
	}
	w.background = append(w.background, func() {
		if !early {
			look()
		}
		switch {
		case w.job(id) == nil:
		case w.fault(1):
			w.queue = append(w.queue, evCut{job: id, err: "cannot be cut"})
		case len(lost) > 0:
			w.queue = append(w.queue, evCut{job: id, lost: lost})
		default:
			ps := make([]planned, len(reduces))
			for i := range reduces {
				if i < len(j.reduces) {
					reduces[i].failures = j.reduces[i].failures
				}
				ps[i] = planned{key: reduces[i].key, failures: reduces[i].failures, tiny: reduces[i].keep != 0}
			}
			j.reduces, j.cutOuts = reduces, outs
			w.queue = append(w.queue, evCut{job: id, reduces: ps})
		}
	})
}

// shuffle reads the runs' indexes, in which damage may or may not show.
func (w *world) shuffle(j *simJob, runs []uint64) (lost []uint64, reduces []simTask, outs []mr.Digest) {
	for _, id := range runs {
		if r := w.runs[id]; r == nil || r.damaged && w.chance(70) {
			lost = append(lost, id)
		} else {
			outs = append(outs, r.out)
		}
	}
	if len(lost) > 0 {
		return lost, nil, nil
	}
	reduces = make([]simTask, j.reducers)
	for i := range reduces {
		reduces[i].key = digestOf('q', i, outs)
		if !j.share {
			reduces[i].key[31] = 1
			continue
		}
		if o, ok := w.outputs[reduces[i].key]; ok && w.runs[o.run] != nil {
			reduces[i].keep, reduces[i].keepAs = o.run, o.out
		}
	}
	return nil, reduces, outs
}
