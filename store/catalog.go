package store

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
)

// Bucket "store" of the catalog holds what the store knows about itself:
//
//	format  4   formatVersion, big-endian
//	id     16   random; each volume repeats it
//	epoch   8   big-endian; the number of times the store was opened for writing
const (
	formatVersion = 1

	catalogName = "catalog.db"
	catalogMap  = 1 << 30 // address space, not memory: growing beyond it waits for readers
	catalogGrow = 4 << 20
	boltWait    = 250 * time.Millisecond
)

var errFormat = errors.New("has format") // and a number, of another version

func selfBucket() []byte { return []byte("store") }

// boltFile is an open bbolt database with the file it reads from.
type boltFile struct {
	db *bolt.DB
	f  *os.File // db's own; read with ReadAt only
}

// abandon gives up a database that bbolt may never close: it may hold its own locks, or
// panic, after damage. Its memory map stays, and would keep the file's lock.
func (bf *boltFile) abandon() error {
	return errors.Join(flock(bf.f, syscall.LOCK_UN), bf.f.Close())
}

// openBolt opens a bbolt file that may be damaged. It is looked at before bbolt maps it.
// Damage is errBadPage or a *panicked error.
func openBolt(path string, readOnly bool, mapSize, grow int) (*boltFile, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	_, _, err = probe(f)
	f.Close()
	if err != nil {
		return nil, err
	}
	return openUnchecked(path, readOnly, mapSize, grow, os.O_CREATE) // it may be unlinked meanwhile, and must not come back empty
}

// openRegular opens a file for reading. What else stands in its place is damage; opening
// a pipe would wait for ever.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is not a file (%s)", errBadPage, info.Mode())
	}
	return os.Open(path)
}

// probe verifies the header and the freelist of a bbolt file, and tells how many pages are free
// and their size.
func probe(f *os.File) (free uint64, pageSize int, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	m, err := readMeta(f, info.Size())
	if err != nil {
		return 0, 0, err
	}
	p := pages{r: f, pageSize: m.pageSize, highWater: m.highWater}
	if _, err := p.node(m.root); err != nil {
		return 0, 0, err
	}
	if m.freelist == noFreelist {
		return 0, m.pageSize, nil
	}
	_, n, _, err := p.freelist(m.freelist)
	return n, m.pageSize, err
}

// createBolt opens a bbolt file that is new, or was made by the same process.
func createBolt(path string, mapSize, grow int) (*boltFile, error) {
	return openUnchecked(path, false, mapSize, grow, 0)
}

// openUnchecked opens a bbolt file as bbolt does, but for the flags without.
func openUnchecked(path string, readOnly bool, mapSize, grow, without int) (*boltFile, error) {
	bf := new(boltFile)
	o := &bolt.Options{
		Timeout:         boltWait,
		ReadOnly:        readOnly,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: mapSize,
		NoStatistics:    true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^without, mode)
			bf.f = f
			return f, err
		},
	}
	err := guard(func() (err error) {
		bf.db, err = bolt.Open(path, 0o600, o)
		return err
	})
	if err != nil {
		var p *panicked
		if errors.As(err, &p) && bf.f != nil {
			return nil, errors.Join(err, bf.abandon()) // on an error, bbolt has closed it
		}
		return nil, err
	}
	bf.db.AllocSize = grow
	return bf, nil
}

// isDamage tells a damaged file from one that can't be opened for now.
func isDamage(err error) bool {
	var p *panicked
	return errors.Is(err, errBadPage) || errors.As(err, &p) || errors.Is(err, bolterrors.ErrInvalid) ||
		errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch)
}

// createCatalog makes an empty catalog under another name first, so that a crash leaves
// a whole one or none.
func createCatalog(dir string) error {
	path := filepath.Join(dir, catalogName)
	tmp := path + newSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	bf, err := createBolt(tmp, 0, catalogGrow)
	if err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:])
	err = bf.db.Update(func(b *bolt.Tx) error {
		self, err := b.CreateBucket(selfBucket())
		if err != nil {
			return err
		}
		return errors.Join(
			self.Put([]byte("format"), binary.BigEndian.AppendUint32(nil, formatVersion)),
			self.Put([]byte("id"), id[:]),
			self.Put([]byte("epoch"), make([]byte, 8)),
			createTables(b),
		)
	})
	if err := errors.Join(err, bf.db.Close()); err != nil {
		return err
	}
	if err := failpoint.Hit("store/catalog-made"); err != nil {
		return err
	}
	return durable.Rename(tmp, path)
}

func (s *Store) catalogPath() string { return filepath.Join(s.dir, catalogName) }

// inPlace returns an error if the store's folder is not where it was when it was opened: another store
// may be there now, whose files have the same names.
func (s *Store) inPlace() error {
	ours, err := s.catalog.Load().f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(s.catalogPath())
	if err == nil && os.SameFile(ours, there) {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return mr.Errorf(mr.Unreachable, "store %s was moved or replaced while it was in use; stop this program, and start it with the --store where the store is now", s.dir)
	}
	return err
}

