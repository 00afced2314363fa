package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// The simulation runs the core through random interleavings of all that can happen to
// it, checking the engine's promises after every step. A seed is a schedule:
//
//	MR_SIM_SEEDS=100000 go test ./engine -run TestSimulation
//	MR_SIM_SEED=1234 go test ./engine -run TestSimulation -v     (prints the transcript)

func TestSimulation(t *testing.T) {
	if s := os.Getenv("MR_SIM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("MR_SIM_SEED: %v", err)
		}
		transcript, err := simulate(seed, true)
		t.Log("\n" + transcript)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := uint64(3000)
	if s := os.Getenv("MR_SIM_SEEDS"); s != "" {
		var err error
		if seeds, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("MR_SIM_SEEDS: %v", err)
		}
	}
	failed := 0
	for seed := range seeds {
		if _, err := simulate(seed, false); err != nil {
			t.Errorf("seed %d: %v\n\treplay with: MR_SIM_SEED=%d go test ./engine -run TestSimulation -v", seed, err, seed)
			if failed++; failed == 5 {
				t.Fatal("and so on; stopped")
			}
		}
	}
}

// broken is how a check ends a schedule.
type broken struct{ err error }

// simulate runs one schedule to its end.
func simulate(seed uint64, verbose bool) (transcript string, err error) {
	var b strings.Builder
	w := newWorld(seed)
	if verbose {
		w.log = func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(broken)
			if !ok {
				panic(r)
			}
			transcript, err = b.String(), e.err
		}
	}()
	for range 20_000 {
		if w.over() {
			return b.String(), nil
		}
		w.advance()
	}
	w.check.fail("the jobs don't come to an end")
	return
}

func newWorld(seed uint64) *world {
	w := &world{
		rng:     rand.New(rand.NewPCG(seed, 1)),
		now:     epochStart,
		log:     func(string, ...any) {},
		records: map[taskID]simTask{},
		outputs: map[mr.Digest]simOutput{},
		runs:    map[uint64]*simRun{},
		epoch:   1,
		core:    newCore(1),
	}
	w.twins = w.chance(80)
	w.small = 3 * w.rng.IntN(2)
	w.core.speculate, w.core.smallSlots = w.twins, w.small
	w.check = newChecker(w)
	w.faults = w.rng.IntN(25 + 50*w.rng.IntN(2)*w.rng.IntN(2))
	if w.chance(10) {
		w.faults = 0
	}
	w.slow, w.ticking = w.chance(40), w.chance(50)
	pool := 1 + w.rng.IntN(6)
	size := 1 + w.rng.IntN(4)
	if w.chance(15) {
		size = 8
	}
	for i := range 1 + w.rng.IntN(3) {
		j := &simJob{
			id: mr.JobID(fmt.Sprintf("j%d", i)), share: w.chance(80), nondet: w.chance(30),
			stamped: w.chance(50), tiny: w.chance(50), reducers: w.rng.IntN(4),
		}
		for range w.rng.IntN(size + 1) {
			j.contents = append(j.contents, name('k', uint64(w.rng.IntN(pool))))
		}
		if w.chance(15) { // map-only: a task for each map's output
			j.reducers = len(j.contents)
		}
		w.jobs = append(w.jobs, j)
	}
	return w
}

func (w *world) over() bool {
	for _, j := range w.jobs {
		if j.state == "" {
			return false
		}
	}
	return true
}

