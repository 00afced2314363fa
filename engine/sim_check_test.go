package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// checker watches events and actions go by and holds the core to the engine's promises.
// It keeps books of its own, from what it sees; it does not look at the core's, except
// in audit, which holds that the core's books agree with themselves.
type checker struct {
	w         *world
	submitted map[mr.JobID]bool
	used      map[plan.Attempt]bool // attempts ever started, in all lives

	// Of this life of the daemon.
	jobs  map[mr.JobID]*jobView
	live  map[plan.Attempt]*attemptView
	slots map[workerID]int
	signs map[workerID]time.Time // the last sign of life of leased workers
	busy  map[workerID]int       // attempts that must have a slot of their own
	all   map[workerID]int
}

type jobView struct {
	planned bool
	cut     []mr.Digest // what the ranges stand on; nil before the cut
	tasks   [2][]taskView
	killed  bool
	closing bool   // committing or ending: nothing may start
	reason  string // why it must fail, in its words
	inVain  string // likewise, of outputs that are lost again and again
	finish  bool
	commit  bool
	success bool
}

type taskView struct {
	losses   int
	done     bool
	tiny     bool
	run      uint64
	out      mr.Digest
	failures int
	first    string      // the first failure's words in this life
	on       []mr.Digest // reduce: what its output stands on
}

type attemptView struct {
	task    taskID
	worker  workerID
	small   bool     // may run beside the slots
	void    bool     // abandoned: it may not be heard
	runs    []uint64 // reduce: the maps' runs when it started
	on      []mr.Digest
	reading bool // computes the key below
	key     mr.Digest
}

func newChecker(w *world) *checker {
	k := &checker{w: w, submitted: map[mr.JobID]bool{}, used: map[plan.Attempt]bool{}}
	k.restart()
	return k
}

func (k *checker) restart() {
	k.jobs, k.live = map[mr.JobID]*jobView{}, map[plan.Attempt]*attemptView{}
	k.slots, k.busy, k.all = map[workerID]int{}, map[workerID]int{}, map[workerID]int{}
	k.signs = map[workerID]time.Time{}
}

func (k *checker) fail(format string, args ...any) {
	panic(broken{fmt.Errorf(format, args...)})
}

func (k *checker) must(ok bool, format string, args ...any) {
	if !ok {
		k.fail(format, args...)
	}
}

func (v *jobView) task(id taskID) *taskView {
	if v == nil || id.index >= len(v.tasks[id.kind]) {
		return nil
	}
	return &v.tasks[id.kind][id.index]
}

func (v *jobView) mapped() bool {
	return !slices.ContainsFunc(v.tasks[plan.Map], func(t taskView) bool { return !t.done })
}

// complete tells whether nothing but abandoned attempts keeps the job from committing.
func (v *jobView) complete() bool {
	return v.cut != nil && v.mapped() && slices.Equal(v.cut, v.outs()) &&
		!slices.ContainsFunc(v.tasks[plan.Reduce], func(t taskView) bool { return !t.done })
}

func (v *jobView) outs() (ds []mr.Digest) {
	for _, t := range v.tasks[plan.Map] {
		ds = append(ds, t.out)
	}
	return ds
}

func (v *jobView) runs() (rs []uint64) {
	for _, t := range v.tasks[plan.Map] {
		rs = append(rs, t.run)
	}
	return rs
}

// heard is what the step's event lets the core use.
type heard struct {
	attempt *attemptView // that answers, if somebody listens to it
	counts  bool         // it failed, and that counts
}

// observe checks one step.
func (k *checker) observe(ev event, acts []action) {
	h := k.event(ev)
	failed := false
	for _, a := range acts {
		k.action(ev, h, a)
		if f, ok := a.(actTaskFail); ok {
			failed = true
			k.must(h.counts, "a failure of %s was counted that doesn't count", formatTask(f.task))
		}
	}
	k.must(failed == h.counts, "a failed attempt of %v was not counted", h.attempt)
	if err := audit(k.w.core); err != nil {
		k.fail("the core's books: %w", err)
	}
}

