package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"math/rand/v2"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/rpcsvc"
	"github.com/mrd-io/mr/worker"
)

// DefaultLease is how long a joined worker may give no sign of life, unless Options.Silence
// is less.
const DefaultLease = 15 * time.Second

// leastLease is room for two signs of life.
const leastLease = time.Second

// crew are the workers that have joined from other processes.
type crew struct {
	n       *Node
	silence time.Duration
	lease   time.Duration

	mu     sync.Mutex
	seats  map[uint64]*seat
	byName map[string]*seat // the latest of each name, there or not
}

// seat is one membership: one connection of one process.
type seat struct {
	id    uint64
	req   rpcsvc.JoinRequest
	desk  *worker.Desk
	fence chan string // gets the reason why it is to go, once
	past  []int64     // incarnations of its name that had to go; the latest last
}

// keepPast is how many earlier processes of a name are remembered.
const keepPast = 64

func newCrew(n *Node, silence time.Duration) *crew {
	c := &crew{n: n, silence: silence, lease: DefaultLease, seats: map[uint64]*seat{}, byName: map[string]*seat{}}
	if silence > 0 {
		c.lease = max(min(c.lease, silence), leastLease)
	}
	return c
}

// Platform is what must be equal for the same code to make the same bytes: compilers fuse
// floating-point operations on some machines and not on others.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// Machine tells machines apart, each from its start to its end; "" where that is not known.
func Machine() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // Linux has it
	return strings.TrimSpace(string(id))
}

// Development reports whether a version is that of many programs: of those that were built outside of a repository,
// or from a working copy that had been changed.
func Development(version string) bool {
	return version == "(devel)" || strings.HasSuffix(version, "+dirty")
}

