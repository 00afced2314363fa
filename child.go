package mr

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/mrd-io/mr/internal/childproto"
)

// This file is the child's side of the protocol that package childproto describes.

// child is a job binary at work for the engine that started it.
type child struct {
	r    *childproto.Reader
	w    *childproto.Writer
	jobs []*Definition
	prog *Program
	mem  []byte // shared with the parent; see childproto.Shared
}

// serveParent talks to the parent until it closes the connection, and returns the
// status to exit with.
func serveParent(version string, jobs []*Definition) int {
	// The author's code must not see how it is run, nor should its own children.
	os.Unsetenv(childproto.Env) //nolint:errcheck // it was set
	syscall.CloseOnExec(childproto.FD)
	conn := os.NewFile(childproto.FD, "engine")
	c := &child{r: childproto.NewReader(conn), w: childproto.NewWriter(conn), jobs: jobs}
	if version != childproto.Version {
		fmt.Fprintf(os.Stderr, "%s=%s is not version %s of the protocol\n", childproto.Env, version, childproto.Version)
	}
	err := c.serve()
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return 0
	}
	fmt.Fprintf(os.Stderr, "the connection to the engine (file descriptor %d, version %s) broke: %v\n", childproto.FD, version, err)
	return 2
}

func (c *child) serve() error {
	hello := [][]string{{"protocol", childproto.Version}}
	for _, d := range c.jobs {
		hello = append(hello, []string{"job", d.name})
	}
	if err := c.w.Control(childproto.Hello, hello...); err != nil {
		return err
	}
	fs, err := c.control(childproto.Configure)
	if err != nil {
		return err
	}
	if err := c.mapShared(childproto.One(fs, "shared", 0)); err != nil {
		return c.fail(err)
	}
	traits, err := c.configure(childproto.One(fs, "job", 0), childproto.All(fs, "arg"))
	if err != nil {
		return c.fail(err)
	}
	if err := c.w.Control(childproto.Traits, traits.fields()...); err != nil {
		return err
	}
	for {
		fs, err := c.control(childproto.Start)
		if err != nil {
			return err
		}
		counters, err := c.task(fs)
		endOutput()
		if err != nil {
			return c.fail(err)
		}
		err = c.w.Control(childproto.Done, counters.fields()...)
		if errors.Is(err, childproto.ErrLong) {
			return c.fail(Errorf(Failed, "job %s: a task has %d counters, and the names of so many can't be told: what there is one of for each key or record belongs into the output", c.prog.traits.Job, len(counters)))
		}
		if err != nil {
			return err
		}
	}
}

// mapShared maps the memory that the parent shares with us, if it does.
func (c *child) mapShared(slots string) (err error) {
	if slots == "" {
		return nil
	}
	n, err := strconv.Atoi(slots)
	if err != nil || n < 1 || n > 64 {
		return Errorf(Failed, "%q slots of shared memory are not to be had", slots)
	}
	// Writable, so that an author's function that changes its record does no harm.
	c.mem, err = syscall.Mmap(childproto.SharedFD, 0, n*childproto.SlotSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return Errorf(Failed, "mapping shared memory: %w", err)
	}
	syscall.Close(childproto.SharedFD) //nolint:errcheck // the mapping holds the memory
	return nil
}

// control reads a control frame of type t.
func (c *child) control(t childproto.Type) ([][]string, error) {
	got, payload, err := c.r.Next()
	if err != nil {
		return nil, err
	}
	if got != t {
		return nil, fmt.Errorf("a frame of type %d came where one of type %d was due", got, t)
	}
	return childproto.Fields(payload)
}

// longestMessage is what is told of an error: an author's may quote a record of many megabytes.
const longestMessage = 64 << 10

func (c *child) fail(err error) error {
	message := err.Error()
	if n := len(message); n > longestMessage {
		message = strings.ToValidUTF8(message[:longestMessage], "") + fmt.Sprintf("… (%d bytes in all)", n)
	}
	fs := [][]string{{"kind", strconv.Itoa(int(KindOf(err)))}, {"message", message}}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		fs = append(fs, []string{"full", "true"}) // not the code's fault: the task runs again when there is room
	}
	return c.w.Control(childproto.Error, fs...)
}

// configure finds the job and gives it its arguments.
func (c *child) configure(job string, args []string) (Traits, error) {
	d, err := findJob(c.jobs, job)
	if err != nil {
		return Traits{}, err
	}
	if d.global != nil && d.global.Parsed() && !has(d.global, args) {
		return Traits{}, Errorf(Usage, "the program calls flag.Parse before mr.Main, so its flags were read before it had them; drop the call: mr.Main parses the arguments")
	}
	// The others go first: whatever state jobs share is left as this one wants it.
	shapes := c.shapes(d)
	if c.prog, err = d.Configure(args); err != nil {
		return Traits{}, err
	}
	c.prog.traits.MapStage = mapStage(c.jobs, shapes, d, c.prog.mapStages)
	return c.prog.traits, nil
}