func (k *checker) event(ev event) (h heard) {
	switch e := ev.(type) {
	case evAdd:
		k.jobs[e.job] = &jobView{}
	case evPlanned:
		k.planned(e)
	case evPlanFailed:
		k.mustFail(e.job, e.err)
	case evWorker:
		k.slots[e.worker] = e.slots
	case evJoined:
		k.slots[e.worker], k.signs[e.worker] = e.slots, k.w.now
	case evBeat:
		k.signs[e.worker] = k.w.now
	case evWorkerGone:
		delete(k.slots, e.worker)
		delete(k.signs, e.worker)
		for id, a := range k.live {
			if a.worker == e.worker {
				delete(k.live, id)
			}
		}
	case evIdentified:
		if h.attempt = k.live[e.attempt]; h.attempt != nil {
			h.attempt.reading = false // it is held, and asks
		}
	case evDone:
		h.attempt = k.answered(e.attempt)
	case evFailed:
		h.attempt = k.answered(e.attempt)
		h.counts = h.attempt != nil && k.counts(h.attempt, e)
		if h.attempt != nil && e.copy { // it does without, and is as large as any
			k.jobs[h.attempt.task.job].task(h.attempt.task).tiny = false
		}
	case evCut:
		k.wasCut(e)
	case evCommitted:
		if v := k.jobs[e.job]; v != nil && e.err == "" {
			v.success = true
		} else {
			k.mustFail(e.job, e.err)
		}
	case evKill:
		if v := k.jobs[e.job]; v != nil && !v.closing {
			v.killed = true
		}
	}
	return h
}

func (k *checker) mustFail(id mr.JobID, words string) {
	if v := k.jobs[id]; v != nil && v.reason == "" && !v.killed {
		v.reason = words
	}
}

func (k *checker) planned(e evPlanned) {
	v := k.jobs[e.job]
	if v == nil || v.closing {
		return
	}
	v.planned = true
	for kind, ps := range [2][]planned{e.maps, e.reduces} {
		v.tasks[kind] = make([]taskView, len(ps))
		for i, p := range ps {
			t := &v.tasks[kind][i]
			t.done, t.failures, t.run, t.out = p.done && e.resumed, p.failures, p.run, p.out
			t.tiny = p.tiny
		}
	}
	if e.cut {
		v.cut = append([]mr.Digest{}, v.outs()...)
		for i := range v.tasks[plan.Reduce] {
			v.tasks[plan.Reduce][i].on = v.cut
		}
	}
}

// answered takes an attempt off the books and returns it if it may be listened to.
func (k *checker) answered(id plan.Attempt) *attemptView {
	a := k.live[id]
	if a == nil {
		return nil
	}
	delete(k.live, id)
	k.all[a.worker]--
	if !a.small {
		k.busy[a.worker]--
	}
	if v := k.jobs[a.task.job]; a.void || v == nil || v.closing {
		return nil
	}
	return a
}

// counts tells whether a failure is the task's own, and what comes of it.
func (k *checker) counts(a *attemptView, e evFailed) bool {
	v := k.jobs[a.task.job]
	t := v.task(a.task)
	switch e.kind {
	case plan.Cancelled, plan.NoSpace:
		return false
	case plan.LostRun:
		// Only if nobody can do anything about it: no map stands on what was lost, and
		// none was made again since the attempt began.
		for _, run := range e.lost {
			if slices.Contains(v.runs(), run) {
				return false
			}
		}
		for _, other := range k.jobs { // what another job stands on is made again
			for _, m := range other.tasks[plan.Map] {
				if m.done && !other.closing && !other.complete() && slices.Contains(e.lost, m.run) {
					return false
				}
			}
		}
		if e.copy || !v.mapped() || !slices.Equal(a.runs, v.runs()) {
			return false
		}
	case plan.BadInput:
		k.mustFail(a.task.job, e.err)
		return true
	}
	t.failures++
	if t.first == "" {
		t.first = e.err
	}
	if t.failures >= 4 {
		k.mustFail(a.task.job, t.first)
	}
	return true
}

func (k *checker) wasCut(e evCut) {
	v := k.jobs[e.job]
	if v == nil || v.closing {
		return
	}
	if e.err != "" {
		k.mustFail(e.job, e.err)
	}
	if e.err != "" || len(e.lost) > 0 {
		return
	}
	for i, t := range v.tasks[plan.Reduce] {
		k.must(!t.done, "%s is cut again, but part %d was not taken back", e.job, i)
	}
	v.cut = append([]mr.Digest{}, k.w.job(e.job).cutOuts...)
	v.tasks[plan.Reduce] = make([]taskView, len(e.reduces))
	for i, p := range e.reduces {
		v.tasks[plan.Reduce][i].failures, v.tasks[plan.Reduce][i].tiny = p.failures, p.tiny
	}
}