// Build tells programs of a development version apart, by the digest of what runs.
func Build() (string, error) {
	path := "/proc/self/exe" // what runs, even if the file was replaced since
	if _, err := os.Stat(path); err != nil {
		if path, err = os.Executable(); err != nil {
			return "", err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// Crew takes the workers that join this node, as a server offers them; nil for a node that
// was opened for reading.
func (n *Node) Crew() rpcsvc.Crew {
	if n.crew == nil {
		return nil
	}
	return n.crew
}

// Join implements rpcsvc.Crew. Of two processes under one name the one that was started
// later stays: of one host, whose clock can tell while both are there; of two, whose clocks need
// not agree, the one that joined later for the first time. A process that had to go doesn't come back.
func (c *crew) Join(ctx context.Context, req rpcsvc.JoinRequest) (rep rpcsvc.JoinReply, err error) {
	switch {
	case req.Slots < 1:
		return rep, mr.Errorf(mr.Usage, "worker %q needs room for one task at least", req.Name)
	case req.TaskMemory < 0:
		return rep, mr.Errorf(mr.Usage, "worker %q has %d bytes of memory for a task", req.Name, req.TaskMemory)
	case !validName(req.Name):
		return rep, mr.Errorf(mr.Usage, "%q cannot be a worker's name: it takes 1 to %d bytes that print, and not %q, which is the daemon's own; choose another with --name", req.Name, nameMost, engine.DaemonName)
	case req.Platform != Platform():
		return rep, mr.Errorf(mr.Refused, "worker %q runs on %s, and the daemon on %s: their results could differ", req.Name, req.Platform, Platform())
	}
	if Development(req.Version) {
		if build, err := Build(); err != nil || build != req.Build {
			return rep, mr.Errorf(mr.Refused, "worker %q is another build than the daemon, of no version; run the same program on both", req.Name)
		}
	}
	s := &seat{id: rand.Uint64()&(1<<53-1) | 1, req: req, fence: make(chan string, 1)}
	s.desk = worker.NewDesk(worker.DeskOptions{Runs: runs{c.n.store}, Binary: c.n.binary, Holds: c.n.holds})
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.byName[req.Name]; old != nil {
		earlier := old.req.Incarnation > req.Incarnation && old.req.Host == req.Host && c.seats[old.id] != nil && !c.silent(ctx, old)
		s.past = old.past
		switch {
		case earlier || slices.Contains(old.past, req.Incarnation):
			return rep, mr.Errorf(mr.Refused, "a worker named %q that was started later has joined from %s (pid %d); this one is fenced", req.Name, old.req.Host, old.req.PID)
		case old.req.Incarnation != req.Incarnation:
			s.past = append(slices.Clone(old.past[max(len(old.past)-keepPast, 0):]), old.req.Incarnation)
			old.send(fmt.Sprintf("a worker named %q was started later on %s (pid %d) and has joined; this one is fenced", req.Name, req.Host, req.PID))
		default:
			old.send("") // the same process on another connection
		}
	}
	c.byName[req.Name], c.seats[s.id] = s, s
	return rpcsvc.JoinReply{Seat: s.id, Lease: int64(c.lease), Silence: int64(c.silence), Epoch: c.n.store.Epoch(), Machine: Machine()}, nil
}

// vouched is for how long a sign of life, of which there is one every half second, tells that a process is there.
const vouched = 2 * time.Second

// silent reports whether the process of a seat has given no sign of life of late: its host may have gone without
// a word, and be up again with its clock behind, long before TCP gives the connection up.
func (c *crew) silent(ctx context.Context, s *seat) bool {
	list, err := c.n.engine.Workers(ctx)
	return err == nil && slices.ContainsFunc(list, func(w mr.Worker) bool {
		return w.Name == s.req.Name && w.Host == s.req.Host && w.PID == s.req.PID && w.Silent > vouched
	})
}

// nameMost is how many bytes a worker's name may have. Names are columns of tables and words of logs.
const nameMost = 255

func validName(name string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return name != "" && len(name) <= nameMost && name != engine.DaemonName && utf8.ValidString(name) && !strings.ContainsFunc(name, unprintable)
}

func (s *seat) send(reason string) {
	select {
	case s.fence <- reason:
	default: // it goes already
	}
}

// farewell is how long a worker that must go may take to hear it.
const farewell = 2 * time.Second

// Work implements rpcsvc.Crew.
func (c *crew) Work(ctx context.Context, id uint64, client *rpc.Client, gone <-chan struct{}) {
	s := c.seat(id)
	if s == nil {
		return
	}
	log := c.n.log.With("worker", s.req.Name, "host", s.req.Host, "pid", s.req.PID)
	member, err := c.n.engine.Join(ctx, client, engine.Member{
		Name: s.req.Name, Host: s.req.Host, PID: s.req.PID, Slots: s.req.Slots, Lease: c.lease, TaskMemory: s.req.TaskMemory,
	})
	if err != nil {
		log.Warn("a worker could not join", "err", err)
		if errors.Is(err, mr.ErrRefused) { // else the daemon is ending, and the next one may take the worker
			tell(client, err.Error())
		}
		return
	}
	log.Info("worker joined", "slots", s.req.Slots, "task_memory", s.req.TaskMemory, "lease", c.lease.String())
	why := "its connection ended"
	select {
	case <-gone:
	case <-ctx.Done():
		why = "the daemon is stopping"
	case reason := <-s.fence:
		why = reason
		if reason != "" {
			tell(client, reason)
		} else {
			why = "it has joined again"
		}
	}
	client.Close() // ErrShutdown when it is over already
	<-gone
	if err := c.n.engine.Lost(ctx, member, fmt.Errorf("%s", why)); err == nil {
		s.desk.Close()
	} // else the daemon is stopping, and with it the store, where nothing more is committed
}

// tell has a worker leave.
func tell(client *rpc.Client, reason string) {
	call := client.Go("Worker.Leave", &plan.Leave{Reason: reason}, &struct{}{}, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-time.After(farewell):
	}
}

// Stream implements rpcsvc.Crew.
func (c *crew) Stream(_ context.Context, id uint64, conn net.Conn) error {
	s := c.seat(id)
	if s == nil {
		return mr.Errorf(mr.Refused, "a stream of a worker that has not joined")
	}
	return s.desk.Serve(conn)
}

// Leave implements rpcsvc.Crew.
func (c *crew) Leave(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seats, id)
}

func (c *crew) seat(id uint64) *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seats[id]
}

// binary opens a job binary of the store.
func (n *Node) binary(d mr.Digest) (io.ReadCloser, error) {
	return os.Open(filepath.Join(n.store.Dir(), "bin", d.String()))
}

func (n *Node) holds(a plan.Attempt, part, from string) bool {
	held, err := n.engine.Holds(context.Background(), a, part, from)
	return held && err == nil
}
