package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/childproto"
)

// child is one process of a job's binary. It belongs to whoever got it from Children;
// only end may be called by others, at any time.
type child struct {
	key       string
	name      string // for messages: the binary's path
	reusable  bool   // by others with the same key
	cmd       *exec.Cmd
	conn      *os.File // our end of the socketpair
	r         *childproto.Reader
	w         *childproto.Writer
	shared    *shared // nil: there is none
	dir       string  // its working directory, empty
	output    *output
	opened    *opened
	traits    mr.Traits
	exited    chan struct{} // closed when the process is gone; exit is set before
	exit      error
	once      sync.Once
	idleSince time.Time // guarded by whoever has it
}

// startProcess makes a process for spec, from a thread that lives as long as the process: Linux sends
// the parent-death signal when the thread that started the process ends.
func (c *Children) startProcess(spec *childSpec) (*child, error) {
	type outcome struct {
		ch  *child
		err error
	}
	started := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // for good: what it sets for its child ends with it
		ch, err := c.startChild(spec)
		started <- outcome{ch, err}
		if err == nil {
			ch.wait()
		}
	}()
	o := <-started
	return o.ch, o.err
}

func (c *Children) startChild(spec *childSpec) (_ *child, err error) {
	var files []*os.File
	defer func() { // the child's ends; and if it fails, ours
		for _, f := range files {
			f.Close() //nolint:errcheck // nothing was written
		}
	}()
	ours, theirs, err := socketpair()
	if err != nil {
		return nil, fmt.Errorf("making a socket for %s: %w", spec.path, err)
	}
	printed, prints, err := os.Pipe()
	files = append(files, theirs)
	if err != nil {
		files = append(files, ours)
		return nil, fmt.Errorf("making a pipe for %s: %w", spec.path, err)
	}
	files = append(files, prints)
	dir, err := os.MkdirTemp(c.o.TempDir, "mr-task-*")
	if err != nil {
		files = append(files, ours, printed)
		return nil, fmt.Errorf("making a working directory for %s: %w", spec.path, err)
	}
	extra := []*os.File{theirs}
	mem := newShared()
	if mem != nil {
		extra = append(extra, mem.f)
	}
	cmd := &exec.Cmd{
		Path: spec.path, Args: []string{"job"}, Dir: dir,
		Env:    append([]string{childproto.Env + "=" + childproto.Version, "TZ=UTC"}, spec.env...),
		Stdout: prints, Stderr: prints, ExtraFiles: extra,
		SysProcAttr: childAttributes(),
	}
	seen := newOpened(dir, spec.path)
	if c.watch(seen) {
		cmd.Dir = ""
	}
	if err := startRetrying(cmd); err != nil {
		files = append(files, ours, printed)
		mem.close()
		os.Remove(dir) //nolint:errcheck // it is empty, and the start has failed already
		return nil, mr.Errorf(mr.Failed, "starting %s: %w", spec.path, err)
	}
	return &child{
		key: spec.key(), name: spec.path, reusable: !spec.digest.IsZero(), cmd: cmd, conn: ours, dir: dir,
		r: childproto.NewReader(ours), w: childproto.NewWriter(ours), shared: mem,
		output: newOutput(printed, c.o.OutputCap), opened: seen, exited: make(chan struct{}),
	}, nil
}

// wait waits for the end of the process, and ends what it has left behind in its group.
func (ch *child) wait() {
	ch.exit = ch.cmd.Wait()
	_ = syscall.Kill(-ch.cmd.Process.Pid, syscall.SIGKILL)
	close(ch.exited)
}

// startRetrying starts cmd. A file that was written a moment ago may still be open for
// writing in a process that another goroutine is just starting; that passes.
func startRetrying(cmd *exec.Cmd) error {
	for i := 0; ; i++ {
		err := cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || i == 20 {
			return err
		}
		time.Sleep(5 * time.Millisecond << min(i, 4))
		*cmd = exec.Cmd{Path: cmd.Path, Args: cmd.Args, Dir: cmd.Dir, Env: cmd.Env, Stdout: cmd.Stdout,
			Stderr: cmd.Stderr, ExtraFiles: cmd.ExtraFiles, SysProcAttr: cmd.SysProcAttr}
	}
}

// socketBuffer is how much may be on its way in either direction: enough for one side to
// go on while the other computes.
const socketBuffer = 1 << 20

// socketpair makes two connected sockets, the first for us, with deadlines.
func socketpair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		// Smaller buffers than asked for are slower, and that is all.
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, socketBuffer)
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, socketBuffer)
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		syscall.Close(fds[0]) //nolint:errcheck // the error is reported
		syscall.Close(fds[1]) //nolint:errcheck // likewise
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "child"), os.NewFile(uintptr(fds[1]), "engine"), nil
}

// end kills the process and all that it has started, if it still lives, and returns
// when it is gone and all it has printed is read.
func (ch *child) end() {
	ch.once.Do(func() {
		ch.kill()
		ch.shared.close()
		<-ch.exited
		select {
		case <-ch.output.closed:
		case <-time.After(time.Second): // a process that left the group holds the pipe
		}
		os.RemoveAll(ch.dir) //nolint:errcheck // in the temporary folder; the system sweeps it
	})
	<-ch.exited
}

// kill ends the process group, unless its leader has been reaped: its number may be
// another's by now. It ends the connection as well, whose other end a process may hold that has left the group.
func (ch *child) kill() {
	if ch.alive() {
		_ = syscall.Kill(-ch.cmd.Process.Pid, syscall.SIGKILL) // ESRCH: it is just ending
	}
	ch.conn.Close() //nolint:errcheck // nothing more is to be said
}