// has reports whether args change nothing of fs.
func has(fs *flag.FlagSet, args []string) bool {
	given, rest, err := splitArgs(fs, args)
	return err == nil && len(rest) == 0 && !slices.ContainsFunc(given, func(g setting) bool { return fs.Lookup(g.name).Value.String() != g.value })
}

func findJob(jobs []*Definition, name string) (*Definition, error) {
	if name == "" && len(jobs) == 1 {
		return jobs[0], nil
	}
	var names []string
	var found *Definition
	for _, d := range jobs {
		if d.name == name {
			if found != nil {
				return nil, Errorf(Usage, "the program has two jobs called %q, and nobody can tell which one is meant; give each a name of its own", name)
			}
			found = d
		}
		names = append(names, d.name)
	}
	switch {
	case found != nil:
		return found, nil
	case len(jobs) == 0:
		return nil, Errorf(Usage, "the program has no job: its main function gives mr.Main none")
	case name == "":
		return nil, Errorf(Usage, "the program has several jobs; choose one with --job: %s", strings.Join(names, ", "))
	}
	return nil, Errorf(Usage, "the program has no job %q; it has: %s", name, strings.Join(names, ", "))
}

// shapes returns the options of each job without arguments, nil for one that needs some: it may
// say so by an error, or by a panic where it looks at an argument that is not there.
func (c *child) shapes(last *Definition) []*stages {
	all := make([]*stages, len(c.jobs))
	shape := func(i int) {
		defer func() { _ = recover() }() // where its arguments are given, its own call comes later
		if d := c.jobs[i]; d.plain {
			opts, _ := d.build(nil)(nil) // a plain job has its options, whatever the arguments
			all[i] = collectOptions(opts)
		} else if s, _, err := d.assemble(nil, nil); err == nil {
			all[i] = s
		}
	}
	own := -1
	for i, d := range c.jobs {
		if d == last {
			own = i
		} else {
			shape(i)
		}
	}
	shape(own)
	return all
}

// mapStage names the map stage of job d, configured as s: jobs of one binary with the
// same name of their map stage have the very same Map and Combine options. It is the
// name of the first job that has them without arguments; or, where even d itself without
// arguments has others, d's own name in a form that is no job's.
func mapStage(jobs []*Definition, shapes []*stages, d *Definition, s *stages) string {
	for i, other := range shapes {
		if other != nil && other.mapper == s.mapper && other.combiner == s.combiner {
			return jobs[i].name
		}
	}
	return d.name + "()"
}

// task executes one task.
func (c *child) task(fs [][]string) (Counters, error) {
	format, err := ParseFormat(childproto.One(fs, "format", 0))
	if err != nil {
		return nil, err
	}
	memory, _ := strconv.ParseInt(childproto.One(fs, "memory", 0), 10, 64)
	index, _ := strconv.Atoi(childproto.One(fs, "index", 0))
	env := TaskEnv{Index: index, Format: format, Memory: memory, SpillDir: childproto.One(fs, "spill", 0), Alive: c.w.Alive}
	if childproto.One(fs, "skip", 0) == "true" {
		env.Skip = c.skipped
	}
	in := &childInput{r: c.r, pulse: pulse{tell: c.w.Alive}}
	records := RecordReader(childRecords{in})
	if childproto.One(fs, "tree", 0) == "true" {
		records = &childTree{childRecords: childRecords{in}}
	}
	ctx := context.Background() // a task is cancelled by killing its process
	var cs Counters
	switch stage := childproto.One(fs, "stage", 0); stage {
	case "map":
		cs, err = c.prog.Map(ctx, env, &childBlocks{childInput: in, c: c, slot: -1}, c.w)
	case "combine":
		cs, err = c.prog.Combine(ctx, env, records, c.w)
	case "reduce":
		cs, err = c.prog.Reduce(ctx, env, records, c.w)
	default:
		err = Errorf(Failed, "stage %q is not known to this version of mr", stage)
	}
	if err != nil {
		return nil, err
	}
	if err := in.drain(); err != nil {
		return nil, err
	}
	return cs, c.w.Flush()
}

// skipped tells the parent of a bad record. Whether there are too many is for it to say.
func (c *child) skipped(b BadRecord) error {
	return c.w.Control(childproto.Skipped, []string{"bad", b.Path, strconv.FormatInt(b.Offset, 10),
		strconv.FormatInt(b.Length, 10), b.Reason, string(b.Data)})
}

