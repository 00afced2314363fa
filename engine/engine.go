package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// Options configure an Engine. Store is required.
type Options struct {
	Store      *store.Store
	Logger     *slog.Logger
	TaskMemory int64                    // bytes an attempt may use; 0: 256 MiB
	NoTwins    bool                     // never start a second attempt beside one that is well behind its peers
	Getenv     func(name string) string // resolves the variables that jobs declare; nil: none is set
	Now        func() time.Time         // nil: time.Now
	CacheSize  int64                    // bytes that the store may take; 0: no bound
	OnRequest  bool                     // CacheSize is for CacheGC: nothing is evicted unasked
	Idle       bool                     // start nothing: unfinished jobs go on in another life, or are killed
}

// Engine schedules jobs over workers. Its methods may be called concurrently once Run
// has been started; it implements mr.Jobs.
type Engine struct {
	o    Options
	log  *slog.Logger
	loop loop // owned by Run's goroutine

	events   chan event
	requests chan func(*loop)
	replies  chan *rpc.Call
	stopped  chan struct{} // closed when Run has returned
	draining chan struct{} // closed to stop
	drain    sync.Once
	beat     time.Duration // for which Wait gathers changes at most

	submits    keyedMutex
	background sync.WaitGroup // planning, cutting, committing
	keep       keeper         // of the bound on the store
	ctx        context.Context
	cancel     context.CancelFunc
}

// Map tasks of at most smallInput bytes may be in flight smallSlots to a worker, so that many share a
// commit. Their inputs are in memory together, and may take a quarter of what a task may.
const (
	smallInput = 64 << 10
	smallSlots = 1024
)

// smallFor is how many small tasks go into a quarter of a task's memory.
func smallFor(taskMemory int64) int { return int(min(max(taskMemory/4/smallInput, 1), smallSlots)) }

// New makes an engine. Jobs that the store holds and that have not ended go on when Run
// is called.
func New(o Options) *Engine {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TaskMemory == 0 {
		o.TaskMemory = 256 << 20
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Engine{
		o:        o,
		log:      o.Logger,
		events:   make(chan event, 1024),
		requests: make(chan func(*loop)),
		replies:  make(chan *rpc.Call, 1<<16),
		stopped:  make(chan struct{}),
		draining: make(chan struct{}),
		beat:     statusBeat,
	}
	e.keep.kicked = make(chan struct{}, 1)
	e.ctx, e.cancel = context.WithCancel(context.Background())
	core := newCore(o.Store.Epoch())
	core.speculate, core.smallSlots, core.idle = !o.NoTwins, smallFor(o.TaskMemory), o.Idle
	e.loop = loop{
		e:         e,
		core:      core,
		jobs:      map[mr.JobID]*job{},
		workers:   map[workerID]*rpc.Client{},
		members:   map[workerID]*member{},
		fencedOff: map[plan.Attempt]fenced{},
		attempts:  map[plan.Attempt]*flight{},
		outputs:   map[string]mr.JobID{},
	}
	return e
}

// Run schedules until ctx ends or Drain is called. When it returns, its goroutines are
// gone and no attempt runs; jobs that have not ended go on in the store's next life.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.stopped)
	defer e.background.Wait()
	defer e.cancel()
	defer context.AfterFunc(ctx, e.Drain)()
	if err := e.resumeOrPark(); err != nil {
		return err
	}
	e.spawn(e.keepBounded)
	return e.loop.run()
}

// Drain asks Run to stop. Attempts in flight are cancelled and done again in the next
// life.
func (e *Engine) Drain() { e.drain.Do(func() { close(e.draining) }) }

// AddWorker hands the engine a worker that serves on c, with room for slots attempts at
// a time. The engine closes c when it stops. A worker whose connection breaks is
// forgotten and its attempts are given to others.
func (e *Engine) AddWorker(c *rpc.Client, slots int) error {
	host, _ := os.Hostname() // for people only
	return e.request(e.ctx, func(l *loop) { l.addWorker(c, Member{Name: DaemonName, Host: host, PID: os.Getpid(), Slots: slots}) })
}

var errStopped = mr.Errorf(mr.Unreachable, "the engine has stopped")

// request runs fn in the loop and waits for it.
func (e *Engine) request(ctx context.Context, fn func(*loop)) error {
	done := make(chan struct{})
	select {
	case e.requests <- func(l *loop) { fn(l); close(done) }:
	case <-ctx.Done():
		return mr.Errorf(mr.Interrupted, "gave up waiting for the engine: %w", ctx.Err())
	case <-e.stopped:
		return errStopped
	}
	<-done
	return nil
}

// post sends an event to the loop from a background goroutine.
func (e *Engine) post(ev event) {
	select {
	case e.events <- ev:
	case <-e.ctx.Done(): // nobody reads on, and Run waits for who is here
	}
}

// spawn runs fn beside the loop; Run waits for it.
func (e *Engine) spawn(fn func()) {
	e.background.Add(1)
	go func() {
		defer e.background.Done()
		fn()
	}()
}

// anyWorker returns the connection of some worker: of those there are, the first that joined. It
// waits for one if there is none.
func (e *Engine) anyWorker(ctx context.Context) (c *rpc.Client, err error) {
	for {
		var joined <-chan struct{}
		if err = e.request(ctx, func(l *loop) { c, joined = l.anyWorker() }); c != nil || err != nil {
			return c, err
		}
		select {
		case <-joined:
		case <-ctx.Done():
			return nil, mr.Errorf(mr.Interrupted, "no worker has joined yet: %w", ctx.Err())
		case <-e.stopped:
			return nil, errStopped
		}
	}
}

// describe asks a worker about a job's code.
func (e *Engine) describe(ctx context.Context, p plan.Program) (mr.Traits, error) {
	c, err := e.anyWorker(ctx)
	if err != nil {
		return mr.Traits{}, err
	}
	var d plan.Description
	call := c.Go("Worker.Describe", &p, &d, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		return mr.Traits{}, mr.Errorf(mr.Interrupted, "gave up asking the job's code what it declares: %w", ctx.Err())
	}
	if call.Error != nil {
		return mr.Traits{}, mr.Errorf(mr.Failed, "asking a worker what the job declares: %w", call.Error)
	}
	if d.Error != "" {
		msg := asTyped(d.Error, p.Code)
		return mr.Traits{}, &mr.Error{Kind: d.Kind, Msg: msg, Err: errors.New(msg)}
	}
	return d.Traits, nil
}

// asTyped names a job binary in a message as the user did, who knows nothing of the store's copy.
func asTyped(msg string, c mr.Code) string {
	if c.Path == "" || c.Source == "" {
		return msg
	}
	return strings.ReplaceAll(msg, c.Path, c.Source)
}

// keyedMutex serialises work on equal keys.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

func (k *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		k.mu.Lock()
		if k.held == nil {
			k.held = map[string]chan struct{}{}
		}
		ch, taken := k.held[key]
		if !taken {
			ch = make(chan struct{})
			k.held[key] = ch
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.held, key)
				k.mu.Unlock()
				close(ch)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return nil, mr.Errorf(mr.Interrupted, "gave up waiting for an equal submission: %w", ctx.Err())
		}
	}
}
