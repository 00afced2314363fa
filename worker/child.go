package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// ChildOptions bound what child processes may do. The zero value has the defaults.
type ChildOptions struct {
	Idle      int           // idle children to keep; 0: 8, negative: none
	IdleTime  time.Duration // how long an idle child is kept; 0: 1 minute
	Handshake time.Duration // how long a child may take to introduce itself; 0: 10 s
	Silence   time.Duration // how long a child may hold a task without a sign of life; 0: 10 minutes
	OutputCap int           // bytes of a task's printed lines to keep; 0: 64 KiB
	Logger    *slog.Logger  // nil: none
	TempDir   string        // where their working folders are; whoever names it sweeps what a crash leaves there. Empty: the system's
}

func (o ChildOptions) withDefaults() ChildOptions {
	if o.Idle == 0 {
		o.Idle = 8
	}
	if o.IdleTime == 0 {
		o.IdleTime = time.Minute
	}
	if o.Handshake == 0 {
		o.Handshake = 10 * time.Second
	}
	if o.Silence == 0 {
		o.Silence = 10 * time.Minute
	}
	if o.OutputCap == 0 {
		o.OutputCap = 64 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Children runs the binaries of job authors, each in processes of its own, one task at a
// time to a process. Processes that have nothing to do are kept for a while.
type Children struct {
	o       ChildOptions
	watcher *watcher // of what the processes open; nil: there is none
	blind   sync.Once

	mu     sync.Mutex
	idle   []*child             // the longest idle first
	known  map[string]mr.Traits // by key: what a job told about itself
	live   map[*child]struct{}  // all of them, idle or not
	timer  *time.Timer          // ends idle children
	closed bool

	checked map[string]bool // binaries by path and digest: they have it
	digests input.Digests   // of files that processes have opened
}

// NewChildren makes Children. Close ends them.
func NewChildren(o ChildOptions) *Children {
	c := &Children{
		o:     o.withDefaults(),
		known: map[string]mr.Traits{}, live: map[*child]struct{}{}, checked: map[string]bool{},
	}
	var err error
	if c.watcher, err = newWatcher(c.isBlind); err != nil {
		c.isBlind(err)
	}
	return c
}

// watch notes in o what processes open that the calling thread starts; moved as in watcher.
func (c *Children) watch(o *opened) (moved bool) {
	if c.watcher == nil {
		return false
	}
	moved, err := c.watcher.watch(o)
	if err != nil {
		c.isBlind(err)
	}
	return moved
}

// isBlind says once that nobody sees what processes open.
func (c *Children) isBlind(err error) {
	c.blind.Do(func() {
		c.o.Logger.Info("files that jobs open by their paths can't be seen here, so they are in no key", "err", err)
	})
}

// childSpec says which process it takes; spec.key tells processes that can stand in for
// each other.
type childSpec struct {
	path   string
	digest mr.Digest
	job    string
	args   []string
	env    []string
}

func (s *childSpec) key() string {
	return fmt.Sprintf("%s %s %q %q %q", s.path, s.digest, s.job, s.args, s.env)
}

// Open returns the Runner of a job of the binary at path, whose content has that
// digest. env lists the declared variables, as NAME=value; the process has no others.
// A zero digest is not known: nothing is then used again. The Runner needs no closing. It also has a method Printed() []string: the lines that
// its tasks have written to standard output and standard error so far.
func (c *Children) Open(ctx context.Context, path string, digest mr.Digest, job string, args []string, env []string) (mr.Runner, error) {
	r := &childRunner{children: c, spec: childSpec{path, digest, job, args, env}}
	key := r.spec.key()
	c.mu.Lock()
	traits, ok := c.known[key]
	c.mu.Unlock()
	if ok && !digest.IsZero() {
		r.is(traits)
		return r, nil
	}
	ch, err := c.start(ctx, &r.spec)
	if err != nil {
		return nil, err
	}
	r.is(ch.traits)
	c.put(ch)
	return r, nil
}

// Describe implements Binaries: it asks a new process, unless args leave no flag at its default, as
// those of a job without flags.
func (c *Children) Describe(ctx context.Context, path string, digest mr.Digest, job string, args []string) (mr.Traits, error) {
	spec := &childSpec{path: path, digest: digest, job: job, args: args}
	c.mu.Lock()
	traits, ok := c.known[spec.key()]
	c.mu.Unlock()
	if ok && !digest.IsZero() && slices.Equal(plan.Args(traits.Params), args) {
		return traits, nil
	}
	ch, err := c.start(ctx, spec)
	if err != nil {
		return mr.Traits{}, err
	}
	traits = ch.traits
	if other := c.takeIdle(ch.key); other != nil {
		c.drop(ch)
		ch = other
	}
	c.put(ch)
	return traits, nil
}

// is tells a Runner what it runs: a binary may have been asked for its one job, whatever
// that is called, and with the defaults that its flags have now.
func (r *childRunner) is(t mr.Traits) {
	r.traits, r.totals = t, mr.Totals(t)
	r.spec.job, r.spec.args = t.Job, plan.Args(t.Params)
}

// maxKnown bounds the memory of traits.
const maxKnown = 256

// get returns a child for spec, an idle one if there is one.
func (c *Children) get(ctx context.Context, spec *childSpec) (*child, error) {
	key := spec.key()
	for {
		ch := c.takeIdle(key)
		if ch == nil {
			return c.start(ctx, spec)
		}
		if ch.alive() && ch.opened.fresh() {
			return ch, nil
		}
		c.drop(ch)
	}
}

func (c *Children) takeIdle(key string) *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.idle) - 1; i >= 0; i-- {
		if ch := c.idle[i]; ch.key == key {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			return ch
		}
	}
	return nil
}