func (k *checker) action(ev event, h heard, a action) {
	switch a := a.(type) {
	case actTaskStart:
		k.start(a)
	case actFence:
		at := k.live[a.attempt]
		k.must(at != nil, "attempt %s is fenced, and was not on the books", a.attempt)
		k.must(k.w.now.Sub(k.signs[at.worker]) > simLease, "attempt %s is fenced within its lease", a.attempt)
		k.answered(a.attempt)
	case actStart:
		at := k.live[a.attempt]
		sign, leased := k.signs[a.worker]
		k.must(!leased || !k.w.core.workers[a.worker].silent || k.w.now.Sub(sign) <= simLease, "a task is given to worker %d, which is silent", a.worker)
		at.worker = a.worker
		k.all[a.worker]++
		if !at.small {
			k.busy[a.worker]++
		}
		k.must(k.all[a.worker] <= k.slots[a.worker]+k.w.small, "worker %d got too many small tasks", a.worker)
		k.must(k.busy[a.worker] <= k.slots[a.worker], "worker %d has %d slots and got more", a.worker, k.slots[a.worker])
	case actTaskDone:
		k.done(ev, h, a)
	case actTaskLost:
		v := k.jobs[a.task.job]
		t := v.task(a.task)
		k.must(t.done, "%s was lost before it was done", formatTask(a.task))
		k.must(!v.closing, "%s was lost, but its job is at its end", formatTask(a.task))
		t.done = false
		if a.task.kind == plan.Map {
			k.must(slices.Contains(lostBy(ev), t.run), "%s was given up, but its run r%d is not lost", formatTask(a.task), t.run)
			k.must(a.run == t.run, "%s stood on r%d, not r%d", formatTask(a.task), t.run, a.run)
			if t.losses++; t.losses >= maxLosses {
				v.inVain = fmt.Sprintf("%s: storage has lost its output %d times (); check the disk below the store, then submit the job again",
					plan.TaskName(plan.Map, a.task.index), t.losses)
			}
		} else {
			k.must(!slices.Equal(t.on, v.outs()), "%s was given up, but it stands on what the maps made", formatTask(a.task))
		}
	case actAbandon:
		if at := k.live[a.attempt]; at != nil {
			at.void = true
		}
	case actLookup:
		v := k.jobs[a.task.job]
		k.must(!v.task(a.task).done, "a lookup for %s, which needs none", formatTask(a.task))
		k.must(k.w.job(a.task.job).share, "%s doesn't share, and looks up", formatTask(a.task))
	case actCut:
		v := k.jobs[a.job]
		k.must(v.planned && v.mapped() && !v.closing, "%s is cut before its maps are done", a.job)
	case actCommit:
		v := k.jobs[a.job]
		k.must(!v.closing && !v.commit, "%s commits twice, or after its end", a.job)
		k.must(v.mapped() && v.cut != nil, "%s commits before its maps are done", a.job)
		for i, t := range v.tasks[plan.Reduce] {
			k.must(t.done && slices.Equal(t.on, v.outs()), "%s commits, but task %d does not stand on its maps", a.job, i)
		}
		for _, at := range k.live {
			k.must(at.task.job != a.job, "%s commits while %s runs", a.job, formatTask(at.task))
		}
		v.closing, v.commit = true, true
	case actFinish:
		v := k.jobs[a.job]
		k.must(!v.finish, "%s is finished twice", a.job)
		for _, at := range k.live {
			k.must(at.task.job != a.job, "%s is finished while %s runs", a.job, formatTask(at.task))
		}
		v.finish = true
	case actJobEnd:
		k.end(a)
	}
	for _, v := range k.jobs {
		v.closing = v.closing || v.killed || v.reason != ""
	}
}

func lostBy(ev event) []uint64 {
	switch e := ev.(type) {
	case evFailed:
		return e.lost
	case evCut:
		return e.lost
	}
	return nil
}

func (k *checker) start(a actTaskStart) {
	v := k.jobs[a.task.job]
	t := v.task(a.task)
	k.must(t != nil && !v.closing && !v.killed && v.reason+v.inVain == "", "%s starts, but its job is at its end", formatTask(a.task))
	k.must(!t.done, "%s is done and starts again", formatTask(a.task))
	k.must(!k.used[a.attempt] && a.attempt.Epoch() == k.w.epoch, "attempt %s has been used", a.attempt)
	k.used[a.attempt] = true
	at := &attemptView{task: a.task, small: t.tiny && t.failures == 0 && !a.twin}
	if a.task.kind == plan.Reduce {
		k.must(v.mapped() && v.cut != nil, "%s starts before the barrier", formatTask(a.task))
		k.must(slices.Equal(v.cut, v.outs()), "%s starts on ranges that were cut from other outputs", formatTask(a.task))
		at.runs, at.on = v.runs(), v.outs()
	}
	twins := 0
	for _, other := range k.live {
		if other.task == a.task && !other.void {
			twins++
		}
	}
	if a.twin {
		k.must(twins == 1, "%s has %d attempts and gets a twin", formatTask(a.task), twins)
	} else {
		k.must(twins == 0, "%s is running and starts", formatTask(a.task))
	}
	k.live[a.attempt] = at
}

