package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/durable"
	"github.com/mrd-io/mr/internal/failpoint"
)

// A snapshot is a whole catalog beside the one in use, as that was at one moment. Should
// the catalog be damaged, Restore puts the snapshot in its place. What the store has come
// to hold since then is garbage in its volumes; what has gone since then is found missing
// when it is read.

const (
	snapshotName = "catalog.snapshot"
	asideMark    = ".damaged-" // behind the name of a catalog that Restore has replaced, and then when
	// epochLeap is how far Restore moves the epoch on: no run and no attempt of the epochs
	// that the snapshot has not seen may get a name again.
	epochLeap = 1 << 16
)

// Snapshot writes a copy of the catalog beside it, unless no record has changed since the
// last one that is at most age old. age 0 asks for one of now.
func (s *Store) Snapshot(age time.Duration) error {
	if s.o.ReadOnly {
		return ErrReadOnly
	}
	s.snapping.Lock()
	defer s.snapping.Unlock()
	if err := s.inPlace(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, snapshotName)
	if info, err := os.Stat(path); err == nil {
		old := time.Since(info.ModTime()) // negative when the clock was set back: then it may be of any age
		if old >= 0 && old < age || !s.changed() {
			return nil
		}
	}
	err := s.writeSnapshot(path)
	if err != nil {
		return fmt.Errorf("store %s: snapshot: %w", s.dir, err)
	}
	return nil
}

// changed says whether there was a transaction since the last snapshot of this life or,
// before the first, since the store was opened.
func (s *Store) changed() bool {
	changed := true
	err := guard(func() error {
		return s.catalog.Load().db.View(func(b *bolt.Tx) error { changed = b.ID() != s.snapped; return nil })
	})
	return changed || err != nil
}

func (s *Store) writeSnapshot(path string) (err error) {
	tmp := path + newSuffix
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	var id int
	err = guard(func() error {
		return s.catalog.Load().db.View(func(b *bolt.Tx) error {
			id = b.ID()
			_, err := b.WriteTo(f)
			return err
		})
	})
	err = errors.Join(err, failpoint.Hit("store/snapshot-written"), f.Sync(), f.Close())
	if err == nil {
		err = verifySnapshot(tmp) // a catalog that is damaged already must not replace a good snapshot
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	s.snapped = id
	return durable.SyncDir(s.dir)
}

// verifySnapshot walks all pages of a bbolt file.
func verifySnapshot(path string) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	return walkFile(f)
}

// Restored says what Restore has done.
type Restored struct {
	Taken time.Time // when the snapshot was
	Kept  string    // where the catalog that it replaces is now; "" if there was none
}

// Restore puts the snapshot of the store in dir in the place of its catalog, which is
// kept under another name. Nobody may have the store open. A catalog in which nothing is
// found damaged is newer than its snapshot, so it is replaced only by force, and so is one
// that can't be read for now. mend, unless it is nil, changes the snapshot's records before they are
// anybody's catalog; if it fails, the catalog stays.
func Restore(dir string, force bool, mend func(tx *Tx, taken time.Time) error) (Restored, error) {
	var r Restored
	lock, err := lockStore(dir, false, time.Second)
	if err != nil {
		return r, err
	}
	snapshot := filepath.Join(dir, snapshotName)
	info, err := os.Stat(snapshot)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = mr.Errorf(mr.NotFound, "store %s has no snapshot of its catalog; move the store's folder away and run the jobs again (outputs are not touched)", dir)
	case err == nil:
		r.Taken = info.ModTime()
		err = catalogInUse(dir)
		if err == nil && !force {
			err = refuseRestore(dir, r.Taken)
		}
		if err == nil {
			r.Kept, err = restore(dir, snapshot, r.Taken, mend)
		}
	}
	return r, errors.Join(err, lock.release())
}

