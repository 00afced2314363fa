package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// Runs is where a worker keeps and finds runs: the store itself for a worker in the
// daemon's process, a data connection for a remote one.
type Runs interface {
	// Create starts a run. Nothing of it is visible before Seal and the master's commit.
	Create() RunSink
	// Open finds a committed run.
	Open(id uint64) (RunSource, error)
	// OpenSealed finds a run that was sealed here and is not committed yet.
	OpenSealed(id uint64) (RunSource, error)
}

// ErrLost marks, for errors.Is, an error of Open or ReadBlock that means the run, or a
// part of it, is gone for good: it must be computed again. Any other error is of the
// moment, and the attempt fails for it.
var ErrLost = errors.New("the stored run is lost")

// RunSink takes the blobs of one run in order.
type RunSink interface {
	run.BlockSink
	Seal(ctx context.Context) (id uint64, err error)
	Discard()
}

// RunSource reads the blobs of one run. Close releases it.
type RunSource interface {
	run.BlockSource
	Blobs() int
	Close()
}

// Binaries finds or starts processes of authors' binaries. The Runner's calls end with
// their context.
type Binaries interface {
	Open(ctx context.Context, path string, digest mr.Digest, job string, args, env []string) (mr.Runner, error)
	// Describe says what a job declares now: the default of a flag may be today's date.
	Describe(ctx context.Context, path string, digest mr.Digest, job string, args []string) (mr.Traits, error)
}

// Options wire a Service to its surroundings.
type Options struct {
	Runs     Runs
	Builtin  func(name string) (*mr.Definition, bool)
	Binaries Binaries // runs authors' binaries; nil: this worker can't
	TempDir  string   // for spills; each is unlinked as soon as it is open
	Cores    int      // attempts that may compute at a time; others wait, or wait for the disk; 0: no bound
	Logger   *slog.Logger

	// Of a worker that has joined from another process.
	Parts Parts              // where part files are written; nil: the files of this host
	Host  string             // names this worker in failures; files may be copies of the master's
	Apart bool               // it is on another machine than the master: numbers of devices and inodes mean nothing there
	Clock func() plan.Moment // the master's time; nil: this process has it
	Alive func() plan.Alive  // for Beat
	Leave func(reason string)
}

// Service executes attempts. It is registered with net/rpc under the name "Worker".
type Service struct {
	o Options

	mu       sync.Mutex
	attempts map[plan.Attempt]*attempt
	gone     map[plan.Attempt]bool // abandoned before their order arrived; see Abandon
	programs map[string]configured
	indexes  indexCache
	cores    chan struct{} // holds a token for each attempt that computes; nil: no bound
}

// configured is a built-in with arguments.
type configured struct {
	def     *mr.Definition
	program *mr.Program
}

// attempt is one order being executed, or held after identification.
type attempt struct {
	work   *plan.Work
	ctx    context.Context
	cancel context.CancelFunc
	loaded *input.Loaded // held between Identified and Proceed
	moved  bool          // stamps do not vouch for loaded

	began    plan.Moment
	start    time.Time
	computed atomic.Int64 // nanoseconds for which it has had a core
	skips    *skips       // nil: a bad record is an error
}

// New makes a Service.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Parts == nil {
		o.Parts = localParts{}
	}
	if o.Clock == nil {
		o.Clock = func() plan.Moment { return plan.Here(time.Now()) }
	}
	s := &Service{
		o:        o,
		attempts: map[plan.Attempt]*attempt{},
		gone:     map[plan.Attempt]bool{},
		programs: map[string]configured{},
	}
	if o.Cores > 0 {
		s.cores = make(chan struct{}, o.Cores)
	}
	return s
}

// compute waits until the attempt may use a core. The func it returns gives the core
// back, once: an attempt that waits for a sync lets another compute meanwhile, so a
// master should lease a worker one attempt more than it has cores.
func (s *Service) compute(a *attempt) (done func(), err error) {
	if s.cores != nil {
		select {
		case s.cores <- struct{}{}:
		case <-a.ctx.Done():
			return nil, a.ctx.Err()
		}
	}
	start := time.Now()
	return sync.OnceFunc(func() {
		a.computed.Add(int64(time.Since(start)))
		if s.cores != nil {
			<-s.cores
		}
	}), nil
}

// spare gives an attempt that computes another core, if nobody waits for one.
func (s *Service) spare() (done func(), ok bool) {
	select {
	case s.cores <- struct{}{}: // never, if there is no bound: then all cores are in use as it is
		return func() { <-s.cores }, true
	default:
		return nil, false
	}
}

// RunTask executes w to its end, or to the point where a split is identified.
func (s *Service) RunTask(w *plan.Work, res *plan.Result) error {
	a := s.begin(w)
	if a == nil {
		*res = plan.Result{Attempt: w.Attempt, Failure: plan.Failure{Kind: plan.Cancelled, Message: "abandoned before it began"}}
		return nil
	}
	s.execute(a, res, func() error {
		if w.Kind == plan.Map {
			return s.runMap(a, res, nil)
		}
		return s.runReduce(a, res)
	})
	return nil
}