func (k *checker) done(ev event, h heard, a actTaskDone) {
	v := k.jobs[a.task.job]
	t := v.task(a.task)
	k.must(t != nil && !v.closing, "%s is done after its job's end", formatTask(a.task))
	k.must(!t.done, "%s is done twice", formatTask(a.task))
	t.done = true
	switch e := ev.(type) {
	case evDone:
		k.must(a.attempt == e.attempt, "%s is done by %s, which has said nothing", formatTask(a.task), a.attempt)
		k.must(h.attempt != nil && h.attempt.task == a.task, "%s is done by %s, which is fenced", formatTask(a.task), a.attempt)
		t.run, t.out, t.on = e.run, e.out, h.attempt.on
		if a.task.kind == plan.Reduce {
			k.must(slices.Equal(t.on, v.outs()), "%s stands on outputs that were made again since", formatTask(a.task))
		}
	case evLookup:
		k.must(e.hit && a.attempt == 0 && e.task == a.task, "%s is done by a lookup of %s", formatTask(a.task), formatTask(e.task))
		t.run, t.out = e.run, e.out
	case evPlanned:
		k.must(a.attempt == 0, "planning ends an attempt")
		t.run, t.out = e.maps[a.task.index].run, e.maps[a.task.index].out
	default:
		k.fail("%s is done by %T", formatTask(a.task), ev)
	}
}

func (k *checker) end(a actJobEnd) {
	v := k.jobs[a.job]
	k.must(v != nil, "%s ends twice", a.job)
	switch a.state {
	case mr.Succeeded:
		k.must(v.success && v.commit && v.reason+v.inVain == "" && !v.killed, "%s succeeded, which it has not", a.job)
	case mr.FailedJob:
		if v.reason == "" {
			v.reason = v.inVain
		}
		k.must(v.reason != "", "%s failed without a reason: %s", a.job, a.err)
		k.must(v.reason == a.err, "%s failed because %q; it says %q", a.job, v.reason, a.err)
	case mr.Killed:
		k.must(v.killed, "nobody has killed %s", a.job)
	}
	k.must(a.state == mr.Succeeded || v.finish, "%s ended before it was cleaned up", a.job)
	for _, at := range k.live {
		k.must(at.task.job != a.job, "%s ended while %s runs", a.job, formatTask(at.task))
	}
	delete(k.jobs, a.job)
}

// computes notes that an attempt is set to work on a key, which no other task of jobs
// that share may be doing, and whose output may not be on record.
func (k *checker) computes(f *simFlight, j *coreJob) {
	at := k.live[f.id]
	if at == nil || at.void || !j.share {
		return
	}
	at.key, at.reading = k.w.job(j.id).mapKey(f.task.index), true
	o, there := k.w.outputs[at.key]
	k.must(!there || k.w.runs[o.run] == nil, "%s computes %s, which is on record", formatTask(f.task), formatDigest(at.key))
	for _, other := range k.live {
		same := other.reading && !other.void && other.key == at.key
		k.must(!same || other.task == at.task, "%s and %s compute %s", formatTask(f.task), formatTask(other.task), formatDigest(at.key))
	}
}

// committed is told before an output goes on record.
func (k *checker) committed(j *simJob, key mr.Digest) {
	if o, there := k.w.outputs[key]; there && j.share {
		k.must(k.w.runs[o.run] == nil, "%s of %s replaces an output that others may stand on", formatDigest(key), j.id)
	}
}

// published is told when a job's parts are moved into place.
func (k *checker) published(j *simJob) {
	if j == nil {
		return
	}
	for i, t := range j.reduces {
		k.must(t.state == simDone, "%s publishes part %d, which is not on record as done", j.id, i)
		k.must(t.out == digestOf('o', i, j.outs()), "%s publishes a wrong part %d", j.id, i)
	}
}

// quiet is told when a turn is over: what can run must be running.
func (k *checker) quiet() {
	c := k.w.core
	if err := idle(c); err != nil {
		k.fail("%w", err)
	}
	for _, f := range k.w.flights {
		k.must(c.attempts[f.id] != nil, "the core has forgotten attempt %s without a word", f.id)
	}
	for id, a := range k.live {
		k.must(c.attempts[id] != nil, "the core has forgotten attempt %s of %s, which has not answered", id, formatTask(a.task))
	}
	k.must(len(c.attempts) == len(k.live), "the core has %d attempts on its books, of %d", len(c.attempts), len(k.live))
}