// There reports whether a store, or what is left of one, is in dir, or may be in what can't be looked at.
func There(dir string) bool {
	for _, name := range []string{catalogName, snapshotName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	vols, _ := fs.Glob(os.DirFS(dir), volumesName+"/*.db") // fails for no such pattern
	return len(vols) > 0
}

// openCatalog opens the catalog, verifies its version, and begins the next epoch.
func (s *Store) openCatalog() error {
	_, err := os.Lstat(s.catalogPath())
	if errors.Is(err, fs.ErrNotExist) {
		if There(s.dir) {
			return s.catalogDamaged(errors.New("the file is missing"))
		}
		if s.o.ReadOnly {
			return mr.Errorf(mr.Unreachable, "store %s: there is no store in this folder; run a job first, or choose another --store", s.dir)
		}
		err = createCatalog(s.dir)
	}
	if err != nil {
		return cannotUse(s.dir, err)
	}
	if !s.o.ReadOnly { // what a crash has left
		for _, name := range []string{catalogName, snapshotName} {
			if err := os.Remove(filepath.Join(s.dir, name+newSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return cannotUse(s.dir, err)
			}
		}
	}
	if !s.o.ReadOnly {
		s.compactCatalog()
	}
	bf, err := openBolt(s.catalogPath(), s.o.ReadOnly, cmp.Or(s.o.CatalogMap, catalogMap), catalogGrow)
	if err != nil {
		return s.catalogError(err)
	}
	s.catalog.Store(bf)
	if s.o.ReadOnly {
		err = guard(func() error { return bf.db.View(s.readSelf) })
	} else {
		err = guard(func() error { return bf.db.Update(s.beginEpoch) })
	}
	if err != nil {
		return s.catalogError(firstError(err, bf.abandon()))
	}
	_ = failpoint.Hit("store/epoch-begun") // a crash or a delay
	return nil
}

// readSelf reads bucket "store", and refuses another format.
func (s *Store) readSelf(b *bolt.Tx) error {
	self := b.Bucket(selfBucket())
	if self == nil {
		return s.catalogDamaged(errors.New("it is no catalog"))
	}
	format, id, epoch := self.Get([]byte("format")), self.Get([]byte("id")), self.Get([]byte("epoch"))
	if len(format) != 4 || len(id) != len(s.id) || len(epoch) != 8 {
		return s.catalogDamaged(errors.New("its header is incomplete"))
	}
	if v := binary.BigEndian.Uint32(format); v != formatVersion {
		return mr.Errorf(mr.Damaged, "store %s %w %d and this program reads format %d; use the version of mr that wrote it, or choose another --store", s.dir, errFormat, v, formatVersion)
	}
	copy(s.id[:], id)
	s.epoch = binary.BigEndian.Uint64(epoch)
	if s.o.ReadOnly {
		for _, t := range tables() {
			if b.Bucket([]byte(t)) == nil {
				return s.catalogDamaged(fmt.Errorf("table %s is missing", t))
			}
		}
	}
	return nil
}

func (s *Store) beginEpoch(b *bolt.Tx) error {
	if err := s.readSelf(b); err != nil {
		return err
	}
	if err := createTables(b); err != nil {
		return err
	}
	if last, _ := b.Bucket([]byte(Runs)).Cursor().Last(); len(last) == 8 { // whose id no other run may get
		s.epoch = max(s.epoch, binary.BigEndian.Uint64(last)>>32)
	}
	s.epoch++
	if s.epoch > 1<<32-1 {
		return s.catalogDamaged(fmt.Errorf("epoch %d", s.epoch))
	}
	return b.Bucket(selfBucket()).Put([]byte("epoch"), binary.BigEndian.AppendUint64(nil, s.epoch))
}

// createTables creates the tables that are not there.
func createTables(b *bolt.Tx) error {
	for _, t := range tables() {
		if _, err := b.CreateBucketIfNotExists([]byte(t)); err != nil {
			return err
		}
	}
	return nil
}

// revive opens the catalog again if a failed commit has lost bbolt its memory map: it
// then refuses every transaction. No reader can be inside when that happens.
func (s *Store) revive() error {
	old := s.catalog.Load()
	b, err := old.db.Begin(false)
	if err == nil {
		return b.Rollback()
	}
	if !errors.Is(err, bolterrors.ErrInvalidMapping) {
		return s.catalogError(err)
	}
	if err := old.db.Close(); err != nil {
		return s.catalogError(err)
	}
	bf, err := openBolt(s.catalogPath(), false, cmp.Or(s.o.CatalogMap, catalogMap), catalogGrow)
	if err != nil {
		return s.catalogError(err)
	}
	s.catalog.Store(bf)
	return nil
}

// catalogError gives an error of the catalog's file its kind.
func (s *Store) catalogError(err error) error {
	if _, ok := errors.AsType[*mr.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, bolterrors.ErrTimeout):
		return mr.Errorf(mr.Unreachable, "store %s: another program has catalog.db open; close it", s.dir)
	case isDamage(err):
		return s.catalogDamaged(err)
	}
	return cannotUse(s.dir, err)
}

func (s *Store) catalogDamaged(err error) error {
	if info, err2 := os.Stat(filepath.Join(s.dir, snapshotName)); err2 == nil {
		return mr.Errorf(mr.Damaged, "store %s: catalog.db is damaged: %w; mrctl store restore puts the snapshot of %s in its place", s.dir, err, info.ModTime().Format(time.DateTime))
	}
	return mr.Errorf(mr.Damaged, "store %s: catalog.db is damaged: %w; move the store's folder away and run the job again (outputs are not touched; what was kept is computed again)", s.dir, err)
}
