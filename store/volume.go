package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
)

const (
	volumesName = "volumes"
	newSuffix   = ".new"    // of files under construction; removed by the next Open
	mapSlack    = 128 << 20 // a run may begin just below the cap, with a block of up to 70 MiB
)

// A volume is a bbolt file with two buckets:
//
//	volume  "head": version 4 | number 4 | store id 16
//	blobs   place 8 | blob number 4 (big-endian): the blob's bytes
const volumeVersion = 1

func headBucket() []byte  { return []byte("volume") }
func blobsBucket() []byte { return []byte("blobs") }
func headKey() []byte     { return []byte("head") }

// volume is one volume file. It is opened when it is first needed.
type volume struct {
	number uint32
	path   string

	// Guarded by Store.mu.
	refs    int   // who may use the open file: the table, readers, pendings, a lane
	pins    int   // pendings that have, or may get, bytes here
	taken   bool  // a lane appends to it
	retired bool  // takes no further run
	size    int64 // of the file, as last seen

	distrusted bool // likewise guarded: pages of it have turned out to be damaged, and it stays retired
	stuck      bool // likewise: a run on record could not be moved out of it

	opening sync.Mutex // guards the rest
	bf      *boltFile
	failed  error // damage: sticky
	writes  bool  // opened for appending

	appending sync.Mutex // one at a time: bbolt's lock is never given back after a panic
}

// begin starts a transaction. bbolt looks at the file's header there, with locks held that
// everybody needs, also to end a transaction, and where it finds none it panics and keeps
// them. So the header is looked at before.
func (v *volume) begin(write bool) (b *bolt.Tx, err error) {
	if _, err := readMeta(v.bf.f, math.MaxInt64); isDamage(err) {
		v.spoil(err)
		return nil, v.damage()
	} else if err != nil {
		return nil, err
	}
	err = guard(func() (err error) { b, err = v.bf.db.Begin(write); return err })
	return b, err
}

// view is bbolt's View by way of begin.
func (v *volume) view(fn func(*bolt.Tx) error) error {
	b, err := v.begin(false)
	if err != nil {
		return err
	}
	return guard(func() error {
		defer b.Rollback() //nolint:errcheck // of a transaction that only reads
		return fn(b)
	})
}

// listVolumes finds the volume files. None is opened: opening a store must not cost more
// the more it holds, nor fail for one bad volume.
func (s *Store) listVolumes() error {
	dir := filepath.Join(s.dir, volumesName)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) && !s.o.ReadOnly {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		return durable.SyncDir(s.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), newSuffix) && !s.o.ReadOnly {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
			continue
		}
		digits, ok := strings.CutSuffix(e.Name(), ".db")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 || e.Name() != volumeName(uint32(n)) {
			continue // not ours
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		s.volumes[uint32(n)] = &volume{number: uint32(n), path: filepath.Join(dir, e.Name()), refs: 1, size: allocated(info)}
		s.lastVol = max(s.lastVol, uint32(n))
	}
	return nil
}

func volumeName(n uint32) string { return fmt.Sprintf("%06d.db", n) }

// growBy is how much a volume file grows at once; each time costs a sync.
func (s *Store) growBy() int64 { return min(max(s.o.VolumeCap/16, 1<<20), 64<<20) }

// acquire returns volume n, open, for the caller to release. A volume that isn't there
// or can't be read is ErrDamaged.
func (s *Store) acquire(n uint32) (*volume, error) {
	s.mu.Lock()
	v := s.volumes[n]
	if v != nil {
		v.refs++
	}
	s.mu.Unlock()
	if v == nil {
		return nil, fmt.Errorf("%w: volume %s is missing", ErrDamaged, volumeName(n))
	}
	if err := v.open(s); err != nil {
		return nil, firstError(err, s.release(v))
	}
	return v, nil
}

// release gives up one reference; the last closes the file.
func (s *Store) release(v *volume) error {
	s.mu.Lock()
	v.refs--
	last := v.refs == 0
	s.mu.Unlock()
	if !last {
		return nil
	}
	v.opening.Lock()
	defer v.opening.Unlock()
	if v.bf == nil {
		return nil
	}
	bf := v.bf
	v.bf = nil
	if v.failed != nil {
		return bf.abandon()
	}
	return guard(bf.db.Close)
}