// advance lets one or a few things happen, as many as share a turn of the loop.
func (w *world) advance() {
	w.now = w.now.Add(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
	n := 1 + w.rng.IntN(3)*w.rng.IntN(2)
	if w.chance(5) {
		n = 10
	}
	for range n {
		w.happen()
	}
	if w.ticking {
		w.live()
	}
	w.turn()
}

func (w *world) happen() {
	switch n := w.rng.IntN(100); {
	case n < 5:
		w.submit()
	case n < 7:
		w.queue = append(w.queue, evTick{})
	case n < 12:
		w.join()
	case n < 13:
		w.zombie()
	case n < 14:
		w.stop()
	case n < 15:
		if w.fault(60) {
			w.vanish()
		}
	case n < 16:
		if w.fault(20) {
			w.queue = append(w.queue, evKill{job: w.jobs[w.rng.IntN(len(w.jobs))].id})
		}
	case n < 19:
		if w.fault(80) {
			w.damage()
		}
	case n < 20:
		if len(w.queue) == 0 && w.fault(50) {
			w.crash("")
		}
	case n < 45:
		if len(w.background) > 0 {
			i := w.rng.IntN(len(w.background))
			fn := w.background[i]
			w.background = append(w.background[:i:i], w.background[i+1:]...)
			fn()
		}
	default:
		if len(w.flights) > 0 {
			f := w.flights[w.rng.IntN(len(w.flights))]
			if late := w.slow && f.id%4 == 1; !late || w.chance(10) {
				w.answer(f)
			}
		}
	}
}

func (w *world) submit() {
	for _, j := range w.jobs {
		if !w.check.submitted[j.id] {
			w.check.submitted[j.id] = true
			w.queue = append(w.queue, evAdd{job: j.id, share: j.share})
			return
		}
	}
}

func (w *world) join() {
	if len(w.workers) < 3 {
		w.lastWorker++
		x := simWorker{id: w.lastWorker, slots: 1 + w.rng.IntN(3), leased: w.ticking && w.chance(60)}
		w.workers = append(w.workers, x)
		if x.leased {
			w.queue = append(w.queue, evJoined{x.id, x.slots, fmt.Sprintf("w%d", x.id%3), simLease, 0})
		} else {
			w.queue = append(w.queue, evWorker{x.id, x.slots})
		}
	}
}

// simLease is a few steps of the world's time.
const simLease = 3 * time.Second

// live lets time be seen to pass, and leased workers give signs of life, unless they are stopped.
func (w *world) live() {
	if !w.chance(90) { // else the engine was away itself
		return
	}
	for i := range w.workers {
		x := &w.workers[i]
		if x.leased && !x.stopped && w.chance(90) {
			w.queue = append(w.queue, evBeat{x.id})
		}
	}
	w.queue = append(w.queue, evTick{})
}

// stop stops a leased worker, or continues it.
func (w *world) stop() {
	if len(w.workers) > 0 {
		x := &w.workers[w.rng.IntN(len(w.workers))]
		x.stopped = x.leased && !x.stopped && w.fault(60)
	}
}

// vanish is loop.workerGone.
func (w *world) vanish() {
	if len(w.workers) == 0 {
		return
	}
	i := w.rng.IntN(len(w.workers))
	id := w.workers[i].id
	w.workers = append(w.workers[:i:i], w.workers[i+1:]...)
	var rest []*simFlight
	for _, f := range w.flights {
		if f.worker != id || f.answer != nil {
			rest = append(rest, f)
			continue
		}
		w.zombies = append(w.zombies, f)
	}
	w.flights = rest
	w.queue = append(w.queue, evWorkerGone{id})
}

func (w *world) damage() {
	if w.lastRun == 0 {
		return
	}
	id := 1 + w.rng.Uint64N(w.lastRun)
	if r := w.runs[id]; r != nil {
		w.log("# run r%d goes bad", id)
		if r.damaged = w.chance(60); !r.damaged {
			delete(w.runs, id)
		}
	}
}

// zombie lets an attempt speak that nobody listens to any more.
func (w *world) zombie() {
	if len(w.zombies) == 0 {
		return
	}
	f := w.zombies[w.rng.IntN(len(w.zombies))]
	switch w.rng.IntN(4) {
	case 0:
		w.queue = append(w.queue, evIdentified{f.id, name('k', w.rng.Uint64N(6))})
	case 1:
		w.queue = append(w.queue, evFailed{attempt: f.id, kind: plan.UserError, err: "a zombie's"})
	default:
		w.queue = append(w.queue, evDone{attempt: f.id, key: name('k', w.rng.Uint64N(6)), run: 1 << 40, out: name('z', 1)})
	}
}

// answer lets a worker answer an attempt, as loop.answered and loop.fail report it.
func (w *world) answer(f *simFlight) {
	if f.held || f.answer != nil {
		return
	}
	if f.cancelled && w.chance(60) {
		w.fail(f, evFailed{kind: plan.Cancelled, err: "cancelled"})
		return
	}
	j, t := w.task(f.task)
	switch {
	case t == nil:
		w.check.fail("attempt %s is in flight, but its task is gone", f.id)
	case f.task.kind == plan.Map && !f.proceeded && f.expect != j.mapKey(f.task.index):
		f.held, f.content = true, j.contents[f.task.index]
		w.queue = append(w.queue, evIdentified{f.id, j.mapKey(f.task.index)})
	case w.misfortune(f, j, t):
	case f.task.kind == plan.Map:
		w.mapped(f, j)
	default:
		w.reduced(f, j, t)
	}
}

func (w *world) done(f *simFlight, ev evDone) {
	ev.attempt, ev.cached = f.id, f.copies
	f.answer = &ev
	w.queue = append(w.queue, ev)
	if w.fault(5) {
		w.queue = append(w.queue, ev) // and once more
	}
}

func (w *world) fail(f *simFlight, ev evFailed) {
	w.drop(f)
	w.zombies = append(w.zombies, f)
	ev.attempt, ev.copy = f.id, f.copies
	w.queue = append(w.queue, ev)
}

func (w *world) misfortune(f *simFlight, j *simJob, t *simTask) bool {
	if !w.fault(20) {
		return false
	}
	words := fmt.Sprintf("%s fell over in %s", formatTask(f.task), f.id)
	switch n := w.rng.IntN(100); {
	case n < 3:
		w.fail(f, evFailed{kind: plan.BadInput, err: words})
	case n < 15:
		w.drop(f) // the loop waits a while before it tells
		w.background = append(w.background, func() { w.fail(f, evFailed{kind: plan.NoSpace, err: words}) })
	case n < 25:
		w.fail(f, evFailed{kind: plan.Cancelled, err: words})
	case n < 40 && f.task.kind == plan.Map:
		j.contents[f.task.index] = name('k', w.rng.Uint64N(6))
		t.expect = mr.Digest{}
		w.fail(f, evFailed{kind: plan.UserError, err: words, changed: true})
	case n < 40:
		lost := []uint64{1 + w.rng.Uint64N(w.lastRun+1)} // whether it is lost or not
		if f.copies {
			t.keep = 0
			w.forget(t.key)
		}
		w.fail(f, evFailed{kind: plan.LostRun, err: words, lost: lost})
	default:
		w.fail(f, evFailed{kind: plan.UserError, err: words})
	}
	return true
}

func (w *world) mapped(f *simFlight, j *simJob) {
	if !f.proceeded {
		f.content = j.contents[f.task.index]
	}
	w.lastRun++
	out := f.content
	out[0] = 'd'
	if j.nondet {
		w.lastDig++
		out = name('n', w.lastDig)
	}
	key := f.content
	if !j.share {
		key = j.mapKey(f.task.index)
	}
	w.done(f, evDone{key: key, run: w.lastRun, out: out})
}

func (w *world) reduced(f *simFlight, j *simJob, t *simTask) {
	var lost []uint64
	var outs []mr.Digest
	for _, id := range f.runs {
		if r := w.runs[id]; r == nil || r.damaged {
			lost = append(lost, id)
		} else {
			outs = append(outs, r.out)
		}
	}
	switch {
	case len(lost) > 0 && f.copies:
		t.keep = 0
		w.forget(t.key)
		w.fail(f, evFailed{kind: plan.LostRun, err: "the kept part is lost", lost: lost})
	case len(lost) > 0:
		w.fail(f, evFailed{kind: plan.LostRun, err: "lost", lost: lost[:1+w.rng.IntN(len(lost))]})
	case f.copies:
		w.done(f, evDone{run: f.runs[0], out: f.keepAs})
	default:
		w.lastRun++
		w.done(f, evDone{run: w.lastRun, out: digestOf('o', f.task.index, outs)})
	}
}
