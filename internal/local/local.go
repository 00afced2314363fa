// Package local puts a whole node together in one process: a store, an engine and a
// worker. The daemon, mrctl without a daemon, and mrtest run the same node.
package local

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/rpc"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/engine"
	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/store"
	"github.com/mrd-io/mr/worker"
)

// Options configure a Node.
type Options struct {
	// Silence is how long an author's process may hold a task without a sign of life; 0: 10 minutes.
	Silence time.Duration
	// Snapshot has Close take a snapshot of the catalog. Without it, one a day is taken.
	Snapshot bool
	NoTwins  bool // no job's attempts get twins

	Workers  int   // attempts at a time; 0: one a core
	Memory   int64 // bytes for all of them together; 0: 1 GiB
	ReadOnly bool  // open the store for questions only: nothing runs
	Idle     bool  // open it for its keeper: unfinished jobs stay as they are
	// CacheSize bounds what the store takes on disk; outputs are evicted for it. 0: a
	// fifth of what is free at the start and the store has already, which its keeper goes by
	// only when asked to collect; < 0: no bound.
	CacheSize int64
	onRequest bool // see engine.Options
	Logger    *slog.Logger
	Getenv    func(string) string
	Builtin   func(name string) (*mr.Definition, bool) // nil: those of package builtin
}

// DefaultMemory is the memory of a node that was not given any.
const DefaultMemory = 1 << 30

// Node is a store with an engine and a worker around it.
type Node struct {
	store    *store.Store
	engine   *engine.Engine // nil when opened for reading
	ran      chan error
	children *worker.Children
	crew     *crew // of workers that join; nil when opened for reading

	log      *slog.Logger
	last     bool          // a snapshot is taken at the end
	opened   time.Time     // after everybody else had left the store, and before the engine began
	closing  chan struct{} // closed by Close
	snapping chan struct{} // closed when keepSnapshots is gone
}

// Open opens the store in dir, making it if need be, and starts the engine: jobs that
// an earlier life left unfinished go on at once. Errors are those of store.Open.
func Open(dir string, o Options) (*Node, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Builtin == nil {
		o.Builtin = builtin.Lookup()
	}
	if !o.ReadOnly && o.CacheSize == 0 {
		o.CacheSize, o.onRequest = defaultCacheSize(dir), o.Idle
	}
	if err := checkFolder(dir); err != nil && !o.ReadOnly {
		return nil, err
	}
	s, err := store.Open(dir, store.Options{ReadOnly: o.ReadOnly, Logger: o.Logger, VolumeCap: volumeCap(o.CacheSize)})
	if err != nil {
		return nil, err
	}
	n := &Node{store: s, ran: make(chan error, 1), log: o.Logger, last: o.Snapshot, opened: time.Now(), closing: make(chan struct{}), snapping: make(chan struct{})}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if o.ReadOnly {
		return n, nil
	}
	if err := n.start(o); err != nil {
		s.Close() //nolint:errcheck // the start's error is the one to tell
		return nil, err
	}
	go n.keepSnapshots()
	return n, nil
}

// checkFolder refuses a folder that is no store, and has what is another's where a store clears or writes over
// what it takes for its own.
func checkFolder(dir string) error {
	if store.There(dir) {
		return nil
	}
	if lock, err := os.Open(filepath.Join(dir, "lock")); err == nil {
		pid := make([]byte, 32)
		n, _ := lock.Read(pid) // of a folder nothing: it can't be written over
		lock.Close()
		if len(bytes.Trim(pid[:n], "0123456789\n")) > 0 {
			return mr.Errorf(mr.Refused, "%s is no store, and its file lock is another's, which a store would write over; choose another --store", dir)
		}
	}
	for _, name := range []string{"tmp", "bin"} {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err != nil {
			continue // what can't be looked at can't be cleared either
		}
		if left, err := os.ReadDir(path); err != nil || len(left) > 0 || !info.IsDir() {
			return mr.Errorf(mr.Refused, "%s is no store, and its %s is another's, of which a store would clear what it takes for its own; choose another --store", dir, name)
		}
	}
	return nil
}