// open opens the file if it isn't open.
func (v *volume) open(s *Store) error {
	v.opening.Lock()
	defer v.opening.Unlock()
	if v.failed != nil {
		return v.failed
	}
	if v.bf != nil {
		return nil
	}
	// Only a volume that may still be appended to is opened for writing.
	writes := !s.o.ReadOnly && v.size < s.o.VolumeCap+s.growBy()
	mapSize := 0
	if writes {
		mapSize = int(s.o.VolumeCap + mapSlack)
	}
	bf, err := openBolt(v.path, !writes, mapSize, int(s.growBy()))
	if writes && errors.Is(err, fs.ErrPermission) {
		writes = false
		bf, err = openBolt(v.path, true, 0, 0)
	}
	if err == nil {
		err = guard(func() error { return bf.db.View(func(b *bolt.Tx) error { return v.verifyHead(s, b) }) })
		if err != nil {
			err = firstError(err, bf.abandon())
		}
	}
	switch {
	case err == nil:
		v.bf, v.writes = bf, writes
		return nil
	case isDamage(err) || errors.Is(err, fs.ErrNotExist):
		s.o.Logger.Warn("volume is damaged; its runs are lost", "volume", v.path, "err", err)
		v.failed = fmt.Errorf("%w: volume %s: %w", ErrDamaged, volumeName(v.number), err)
		return v.failed
	}
	return fmt.Errorf("store: volume %s: %w", v.path, err)
}

func (v *volume) verifyHead(s *Store, b *bolt.Tx) error {
	head := b.Bucket(headBucket())
	if head == nil || b.Bucket(blobsBucket()) == nil {
		return fmt.Errorf("%w: not a volume", errBadPage)
	}
	if got := head.Get(headKey()); string(got) != string(v.head(s)) {
		return fmt.Errorf("%w: of another store, number or version", errBadPage)
	}
	return nil
}

func (v *volume) head(s *Store) []byte {
	b := binary.BigEndian.AppendUint32(nil, volumeVersion)
	b = binary.BigEndian.AppendUint32(b, v.number)
	return append(b, s.id[:]...)
}

// createVolume makes a new, empty volume, taken by the calling lane with one reference.
func (s *Store) createVolume() (*volume, error) {
	s.mu.Lock()
	s.lastVol++
	n := s.lastVol
	s.mu.Unlock()
	if err := s.inPlace(); err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, volumesName)
	v := &volume{number: n, path: filepath.Join(dir, volumeName(n)), refs: 2, taken: true, writes: true}
	tmp := v.path + newSuffix // a crash leaves a whole volume or none
	bf, err := createBolt(tmp, int(s.o.VolumeCap+mapSlack), int(s.growBy()))
	if err != nil {
		return nil, fmt.Errorf("store: new volume %s: %w", v.path, err)
	}
	err = bf.db.Update(func(b *bolt.Tx) error {
		head, err := b.CreateBucket(headBucket())
		if err != nil {
			return err
		}
		if _, err := b.CreateBucket(blobsBucket()); err != nil {
			return err
		}
		return head.Put(headKey(), v.head(s))
	})
	if err == nil {
		err = failpoint.Hit("store/volume-made")
	}
	if err == nil {
		err = os.Rename(tmp, v.path)
	}
	if err == nil {
		err = failpoint.Hit("store/volume-named")
	}
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		err = fmt.Errorf("store: new volume %s: %w", v.path, err)
		return nil, firstError(err, bf.db.Close(), os.Remove(tmp))
	}
	v.bf = bf
	s.mu.Lock()
	s.volumes[n] = v
	s.mu.Unlock()
	return v, nil
}

// damage returns why v can't be used, or nil.
func (v *volume) damage() error {
	v.opening.Lock()
	defer v.opening.Unlock()
	return v.failed
}

// spoil makes v a damaged volume after bbolt panicked or lost its map while writing to it.
func (v *volume) spoil(err error) {
	v.opening.Lock()
	defer v.opening.Unlock()
	if v.failed == nil {
		v.failed = fmt.Errorf("%w: volume %s: %w", ErrDamaged, volumeName(v.number), err)
	}
}