// childInput reads a task's input frames.
type childInput struct {
	r     *childproto.Reader
	batch []byte // what is left of a Records frame
	ended bool
	pulse pulse // of records; a mapper's blocks say nothing of how fast it is
}

// frame returns the next frame, which must be of type t or u, or io.EOF.
func (in *childInput) frame(t, u childproto.Type) (got childproto.Type, payload []byte, err error) {
	if in.ended {
		return 0, nil, io.EOF
	}
	got, payload, err = in.r.Next()
	switch {
	case err != nil:
		os.Exit(0) // the engine is gone; so is whoever this task was for
	case got == childproto.End:
		in.ended = true
		return 0, nil, io.EOF
	case got != t && got != u:
		return 0, nil, Errorf(Failed, "a frame of type %d came where one of type %d was due", got, t)
	}
	return got, payload, nil
}

// drain reads what the task has left unread.
func (in *childInput) drain() error {
	for !in.ended {
		switch t, _, err := in.r.Next(); {
		case err != nil:
			return err
		case t == childproto.End:
			in.ended = true
		}
	}
	return nil
}

// childBlocks reads blocks, from the socket or from shared memory.
type childBlocks struct {
	*childInput
	c    *child
	path string // of the last block; most blocks come from the file of the one before
	slot int    // of the last block, which is ours until the next call; -1: none
}

// Next implements BlockReader.
func (in *childBlocks) Next() (Block, error) {
	if in.slot >= 0 {
		if err := in.c.w.Release(in.slot); err != nil {
			return Block{}, err
		}
		in.slot = -1
	}
	t, payload, err := in.frame(childproto.Block, childproto.Shared)
	if err != nil {
		return Block{}, err
	}
	path, off, last, data, err := childproto.ReadBlock(payload)
	if err == nil && t == childproto.Shared {
		in.slot, data, err = childproto.ReadShared(data, in.c.mem)
	}
	if err != nil {
		return Block{}, err
	}
	if string(path) != in.path {
		in.path = string(path)
	}
	return Block{Data: data, Path: in.path, Off: off, Last: last}, nil
}

type childRecords struct{ *childInput }

// Next implements RecordReader.
func (in childRecords) Next() (key, value []byte, err error) {
	for len(in.batch) == 0 {
		if _, in.batch, err = in.frame(childproto.Records, childproto.Records); err != nil {
			return nil, nil, err
		}
	}
	if err = in.pulse.beat(); err != nil {
		return nil, nil, err
	}
	key, value, in.batch, err = childproto.NextRecord(in.batch)
	return key, value, err
}

// childTree reads records that are folded in a tree: their values begin with the level.
type childTree struct {
	childRecords
	level int
}

var _ TreeReader = (*childTree)(nil)

func (in *childTree) Next() (key, value []byte, err error) {
	key, value, err = in.childRecords.Next()
	if err != nil || len(value) == 0 {
		return key, value, err
	}
	in.level = int(value[0])
	return key, value[1:], nil
}

func (in *childTree) Level() int { return in.level }

// endOutput marks the end of what the task has printed, so that the parent knows when it
// has read it all: prints and frames come by different ways.
func endOutput() {
	for _, fd := range []int{2, 1} { // one and the same pipe
		if _, err := syscall.Write(fd, []byte(childproto.EndOfOutput)); err == nil {
			return
		}
	}
}

// fields writes traits down for the other side; see traitsOf in package worker.
func (t *Traits) fields() [][]string {
	fs := [][]string{{"job", t.Job}, {"version", t.Version}, {"map-stage", t.MapStage},
		{"prefix", strconv.Itoa(t.Prefix)}, {"key-shape", t.KeyShape}, {"totals", t.Totals}}
	for _, p := range t.Params {
		fs = append(fs, []string{"param", p.Name, p.Value, strconv.FormatBool(p.ReduceOnly)})
	}
	for _, e := range t.Env {
		fs = append(fs, []string{"env", e})
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"combine", t.Combine}, {"tree", t.Tree}, {"sums", t.Sums}, {"reduce", t.Reduce}, {"positions", t.Positions}, {"raw", t.Raw},
		{"like-input", t.LikeInput}, {"no-key", t.NoKey}, {"no-value", t.NoValue}} {
		if f.set {
			fs = append(fs, []string{f.name, "true"})
		}
	}
	return fs
}

func (cs Counters) fields() [][]string {
	fs := make([][]string, len(cs))
	for i, c := range cs {
		fs[i] = []string{"counter", c.Group, c.Name, strconv.FormatInt(c.Value, 10)}
	}
	return fs
}
