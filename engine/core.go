package engine

import (
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// The core decides what runs next. It is a pure step function: no I/O, no goroutine,
// no clock of its own. The loop feeds it events and carries out its actions, first
// those that persist, in one transaction, then the others. The core's state moves when
// an event comes; the loop does not go on until the records of that move are durable.

// taskID names a task within the engine.
type taskID struct {
	job   mr.JobID
	kind  plan.Kind
	index int
}

type taskState uint8

const (
	taskBlocked taskState = iota // a reduce task before the barrier
	taskReady
	taskRunning
	taskWaiting // another task is computing the same output
	taskDone
)

// task is the core's view of one task.
type task struct {
	tiny     bool // has little input, or copies; see small
	state    taskState
	key      mr.Digest // of a map task: zero until known
	stale    bool      // an attempt found that the split is not what key says
	out      mr.Digest // digest of what it made, also after that was lost: others have read it
	run      uint64
	cached   bool
	failures int
	losses   int        // of its output
	err      string     // the first failure's own words
	failedOn []workerID // where it failed, or found no room, the latest last
	running  []*attempt
}

// attempt is one execution in flight.
type attempt struct {
	small   bool // on a slot for small tasks
	id      plan.Attempt
	task    taskID
	worker  workerID
	key     mr.Digest // of a map task: what this attempt takes its split for
	cancel  bool      // it was abandoned, and its task owes it nothing
	remade  int       // its job's count when it started
	twinned bool      // it got its twin: it gets no other, lest twins use up the task's failures

	started time.Time
}

type jobPhase uint8

const (
	phasePlanning jobPhase = iota
	phaseMap
	phaseCutting
	phaseReduce
	phaseCommit
	phaseEnding // waits for its attempts to stop, then is finished
	phaseEnded
)

// coreJob is the core's view of one job.
type coreJob struct {
	id      mr.JobID
	phase   jobPhase
	maps    []task
	reduces []task
	left    [2]int             // tasks not done, by kind
	ready   [2][]int           // indexes of ready tasks, in order; stale entries are skipped
	served  uint64             // the number of its latest attempt: among equals, who waited longest is next
	running int                // attempts in flight
	share   bool               // looks up and shares outputs
	lone    bool               // its attempts get no twins
	cut     bool               // key ranges are chosen and belong to the maps' outputs
	stale   bool               // a map was recomputed with another digest since the ranges were cut
	remade  int                // how many lost map outputs were made again
	cutAt   int                // remade when the cut was ordered
	took    [2][]time.Duration // how long the attempts that did the work ran, by kind
	end     mr.State           // set when ending
	err     string
}

func (j *coreJob) tasks(k plan.Kind) []task {
	if k == plan.Map {
		return j.maps
	}
	return j.reduces
}

// workerID names a worker that has joined, from 1.
type workerID int

type coreWorker struct {
	slots, busy int
	small       int       // attempts at small tasks, which take no slot
	failed      int       // attempts in a row
	rests       time.Time // until then

	// Of a worker in another process; see silence.go.
	name   string
	lease  time.Duration // 0: it is in this process, and never silent
	most   int           // of small; 0: the core's smallSlots
	heard  time.Time     // its last sign of life
	silent bool          // its lease has run out
}

// core is the scheduler's state. Its owner is the loop.
type core struct {
	epoch    uint64
	seq      uint64
	jobs     map[mr.JobID]*coreJob
	order    []*coreJob // by submission; ended jobs are removed
	workers  map[workerID]*coreWorker
	attempts map[plan.Attempt]*attempt
	inflight map[mr.Digest]taskID   // map key → the task whose attempt computes it
	waiters  map[mr.Digest][]taskID // map key → tasks that wait for it
	missed   map[mr.Digest]bool     // map keys that the catalog was asked for and has not
	now      time.Time              // of this step
	acts     []action

	ticked time.Time         // the last tick
	deaths map[string]deaths // by the name of the worker; see rest.go

	smallSlots int  // attempts at small tasks that a worker takes beside its slots
	speculate  bool // start twins of attempts that are well behind their peers
	idle       bool // start nothing
}

func newCore(epoch uint64) *core {
	return &core{
		epoch:    epoch,
		jobs:     map[mr.JobID]*coreJob{},
		workers:  map[workerID]*coreWorker{},
		attempts: map[plan.Attempt]*attempt{},
		inflight: map[mr.Digest]taskID{},
		waiters:  map[mr.Digest][]taskID{},
		missed:   map[mr.Digest]bool{},
		deaths:   map[string]deaths{},
	}
}

// Events.
type (
	event interface{ event() }

	evAdd struct {
		job     mr.JobID
		share   bool
		lone    bool // its attempts get no twins
		resumed bool // its plan is on record: evPlanned follows
	}
	evPlanned struct {
		job     mr.JobID
		maps    []planned
		reduces []planned // only when the job was cut in an earlier life
		cut     bool
		resumed bool // found on record: nothing new to persist
	}
	evPlanFailed struct {
		job mr.JobID
		err string
	}
	evWorker struct {
		worker workerID
		slots  int
	}
	evWorkerGone struct{ worker workerID }
	// evIdentified: the attempt knows its split's digest and so its key.
	evIdentified struct {
		attempt plan.Attempt
		key     mr.Digest
	}
	// evLookup answers actLookup.
	evLookup struct {
		task    taskID
		attempt plan.Attempt
		hit     bool
		run     uint64
		out     mr.Digest
	}
	evDone struct {
		attempt plan.Attempt
		key     mr.Digest
		run     uint64
		out     mr.Digest
		cached  bool // it installed a kept output
	}
	evFailed struct {
		attempt plan.Attempt
		kind    plan.FailureKind
		err     string
		lost    []uint64
		where   string // of what was lost, in words
		copy    bool   // it was to install a kept output, or to read a kept node: another attempt does without
		changed bool   // its input changed: what was known of the split's content is void
	}
	evCut struct {
		job     mr.JobID
		reduces []planned
		lost    []uint64
		where   string // likewise
		err     string
	}
	evCommitted struct {
		job mr.JobID
		err string
	}
	evKill struct {
		job mr.JobID
		// Its commit was ordered and waits for something else: nothing is published.
		waits bool
	}
	evFinished struct{ job mr.JobID }
	evTick     struct{} // time has passed
)

// planned is a task as planning or recovery found it.
type planned struct {
	key      mr.Digest
	done     bool
	cached   bool
	run      uint64
	out      mr.Digest
	failures int
	tiny     bool // a map task of little input, or a reduce task that copies
	first    bool // a map task that begins before the others
}

// Actions. Those above the line persist, and are all carried out in one transaction
// before any of those below.
type (
	action interface{ action() }

	actTaskDone struct {
		task    taskID
		attempt plan.Attempt
		cached  bool
	} // attempt 0: a hit
	actTaskLost struct { // its output is gone
		task taskID
		run  uint64 // the run it stood on, if that is what was lost
	}
	actTaskFail struct {
		task    taskID
		attempt plan.Attempt
	} // one more failed attempt
	actTaskStart struct {
		task    taskID
		attempt plan.Attempt
		twin    bool // beside an attempt that is well behind its peers
	}
	actJobEnd struct {
		job   mr.JobID
		state mr.State
		err   string
	}
	actJobPhase struct{ job mr.JobID }

	actPlan   struct{ job mr.JobID }
	actLookup struct {
		task    taskID
		attempt plan.Attempt
		key     mr.Digest
	}
	actStart struct {
		task    taskID
		attempt plan.Attempt
		worker  workerID
	}
	actProceed struct{ attempt plan.Attempt }
	actAbandon struct{ attempt plan.Attempt } // drop the bytes, or cancel: the attempt will answer
	actDiscard struct{ attempt plan.Attempt } // it has ended and nothing of it is used: sweep it
	actCut     struct{ job mr.JobID }
	actCommit  struct{ job mr.JobID }
	actFinish  struct {
		job   mr.JobID
		state mr.State
	} // clean up after it, then evFinished
)

func (evAdd) event()        {}
func (evPlanned) event()    {}
func (evPlanFailed) event() {}
func (evWorker) event()     {}
func (evWorkerGone) event() {}
func (evIdentified) event() {}
func (evLookup) event()     {}
func (evDone) event()       {}
func (evFailed) event()     {}
func (evCut) event()        {}
func (evCommitted) event()  {}
func (evKill) event()       {}
func (evFinished) event()   {}
func (evTick) event()       {}

func (actTaskDone) action()  {}
func (actTaskLost) action()  {}
func (actTaskFail) action()  {}
func (actTaskStart) action() {}
func (actJobEnd) action()    {}
func (actJobPhase) action()  {}
func (actPlan) action()      {}
func (actLookup) action()    {}
func (actStart) action()     {}
func (actProceed) action()   {}
func (actAbandon) action()   {}
func (actDiscard) action()   {}
func (actCut) action()       {}
func (actCommit) action()    {}
func (actFinish) action()    {}

// step applies one event and returns what must be done. The slice is the caller's.
func (c *core) step(ev event, now time.Time) []action {
	c.acts, c.now = nil, now
	switch e := ev.(type) {
	case evAdd:
		j := &coreJob{id: e.job, share: e.share, lone: e.lone}
		c.jobs[e.job] = j
		c.order = append(c.order, j)
		if !e.resumed {
			c.do(actPlan{e.job})
		}
	case evPlanned:
		c.planned(e)
	case evPlanFailed:
		if j := c.alive(e.job); j != nil {
			c.end(j, mr.FailedJob, e.err)
		}
	case evWorker:
		c.workers[e.worker] = &coreWorker{slots: e.slots}
	case evJoined:
		c.joined(e)
	case evBeat:
		c.beat(e.worker)
	case evWorkerGone:
		c.workerGone(e.worker)
	case evIdentified:
		c.identified(e)
	case evLookup:
		c.lookedUp(e)
	case evDone:
		c.done(e)
	case evFailed:
		c.failed(e)
	case evCut:
		c.wasCut(e)
	case evCommitted:
		c.committed(e)
	case evKill:
		if j := c.alive(e.job); j != nil && (j.phase != phaseCommit || e.waits) {
			c.end(j, mr.Killed, "killed on request")
		}
	case evFinished:
		c.finished(e.job)
	case evTick:
		c.expire()
	}
	c.schedule()
	if _, ok := ev.(evTick); ok {
		c.addTwins()
	}
	return c.acts
}

func (c *core) do(a action) { c.acts = append(c.acts, a) }

// alive returns a job that still has a way to go, or nil.
func (c *core) alive(id mr.JobID) *coreJob {
	if j := c.jobs[id]; j != nil && j.phase < phaseEnding {
		return j
	}
	return nil
}

func (c *core) task(id taskID) (*coreJob, *task) {
	j := c.jobs[id.job]
	if j == nil || id.index >= len(j.tasks(id.kind)) {
		return nil, nil
	}
	return j, &j.tasks(id.kind)[id.index]
}

func (c *core) planned(e evPlanned) {
	j := c.alive(e.job)
	if j == nil {
		return
	}
	j.phase = phaseMap
	j.maps = c.adopt(j, plan.Map, e.maps)
	j.cut = e.cut
	if e.cut {
		j.reduces = c.adopt(j, plan.Reduce, e.reduces)
	}
	c.do(actJobPhase{j.id})
	for i, p := range e.maps {
		if p.done && !e.resumed {
			c.do(actTaskDone{taskID{j.id, plan.Map, i}, 0, true})
		}
	}
	c.advance(j)
}

// adopt makes tasks of what planning, cutting or recovery found.
func (c *core) adopt(j *coreJob, k plan.Kind, ps []planned) []task {
	ts := make([]task, len(ps))
	j.left[k], j.ready[k] = 0, nil
	var first []int
	for i, p := range ps {
		ts[i] = task{key: p.key, tiny: p.tiny, failures: p.failures, cached: p.cached, run: p.run, out: p.out}
		switch {
		case p.done:
			ts[i].state = taskDone
			continue
		case k == plan.Map:
			ts[i].state = taskReady
			if j.ready[k] = append(j.ready[k], i); p.first {
				first = append(first, i)
			}
		}
		j.left[k]++
	}
	if len(first) > 0 {
		rest := slices.DeleteFunc(j.ready[k], func(i int) bool { return ps[i].first })
		j.ready[k] = append(first, rest...)
	}
	return ts
}

// advance moves a job on when a phase has nothing left.
func (c *core) advance(j *coreJob) {
	switch {
	case j.phase >= phaseCommit, j.phase == phasePlanning, j.phase == phaseCutting:
	case j.left[plan.Map] > 0:
		if j.phase != phaseMap {
			j.phase = phaseMap // maps were lost: back behind the barrier
			c.do(actJobPhase{j.id})
		}
	case j.stale || !j.cut:
		if c.reducing(j) {
			return // attempts on the old outputs stop first
		}
		j.phase, j.stale, j.cut, j.cutAt = phaseCutting, false, false, j.remade
		c.do(actJobPhase{j.id})
		c.do(actCut{j.id})
	case j.left[plan.Reduce] > 0:
		if j.phase != phaseReduce {
			j.phase = phaseReduce
			c.do(actJobPhase{j.id})
		}
		for i := range j.reduces {
			if j.reduces[i].state == taskBlocked {
				c.setReady(j, plan.Reduce, i)
			}
		}
	case j.running > 0: // losers and twins; they may be writing where the commit cleans up
	default:
		j.phase = phaseCommit
		c.do(actJobPhase{j.id})
		c.do(actCommit{j.id})
	}
}

func (c *core) reducing(j *coreJob) bool {
	for i := range j.reduces {
		if len(j.reduces[i].running) > 0 {
			return true
		}
	}
	return false
}

func (c *core) setReady(j *coreJob, k plan.Kind, i int) {
	j.tasks(k)[i].state = taskReady
	j.ready[k] = append(j.ready[k], i)
}