// untouched is memory that nobody writes to, so that it is none in use. But the collector counts it
// as live, and begins only when as much has been allocated beside it: a rerun that takes a tenth
// of a second would spend a tenth of that on collecting heaps of 4 MiB.
var (
	untouched []byte //nolint:unused // held, not read
	headroom  sync.Once
)

const headroomMax = 32 << 20 // of untouched, in bytes

// leastLimit is room for what a process holds beside its tasks. Under a limit that it is always
// beyond, the collector takes half of all processor time and frees nothing.
const leastLimit = 32 << 20

// LimitMemory makes the collector work harder when this process comes near so many bytes.
func LimitMemory(bytes int64) { debug.SetMemoryLimit(max(bytes, leastLimit)) }

func (n *Node) start(o Options) error {
	tmp := filepath.Join(n.store.Dir(), "tmp")
	if err := sweep(tmp); err != nil {
		return mr.Errorf(mr.Failed, "clearing the store's folder for spills: %w", err)
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return mr.Errorf(mr.Failed, "making the store's folder for spills: %w", err)
	}
	if err := sweepImports(filepath.Join(n.store.Dir(), "bin")); err != nil {
		return mr.Errorf(mr.Failed, "clearing the store's folder for binaries: %w", err)
	}
	LimitMemory(o.Memory)
	headroom.Do(func() { untouched = make([]byte, min(headroomMax, o.Memory/16)) })
	n.engine = engine.New(engine.Options{
		Store: n.store, Logger: o.Logger, Getenv: o.Getenv,
		TaskMemory: o.Memory / int64(o.Workers+1), // of one attempt, of which there is one more than workers
		CacheSize:  max(o.CacheSize, 0), OnRequest: o.onRequest, Idle: o.Idle, NoTwins: o.NoTwins,
	})
	n.children = worker.NewChildren(worker.ChildOptions{Idle: o.Workers, Silence: o.Silence, TempDir: tmp, Logger: n.log})
	service := worker.New(worker.Options{
		Runs: runs{n.store}, Builtin: o.Builtin, Binaries: n.children, TempDir: tmp, Logger: o.Logger,
		Cores: o.Workers,
	})
	n.crew = newCrew(n, o.Silence)
	srv := rpc.NewServer()
	if err := srv.RegisterName("Worker", service); err != nil {
		return fmt.Errorf("registering the worker: %w", err)
	}
	here, there := direct()
	go srv.ServeCodec(there) // ends when the engine closes its side
	go func() { n.ran <- n.engine.Run(context.Background()) }()
	client := rpc.NewClientWithCodec(here)
	err := n.engine.AddWorker(client, o.Workers+1) // one more: see worker.Options.Cores
	if err != nil {                                // the engine has ended, and knows why
		client.Close() //nolint:errcheck // nothing was asked of the worker
		n.children.Close()
		err = cmp.Or(<-n.ran, err)
	}
	return err
}

// importing begins the names of binaries that are being copied into the store.
const importing = "import-"

// sweepImports removes the binaries that a crash has left half copied.
func sweepImports(dir string) error {
	left, err := os.ReadDir(dir)
	if err != nil { // nothing was copied yet; or who copies will say why
		return nil
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), importing) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// sweep removes what an earlier life has left in a folder. The folder itself stays: on a full
// disk it could not be made again.
func sweep(dir string) error {
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		return os.RemoveAll(dir) // a link leads to what is not the store's
	}
	left, err := os.ReadDir(dir)
	for _, e := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// Jobs is the engine, or, of a node opened for reading, the catalog.
func (n *Node) Jobs() mr.Jobs {
	if n.engine == nil {
		return engine.Catalog{Store: n.store}
	}
	return n.engine
}

// Opened is when the store was the node's: what a job came to before, it came to in another process.
func (n *Node) Opened() time.Time { return n.opened }

// Store is the node's store.
func (n *Node) Store() *store.Store { return n.store }

// Run waits until the engine has stopped by itself, which is an error, or ctx ends.
func (n *Node) Run(ctx context.Context) error {
	select {
	case err := <-n.ran:
		n.ran <- err
		return err
	case <-ctx.Done():
		return nil
	}
}

