package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/durable"
)

// Options say how to open a store. The zero value is useful.
type Options struct {
	ReadOnly    bool          // open an existing store, shared, without writing to it
	VolumeCap   int64         // a volume takes no further run at this size; 0: 1 GiB
	CatalogMap  int           // address space for the catalog: one that outgrows it waits for its readers; 0: 1 GiB
	InlineLimit int           // runs of up to so many bytes live in the catalog; 0: 16 KiB, negative: none
	Logger      *slog.Logger  // nil: silent
	LockWait    time.Duration // how long to wait for another process to leave; 0: 1 s
}

func (o *Options) fill() {
	if o.VolumeCap <= 0 {
		o.VolumeCap = 1 << 30
	}
	if o.InlineLimit == 0 {
		o.InlineLimit = 16 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LockWait <= 0 {
		o.LockWait = time.Second
	}
}

// Store is an open store.
type Store struct {
	dir     string
	o       Options
	lock    *lockFile
	id      [16]byte
	epoch   uint64
	catalog atomic.Pointer[boltFile] // replaced by the writer alone, in revive
	wedged  atomic.Bool              // bbolt panicked inside a write transaction
	files   []string                 // the catalog's, its snapshot's, and those of catalogs that Restore has set aside

	gate    sync.RWMutex // held shared while a call or chunk is handed over, and to set closed
	closed  bool         // guarded by gate
	calls   chan *call
	written chan struct{} // closed when writeLoop is gone
	lanes   []*lane
	room    room
	gcing   sync.Mutex // one GC or Check at a time

	snapping sync.Mutex // one Snapshot at a time
	snapped  int        // guarded by snapping: the catalog's transaction that a snapshot has

	nextRun atomic.Uint32
	buffers sync.Pool // of *[]byte with capacity chunkSize

	mu      sync.Mutex         // guards the rest, and the fields of volumes and pendings that say so
	pending map[RunID]*pending // runs begun and neither committed nor discarded
	volumes map[uint32]*volume
	lastVol uint32 // Invariant: no volume of this or a greater number is created again
}

// Open opens the store in dir, and creates it unless it is opened for reading.
func Open(dir string, o Options) (*Store, error) {
	o.fill()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, mr.Errorf(mr.Usage, "store %s: %w", dir, err)
	}
	if err := prepareDir(dir, o.ReadOnly); err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, o: o,
		calls:   make(chan *call, callQueue),
		written: make(chan struct{}),
		pending: make(map[RunID]*pending),
		volumes: make(map[uint32]*volume),
		room:    room{grown: make(chan struct{}, 1)},
	}
	if s.lock, err = lockStore(dir, o.ReadOnly, o.LockWait); err != nil {
		return nil, err
	}
	if err := s.openCatalog(); err != nil {
		return nil, firstError(err, s.lock.release())
	}
	s.files, _ = fs.Glob(os.DirFS(dir), catalogName+asideMark+"*") // fails for no such pattern
	s.files = append(s.files, catalogName, snapshotName)
	if err := s.listVolumes(); err != nil {
		return nil, firstError(cannotUse(dir, err), s.catalog.Load().db.Close(), s.lock.release())
	}
	if !o.ReadOnly {
		go s.writeLoop()
		for range laneCount {
			s.lanes = append(s.lanes, newLane(s))
		}
	}
	return s, nil
}

// firstError returns the first of errs that is not nil: the later ones are its consequences.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func prepareDir(dir string, readOnly bool) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return mr.Errorf(mr.Unreachable, "store %s is not a folder; choose another --store", dir)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return cannotUse(dir, err)
	case readOnly:
		return mr.Errorf(mr.Unreachable, "store %s does not exist; run a job first, or choose another --store", dir)
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return cannotUse(dir, err)
	}
	return nil
}

// Dir returns the store's folder, absolute.
func (s *Store) Dir() string { return s.dir }

// Epoch returns the number of the writable Open that this is, or for a store that is
// open for reading, of the last one. It is durable before Open returns.
func (s *Store) Epoch() uint64 { return s.epoch }

// Close waits for Updates and Seals under way and releases the store. Runs that are not
// sealed are lost. Open RunReaders stay readable.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return nil
	}
	s.closed = true
	close(s.calls)
	s.gate.Unlock()

	for _, l := range s.lanes {
		l.stop()
	}
	if !s.o.ReadOnly {
		<-s.written
	}
	var errs []error
	s.mu.Lock()
	var all []*volume // once for each reference to give up
	for _, p := range s.pending {
		if v := p.end(runDiscarded); v != nil {
			all = append(all, v)
		}
	}
	for _, v := range s.volumes {
		all = append(all, v)
	}
	clear(s.volumes)
	s.mu.Unlock()
	for _, v := range all {
		errs = append(errs, s.release(v))
	}
	c := s.catalog.Load()
	if s.wedged.Load() {
		errs = append(errs, c.abandon())
	} else {
		errs = append(errs, c.db.Close())
	}
	errs = append(errs, s.lock.release())
	return errors.Join(errs...)
}