// Proceed maps the split that an Identified attempt holds.
func (s *Service) Proceed(id plan.Attempt, res *plan.Result) error {
	s.mu.Lock()
	a := s.attempts[id]
	var held *input.Loaded
	if a != nil {
		held, a.loaded = a.loaded, nil // the leg owns it now: Abandon only cancels
	}
	s.mu.Unlock()
	if held == nil {
		*res = plan.Result{Attempt: id, Failure: plan.Failure{Kind: plan.Cancelled, Message: "the attempt is not held here"}}
		return nil
	}
	s.execute(a, res, func() error { return s.runMap(a, res, held) })
	return nil
}

// maxGone bounds the memory of abandoned attempts that were not known here.
const maxGone = 4096

// Abandon drops a held attempt, or cancels a running one, which then answers by its own
// call. An order may still be on its way when its Abandon arrives: calls on one
// connection are handled concurrently. So unknown attempts are remembered.
func (s *Service) Abandon(id plan.Attempt, _ *struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.attempts[id]
	if a == nil {
		if len(s.gone) == maxGone { // nearly all had answered already: no order of theirs is on its way
			clear(s.gone)
		}
		s.gone[id] = true
		return nil
	}
	a.cancel()
	if a.loaded != nil {
		a.loaded.Close()
		delete(s.attempts, id)
	}
	return nil
}

// Describe says what a job's code declares, without running any of its tasks.
func (s *Service) Describe(p *plan.Program, d *plan.Description) error {
	var err error
	if p.Code.Kind == mr.Binary && s.o.Binaries != nil {
		d.Traits, err = s.o.Binaries.Describe(context.Background(), p.Code.Path, p.Code.Digest, p.Job, p.Args)
	} else {
		var r mr.Runner
		if r, err = s.runner(context.Background(), p); err == nil {
			d.Traits = r.Traits()
		}
	}
	if err != nil {
		d.Kind, d.Error = mr.KindOf(err), err.Error()
	}
	return nil
}

func (s *Service) begin(w *plan.Work) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[w.Attempt] {
		delete(s.gone, w.Attempt)
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &attempt{work: w, ctx: ctx, cancel: cancel, began: s.o.Clock(), start: time.Now(), skips: newSkips(w)}
	s.attempts[w.Attempt] = a
	return a
}

// errHeld ends an execution that keeps its attempt for Proceed.
var errHeld = errors.New("held")

// execute runs one leg of an attempt and turns its error into a Failure.
func (s *Service) execute(a *attempt, res *plan.Result, leg func() error) {
	id := a.work.Attempt
	res.Attempt = id
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("internal error in the worker: %v\n%s", p, debug.Stack())
			}
		}()
		return leg()
	}()
	res.CPU = time.Duration(a.computed.Swap(0))
	res.Began, res.Ended, res.Took = a.began, s.o.Clock(), time.Since(a.start)
	res.Moved = res.Moved || a.moved
	if err == errHeld {
		return
	}
	s.mu.Lock()
	delete(s.attempts, id)
	s.mu.Unlock()
	if err != nil {
		res.Failure = s.there(failureOf(a, err))
		res.Made = plan.Made{}
	}
	a.cancel()
}

// taskFailure is an error whose kind the executing code knows.
type taskFailure struct {
	kind plan.FailureKind
	lost []uint64
	err  error
}

func (f *taskFailure) Error() string { return f.err.Error() }
func (f *taskFailure) Unwrap() error { return f.err }

func failureOf(a *attempt, err error) plan.Failure {
	f := plan.Failure{Kind: plan.UserError, Message: err.Error()}
	if tf, ok := errors.AsType[*taskFailure](err); ok {
		f.Kind, f.LostRuns = tf.kind, tf.lost
	}
	switch {
	case a.ctx.Err() != nil:
		f.Kind = plan.Cancelled
	case errors.Is(err, input.ErrChanged):
		f.Kind = plan.Changed
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Kind = plan.NoSpace
	}
	return f
}

// runner finds or makes the Runner of a program.
func (s *Service) runner(ctx context.Context, p *plan.Program) (mr.Runner, error) {
	if p.Code.Kind == mr.Binary {
		if s.o.Binaries == nil {
			return nil, mr.Errorf(mr.Failed, "this worker runs no job binaries")
		}
		env := make([]string, len(p.Env))
		for i, e := range p.Env {
			env[i] = e.Name + "=" + e.Value
		}
		return s.o.Binaries.Open(ctx, p.Code.Path, p.Code.Digest, p.Job, p.Args, env)
	}
	r, err := s.builtin(p)
	if err != nil {
		return nil, err
	}
	if v := r.Traits().Version; p.Version != "" && p.Version != v {
		return nil, &taskFailure{kind: plan.BadInput, err: mr.Errorf(mr.Failed, "the job was planned with version %s of %s, and this program has version %s, whose records must not be mixed with those: run the job again", p.Version, p.Job, v)}
	}
	return r, nil
}

// builtin finds or makes a built-in with arguments.
func (s *Service) builtin(p *plan.Program) (*mr.Program, error) {
	key := fmt.Sprintf("%q %q", p.Job, p.Args)
	def, ok := s.o.Builtin(p.Job)
	if !ok {
		return nil, mr.Errorf(mr.Usage, "there is no built-in job %q; mrctl run --help lists them", p.Job)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.programs[key]; c.def == def {
		return c.program, nil
	}
	r, err := def.Configure(p.Args)
	if err != nil {
		return nil, err
	}
	if len(s.programs) > 64 {
		clear(s.programs)
	}
	s.programs[key] = configured{def, r}
	return r, nil
}