// catalogInUse returns an error if somebody has the catalog open who does not hold the store's lock, as after
// that file was removed. What can't be looked at is nobody's.
func catalogInUse(dir string) error {
	f, err := openRegular(filepath.Join(dir, catalogName))
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	if errors.Is(flock(f, syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return mr.Errorf(mr.Unreachable, "store %s: another program has catalog.db open; close it", dir)
	}
	return nil
}

// refuseRestore returns an error unless the catalog is damaged.
func refuseRestore(dir string, taken time.Time) error {
	err := checkCatalog(dir)
	switch {
	case err == nil:
		return mr.Errorf(mr.Refused, "store %s: no damage is found in catalog.db, which is newer than its snapshot of %s; --force puts the snapshot in its place all the same, and the jobs since then are not on record any more", dir, taken.Format(time.DateTime))
	case errors.Is(err, errFormat):
		return mr.Errorf(mr.Refused, "%w; --force puts the snapshot of %s in the place of catalog.db", err, taken.Format(time.DateTime))
	case mr.KindOf(err) == mr.Damaged:
		return nil
	}
	return mr.Errorf(mr.KindOf(err), "%w; --force puts the snapshot of %s in the place of catalog.db", err, taken.Format(time.DateTime))
}

// checkCatalog opens the catalog of a store that is locked as every command does, and then
// looks at all its pages.
func checkCatalog(dir string) error {
	s := &Store{dir: dir, o: Options{ReadOnly: true}}
	if err := s.openCatalog(); err != nil {
		return err
	}
	bf := s.catalog.Load()
	err := walkFile(bf.f)
	if err != nil {
		err = s.catalogError(err)
	}
	return firstError(err, guard(bf.db.Close))
}

func restore(dir, snapshot string, taken time.Time, mend func(*Tx, time.Time) error) (kept string, err error) {
	useless := func(err error) error {
		return mr.Errorf(mr.Damaged, "store %s: the snapshot of the catalog is damaged, too: %w; move the store's folder away and run the jobs again (outputs are not touched)", dir, err)
	}
	if err := verifySnapshot(snapshot); err != nil {
		return "", useless(err)
	}
	path := filepath.Join(dir, catalogName)
	tmp := path + newSuffix
	// The snapshot leaps itself: should it be restored again, that is to yet other epochs.
	if err := errors.Join(update(snapshot, leap), os.Chtimes(snapshot, time.Time{}, taken)); err != nil {
		return "", cannotUse(dir, err)
	}
	err = copyFile(snapshot, tmp)
	if err == nil && mend != nil {
		err = update(tmp, func(b *bolt.Tx) error {
			tx := &Tx{s: &Store{dir: dir}, b: b}
			return errors.Join(createTables(b), tx.run(func(tx *Tx) error { return mend(tx, taken) }))
		})
	}
	if err != nil {
		os.Remove(tmp) //nolint:errcheck // it may not be there; and the next start removes it
		if mr.KindOf(err) == mr.Damaged {
			return "", useless(errors.New("records in it cannot be read"))
		}
		return "", cannotUse(dir, err)
	}
	if _, err := os.Lstat(path); err == nil {
		kept = unused(fmt.Sprint(path, asideMark, time.Now().Unix()))
		// After a crash between the two renames the catalog is missing, which is damage, too.
		if err := os.Rename(path, kept); err != nil {
			return "", cannotUse(dir, err)
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return kept, cannotUse(dir, err)
	}
	return kept, durable.SyncDir(dir)
}

// unused returns path, or path and a number, under which there is nothing.
func unused(path string) string {
	name := path
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); err != nil {
			return name
		}
		name = fmt.Sprintf("%s-%d", path, n)
	}
}

// update runs fn in a transaction of a bbolt file that nobody has open.
func update(path string, fn func(*bolt.Tx) error) error {
	bf, err := openBolt(path, false, 0, 64<<10)
	if err != nil {
		return err
	}
	err = guard(func() error { return bf.db.Update(fn) })
	if p := (*panicked)(nil); errors.As(err, &p) {
		return errors.Join(err, bf.abandon()) // bbolt may hold its own locks
	}
	return errors.Join(err, bf.db.Close())
}

// leap moves the epoch of a catalog on.
func leap(b *bolt.Tx) error {
	self := b.Bucket(selfBucket())
	if self == nil || len(self.Get([]byte("epoch"))) != 8 {
		return errors.New("the snapshot is of no catalog")
	}
	epoch := binary.BigEndian.Uint64(self.Get([]byte("epoch"))) + epochLeap
	return self.Put([]byte("epoch"), binary.BigEndian.AppendUint64(nil, epoch))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
