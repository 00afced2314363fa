package engine

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// Job binaries are kept in the store's folder bin, under their digests, and count against
// its bound. They may take a tenth of it; beyond that those go first that no job has
// named for longest. A record holds a binary's digest only, so what is gone is built and
// imported again by whoever runs the job again. A job that has not ended keeps its own,
// and so does one that is being submitted: a binary that was named within binaryGrace stays.

const (
	binaryShare = 10
	binaryGrace = 10 * time.Minute
)

// keptBinary is a file in bin.
type keptBinary struct {
	digest mr.Digest
	path   string
	bytes  int64
	used   time.Time // when it was last imported, which is before each submission
}

// binaries lists a store's job binaries, those first that were named longest ago.
func binaries(s *store.Store) (all []keptBinary, err error) {
	dir := filepath.Join(s.Dir(), "bin")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		b := keptBinary{path: filepath.Join(dir, e.Name())}
		info, err := e.Info()
		if err != nil || b.digest.UnmarshalText([]byte(e.Name())) != nil { // gone, or one that is just being imported
			continue
		}
		b.bytes, b.used = info.Size(), info.ModTime()
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b keptBinary) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	return all, err
}

func bytesOfBinaries(all []keptBinary) (n int64) {
	for _, b := range all {
		n += b.bytes
	}
	return n
}

// spareBinaries chooses binaries to give up so that the others take at most limit bytes.
func (e *Engine) spareBinaries(limit int64) (gone []keptBinary, left int64, err error) {
	all, err := binaries(e.o.Store)
	if err != nil {
		return nil, 0, err
	}
	if left = bytesOfBinaries(all); left <= limit {
		return nil, left, nil
	}
	needed := map[mr.Digest]bool{}
	err = e.o.Store.View(func(tx *store.Tx) error {
		open, err := openJobs(tx)
		for _, r := range open {
			needed[r.Spec.Code.Digest], needed[r.Spec.Code.MapDigest] = true, true
		}
		return err
	})
	if err != nil {
		return nil, left, err
	}
	for _, b := range all {
		if left > limit && !needed[b.digest] && e.o.Now().Sub(b.used) > binaryGrace {
			gone, left = append(gone, b), left-b.bytes
		}
	}
	return gone, left, nil
}

// trimBinaries gives binaries up beyond their share of the bound, and leaves the rest of
// the bound to what is stored.
func (e *Engine) trimBinaries(limit int64) (freed mr.CacheFreed, err error) {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	gone, left, err := e.spareBinaries(limit / binaryShare)
	for _, b := range gone {
		removed, rmErr := b.remove()
		if rmErr != nil {
			err = errors.Join(err, mr.Errorf(mr.Failed, "removing a job binary: %w", rmErr))
		}
		if !removed {
			left += b.bytes
			continue
		}
		freed.Binaries, freed.Disk = freed.Binaries+1, freed.Disk+b.bytes
	}
	e.keep.binaries.Store(left)
	return freed, err
}

// remove gives a binary up, unless it was named since it was listed.
func (b *keptBinary) remove() (removed bool, err error) {
	if info, err := os.Stat(b.path); err == nil && info.ModTime().After(b.used) {
		return false, nil
	}
	if err := os.Remove(b.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, nil
}

// boundBinaries keeps binaries within their share, and tells the store what is left.
func (e *Engine) boundBinaries() {
	if e.o.CacheSize <= 0 {
		return
	}
	if _, err := e.trimBinaries(e.o.CacheSize); err != nil {
		e.log.Warn("keeping job binaries within their bound", "err", err)
	}
	e.o.Store.Bound(e.room(e.o.CacheSize) / 20 * 18)
	e.kick()
}

// room is what of a bound is left to runs and catalog.
func (e *Engine) room(limit int64) int64 { return roomBeside(e.keep.binaries.Load(), limit) }

// roomBeside is all of a bound but what binaries take, and at least half.
func roomBeside(binaries, limit int64) int64 { return max(limit-binaries, limit/2) }

// locate names a job's binaries where they are now. The store may have been moved since the job was
// recorded, or be opened by another path.
func (e *Engine) locate(c *mr.Code) {
	bin := filepath.Join(e.o.Store.Dir(), "bin")
	for path, digest := range map[*string]mr.Digest{&c.Path: c.Digest, &c.MapPath: c.MapDigest} {
		dir, name := filepath.Split(*path)
		if filepath.Base(dir) == "bin" && name == digest.String() {
			*path = filepath.Join(bin, name)
		}
	}
}

// needBinary says so if the code that an earlier job ran is no longer there to be run.
func needBinary(r *record) error {
	c := r.Spec.Code.ForMap()
	if c.Kind != mr.Binary {
		return nil
	}
	if _, err := os.Stat(c.Path); errors.Is(err, fs.ErrNotExist) {
		return mr.Errorf(mr.NotFound, "the binary %s of job %s is not kept any more, so its tasks can't be executed again; run %s once more, which brings it back if its code is as it was", c.Digest.Short(), r.ID, r.Spec.Code.Source)
	}
	return nil
}

// addSubmitted adds a new job, whose binaries may be new, too.
func (l *loop) addSubmitted(j *job) {
	l.add(j)
	if j.rec.Spec.Code.Kind == mr.Binary {
		l.e.spawn(l.e.boundBinaries)
	}
}