// start makes a process and shakes hands with it.
func (c *Children) start(ctx context.Context, spec *childSpec) (*child, error) {
	if err := c.check(spec); err != nil {
		return nil, err
	}
	ch, err := c.startProcess(spec)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.live[ch] = struct{}{}
	}
	c.mu.Unlock()
	if closed {
		ch.end()
		return nil, errClosed
	}
	if err := ch.handshake(ctx, spec, c.o.Handshake); err != nil {
		c.drop(ch)
		return nil, err
	}
	c.mu.Lock()
	if len(c.known) >= maxKnown {
		clear(c.known)
	}
	named := *spec // it is as good for who asks for the job by its name, and gives it all parameters
	named.job = ch.traits.Job
	c.known[ch.key], c.known[named.key()] = ch.traits, ch.traits
	named.args = plan.Args(ch.traits.Params)
	ch.key = named.key()
	c.known[ch.key] = ch.traits
	c.mu.Unlock()
	return ch, nil
}

var errClosed = errors.New("the worker is shutting down")

// put keeps a child that has nothing to do.
func (c *Children) put(ch *child) {
	ch.idleSince = time.Now()
	c.mu.Lock()
	var extra *child
	switch {
	case c.closed || c.o.Idle < 0 || !ch.reusable:
		extra = ch
	case len(c.idle) >= c.o.Idle:
		extra, c.idle = c.idle[0], append(c.idle[1:], ch)
	default:
		c.idle = append(c.idle, ch)
	}
	if c.timer == nil && !c.closed {
		c.timer = time.AfterFunc(c.o.IdleTime, c.sweep)
	}
	c.mu.Unlock()
	if extra != nil {
		c.drop(extra)
	}
}

// sweep ends children that have been idle for too long, and sets the timer for the next.
func (c *Children) sweep() {
	c.mu.Lock()
	var old []*child
	for len(c.idle) > 0 && time.Since(c.idle[0].idleSince) >= c.o.IdleTime {
		old, c.idle = append(old, c.idle[0]), c.idle[1:]
	}
	c.timer = nil
	if len(c.idle) > 0 && !c.closed {
		c.timer = time.AfterFunc(c.o.IdleTime-time.Since(c.idle[0].idleSince), c.sweep)
	}
	c.mu.Unlock()
	for _, ch := range old {
		c.drop(ch)
	}
}

// drop ends a child and forgets it.
func (c *Children) drop(ch *child) {
	ch.end()
	c.mu.Lock()
	delete(c.live, ch)
	c.mu.Unlock()
}