// Close stops the engine, cancelling the attempts in flight, and closes the store. Jobs
// that have not ended go on when the store is opened again.
func (n *Node) Close(ctx context.Context) error {
	var err error
	if n.engine != nil {
		n.engine.Drain()
		select {
		case err = <-n.ran:
			n.children.Close()
		case <-ctx.Done():
			n.children.Close()
			return mr.Errorf(mr.Interrupted, "the engine did not stop in time: %w", ctx.Err())
		}
	}
	if n.engine != nil {
		close(n.closing)
		<-n.snapping
		if n.last && err == nil {
			n.snapshot(0)
		}
	}
	return errors.Join(err, n.store.Close())
}

// ImportBinary copies a job binary into the store, under its own digest, so that what
// is identified is what is executed, whatever happens to the file.
func (n *Node) ImportBinary(path string) (mr.Code, error) {
	info, err := os.Stat(path) // first: to open a pipe takes somebody at its other end
	if err == nil && !info.Mode().IsRegular() {
		return mr.Code{}, mr.Errorf(mr.Usage, "job binary %s is not a regular file; name the program itself", path)
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "job binary: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "importing %s: %w", path, err)
	}
	if c, there := n.imported(path, h); there {
		return c, nil
	}
	dir := filepath.Join(n.store.Dir(), "bin")
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "making the store's folder for binaries: %w", err)
	}
	tmp, err := os.CreateTemp(dir, importing+"*")
	if err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "importing %s: %w", path, err)
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone if it was renamed
	h.Reset()                   // what is copied counts, and the file may have changed
	_, err = f.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(io.MultiWriter(tmp, h), f)
	}
	err = errors.Join(err, tmp.Chmod(0o500), tmp.Sync(), tmp.Close())
	if err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "importing %s: %w", path, err)
	}
	c, there := n.imported(path, h)
	if there {
		return c, nil
	}
	if err := failpoint.Hit("local/binary-written"); err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "importing %s: %w", path, err)
	}
	// Durable, as the job will be that needs it.
	if err := durable.Rename(tmp.Name(), c.Path); err != nil {
		return mr.Code{}, mr.Errorf(mr.Failed, "importing %s: %w", path, err)
	}
	return c, nil
}

// imported returns the code that was read from path and hashed, and whether the store has
// it, undamaged. If so it was named now, which keeps it from being given up.
func (n *Node) imported(path string, h hash.Hash) (c mr.Code, there bool) {
	c = mr.Code{Kind: mr.Binary, Source: path}
	h.Sum(c.Digest[:0])
	c.Path = filepath.Join(n.store.Dir(), "bin", c.Digest.String())
	now := time.Now()
	return c, os.Chtimes(c.Path, now, now) == nil && worker.CheckBinary(c.Path, c.Digest) == nil
}

// runs is the store as a worker in the same process sees it.
type runs struct{ s *store.Store }

func (r runs) Create() worker.RunSink { return sink{r.s.CreateRun()} }

func (r runs) Open(id uint64) (worker.RunSource, error) {
	src, err := r.s.OpenRun(store.RunID(id))
	if err != nil {
		return nil, lost(err)
	}
	return source{src}, nil
}

func (r runs) OpenSealed(id uint64) (worker.RunSource, error) {
	src, err := r.s.OpenSealed(store.RunID(id))
	if err != nil {
		return nil, err
	}
	return source{src}, nil
}

type source struct{ *store.RunReader }

func (s source) ReadBlock(i int, dst []byte) ([]byte, error) {
	b, err := s.RunReader.ReadBlock(i, dst)
	return b, lost(err)
}

// lost tells runs that are gone from failures of the moment, such as too many open files.
func lost(err error) error {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrNoRun) {
		return fmt.Errorf("%w: %w", worker.ErrLost, err)
	}
	return err
}

type sink struct{ *store.RunWriter }

func (s sink) Seal(ctx context.Context) (uint64, error) {
	id, err := s.RunWriter.Seal(ctx)
	return uint64(id), err
}