// alive reports whether the process had not ended a moment ago.
func (ch *child) alive() bool {
	select {
	case <-ch.exited:
		return false
	default:
		return true
	}
}

// soiled reports whether the last task has left files in the working directory: another
// task must not find them.
func (ch *child) soiled() bool {
	left, err := os.ReadDir(ch.dir)
	return err != nil || len(left) > 0
}

// handshake learns who the child is, and tells it which job it is to run.
func (ch *child) handshake(ctx context.Context, spec *childSpec, limit time.Duration) error {
	stop := context.AfterFunc(ctx, ch.kill)
	defer stop()
	if err := ch.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("setting the time limit of %s: %w", spec.path, err)
	}
	hello, err := ch.expect(childproto.Hello)
	if err != nil {
		return ch.silent(ctx, err, limit)
	}
	if v := childproto.One(hello, "protocol", 0); v != childproto.Version {
		return mr.Errorf(mr.Usage, "%s was built with a version of mr that speaks protocol %s, and this engine speaks %s; build it anew", spec.path, v, childproto.Version)
	}
	fields := [][]string{{"job", spec.job}}
	if ch.shared != nil {
		fields = append(fields, []string{"shared", strconv.Itoa(slots)})
	}
	for _, a := range spec.args {
		fields = append(fields, []string{"arg", a})
	}
	if err := ch.w.Control(childproto.Configure, fields...); err != nil {
		return ch.silent(ctx, err, limit)
	}
	traits, err := ch.expect(childproto.Traits)
	if err != nil {
		return ch.silent(ctx, err, limit)
	}
	if !stop() { // it is being killed, or was
		return ctx.Err()
	}
	ch.traits = traitsOf(traits)
	return ch.conn.SetDeadline(time.Time{})
}

// refusal is an error that the child has sent.
type refusal struct{ err *mr.Error }

func (r refusal) Error() string { return r.err.Error() }

// expect reads a control frame of type t. An Error frame becomes a refusal.
func (ch *child) expect(t childproto.Type) ([][]string, error) {
	got, payload, err := ch.r.Next()
	if err != nil {
		return nil, err
	}
	if got != t && got != childproto.Error {
		return nil, fmt.Errorf("it sent a frame of type %d where one of type %d was due", got, t)
	}
	fs, err := childproto.Fields(payload)
	if err != nil || got == t {
		return fs, err
	}
	return nil, refusalOf(fs)
}

func refusalOf(fs [][]string) error {
	kind, err := strconv.Atoi(childproto.One(fs, "kind", 0))
	if err != nil || kind < int(mr.Failed) || kind > int(mr.Interrupted) {
		kind = int(mr.Failed)
	}
	refused := mr.Errorf(mr.Kind(kind), "%s", childproto.One(fs, "message", 0))
	if childproto.One(fs, "full", 0) == "true" {
		refused.Err = syscall.ENOSPC
	}
	return refusal{refused}
}

// silent explains a handshake that has failed.
func (ch *child) silent(ctx context.Context, err error, limit time.Duration) error {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		ch.end()
		return mr.Errorf(mr.Failed, "%s started but said nothing for %s; does its main function call mr.Main before anything that waits? It printed:%s",
			ch.name, limit, quoted(ch.output.last()))
	}
	how := ch.death(time.Second)
	if how == "" {
		how = "does not speak the protocol of mr (" + err.Error() + ")"
	}
	return mr.Errorf(mr.Failed, "%s %s before it introduced itself; is it a program whose main function calls mr.Main? It printed:%s",
		ch.name, how, quoted(ch.output.last()))
}

func quoted(s string) string {
	if s == "" {
		return " nothing"
	}
	return indent(s)
}

// death says how the process has ended, if it has or does so within the grace time. It
// also ends what is left of it.
func (ch *child) death(grace time.Duration) string {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ch.exited:
	case <-timer.C:
		return ""
	}
	ch.end()
	exit, ok := errors.AsType[*exec.ExitError](ch.exit)
	if !ok {
		if ch.exit != nil {
			return "ended: " + ch.exit.Error()
		}
		return "exited with status 0"
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled() && status.Signal() == syscall.SIGKILL:
		return "was killed (out of memory?)"
	case ok && status.Signaled():
		return "was ended by signal " + strconv.Itoa(int(status.Signal())) + " (" + status.Signal().String() + ")"
	}
	return "exited with status " + strconv.Itoa(exit.ExitCode())
}

// traitsOf is the other side of Traits.fields in package mr.
func traitsOf(fs [][]string) mr.Traits {
	is := func(name string) bool { return childproto.One(fs, name, 0) == "true" }
	t := mr.Traits{
		Job: childproto.One(fs, "job", 0), Version: childproto.One(fs, "version", 0),
		MapStage: childproto.One(fs, "map-stage", 0), KeyShape: childproto.One(fs, "key-shape", 0),
		Env: childproto.All(fs, "env"), Combine: is("combine"), Tree: is("tree"), Sums: is("sums"), Totals: childproto.One(fs, "totals", 0), Reduce: is("reduce"), Positions: is("positions"),
		Raw: is("raw"), LikeInput: is("like-input"), NoKey: is("no-key"), NoValue: is("no-value"),
	}
	t.Prefix, _ = strconv.Atoi(childproto.One(fs, "prefix", 0))
	for _, f := range fs {
		if f[0] == "param" && len(f) >= 4 {
			t.Params = append(t.Params, mr.Param{Name: f[1], Value: f[2], ReduceOnly: f[3] == "true"})
		}
	}
	return t
}