// Close ends all children, and with them the tasks that they are at.
func (c *Children) Close() {
	c.mu.Lock()
	c.closed = true
	all := make([]*child, 0, len(c.live))
	for ch := range c.live {
		all = append(all, ch)
	}
	c.idle = nil
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	var ended sync.WaitGroup
	for _, ch := range all { // together: each may have left a process behind that holds its pipe
		ended.Go(func() { c.drop(ch) })
	}
	ended.Wait()
	c.watcher.close()
}

// childRunner runs tasks of one job in children.
type childRunner struct {
	children *Children
	spec     childSpec
	traits   mr.Traits
	totals   *mr.Program   // does what it takes no code of the job's for; nil: nothing
	own      []input.Piece // of the split, of a job whose keys have their paths

	mu      sync.Mutex
	printed []string
	opened  map[string]mr.Digest // zero: not known, or not the same for all processes
}

var _ mr.Runner = (*childRunner)(nil)

// Traits implements mr.Runner.
func (r *childRunner) Traits() mr.Traits { return r.traits }

// Printed returns the lines that the tasks of this Runner have printed.
func (r *childRunner) Printed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.printed...)
}

// Opened returns the files that the processes of this Runner's tasks have opened to read, by path.
func (r *childRunner) Opened() []plan.Opened {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]plan.Opened, 0, len(r.opened))
	for _, path := range slices.Sorted(maps.Keys(r.opened)) {
		all = append(all, plan.Opened{Path: path, Digest: r.opened[path]})
	}
	return all
}

func (r *childRunner) ofSplit(own []input.Piece) { r.own = own }

// Map implements mr.Runner.
func (r *childRunner) Map(ctx context.Context, t mr.TaskEnv, in mr.BlockReader, out mr.RecordSink) (mr.Counters, error) {
	return r.run(ctx, "map", t, blockFeed{in}, out)
}

// Reduce implements mr.Runner.
func (r *childRunner) Reduce(ctx context.Context, t mr.TaskEnv, in mr.RecordReader, out mr.RecordSink) (mr.Counters, error) {
	if r.totals != nil {
		return r.totals.Reduce(ctx, t, in, out)
	}
	return r.run(ctx, "reduce", t, recordFeed{in}, out)
}

// Combine folds records with the job's combiner; see mr.Program.Combine.
func (r *childRunner) Combine(ctx context.Context, t mr.TaskEnv, in mr.RecordReader, out mr.RecordSink) (mr.Counters, error) {
	if r.totals != nil {
		return r.totals.Combine(ctx, t, in, out)
	}
	return r.run(ctx, "combine", t, recordFeed{in}, out)
}

// run executes one task in one child.
func (r *childRunner) run(ctx context.Context, stage string, env mr.TaskEnv, in feed, out mr.RecordSink) (mr.Counters, error) {
	ch, err := r.children.get(ctx, &r.spec)
	if err != nil {
		return nil, err
	}
	ch.output.begin()
	counters, err := ch.task(ctx, stage, env, in, out, r.children.o.Silence)
	if err == nil {
		ch.output.wait(outputWait)
	} else {
		ch.end() // whatever state it is in; and the last of its output is read then
	}
	r.mu.Lock()
	r.printed = append(r.printed, ch.output.lines()...)
	once := ch.opened.some() // what it has read it may use for its next tasks, whose outputs would depend on that as well
	ch.opened.forget(r.own)
	for _, f := range ch.opened.list(&r.children.digests) {
		if r.opened == nil {
			r.opened = map[string]mr.Digest{}
		}
		if d, known := r.opened[f.Path]; known && d != f.Digest {
			f.Digest = mr.Digest{}
		}
		r.opened[f.Path] = f.Digest
	}
	r.mu.Unlock()
	if err != nil || once || ch.soiled() {
		r.children.drop(ch)
	} else {
		r.children.put(ch)
	}
	return counters, err
}

// outputWait is how long to wait for what a finished task has printed: it is in the pipe
// already, unless the task has taken the pipe away.
const outputWait = 200 * time.Millisecond

// indent makes a child's own words stand apart in a message.
func indent(s string) string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return ""
	}
	return "\n    " + strings.ReplaceAll(s, "\n", "\n    ")
}
