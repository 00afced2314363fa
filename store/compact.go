package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
)

// bbolt never shrinks a file, and writes the list of its free pages at every commit: with 450,000
// of them that takes 4 ms where it takes 0.3 ms without. So a catalog from which much has gone is
// written anew when it is opened for writing.
const (
	spareMin     = 64 << 20 // bytes of free pages from which on a catalog is written anew, if it is half of them
	compactBatch = 16 << 20 // bytes of records in a transaction
)

// compactCatalog writes the catalog anew if most of it is free pages. It changes nothing else: what
// stands in the way, as a disk without room, a damaged page or a file that is somebody else's, leaves the
// catalog as it is, and whoever opens it after this meets that again if it matters. The caller
// holds the store's lock.
func (s *Store) compactCatalog() {
	path := s.catalogPath()
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return // it would be ours afterwards
	}
	if free, total, err := sparePages(path); err != nil || free < spareMin || free < total/2 {
		return
	}
	err = s.writeAnew(path, info.Mode().Perm())
	if err != nil {
		s.o.Logger.Warn("the catalog has much free space and could not be written anew; it is used as it is", "store", s.dir, "err", err)
		return
	}
	if now, err := os.Lstat(path); err == nil {
		s.o.Logger.Info("the catalog had much free space and was written anew", "store", s.dir, "bytes", now.Size(), "before", info.Size())
	}
}

// sparePages returns how many bytes of a bbolt file are in free pages, and how many in all.
func sparePages(path string) (free, total int64, err error) {
	f, err := openRegular(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	n, pageSize, err := probe(f)
	if err != nil {
		return 0, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	return int64(n) * int64(pageSize), info.Size(), nil
}

func (s *Store) writeAnew(path string, perm fs.FileMode) error {
	tmp := path + newSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := verifySnapshot(path) // bbolt may read a damaged page without a word, and the copy would hide it
	if err == nil {
		err = copyRecords(tmp, path)
	}
	if err == nil {
		err = verifySnapshot(tmp)
	}
	if err == nil {
		err = os.Chmod(tmp, perm)
	}
	if err == nil {
		err = failpoint.Hit("store/catalog-compacted")
	}
	if err != nil {
		if gone := os.Remove(tmp); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return err
	}
	return durable.Rename(tmp, path)
}

// copyRecords makes a bbolt file of the records of another. It is on the disk when this returns.
func copyRecords(dst, src string) error {
	from, err := openBolt(src, true, 0, 0)
	if err != nil {
		return err
	}
	to, err := createBolt(dst, 0, catalogGrow)
	if err != nil {
		return errors.Join(err, from.db.Close())
	}
	to.db.NoSync = true // but once, at the end
	err = guard(func() error { return bolt.Compact(to.db, from.db, compactBatch) })
	if _, panicked := errors.AsType[*panicked](err); panicked {
		return fmt.Errorf("copying the records: %w", errors.Join(err, to.abandon(), from.abandon()))
	}
	if err == nil {
		err = to.db.Sync()
	}
	return errors.Join(err, to.db.Close(), from.db.Close())
}
