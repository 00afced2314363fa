package store

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mrd-io/mr/internal/failpoint"
)

const (
	callQueue = 256 // calls waiting for the writer; further ones wait in Update
	batchMax  = 1024
)

// call is one Update on its way to the writer.
type call struct {
	fn   func(*Tx) error
	tx   *Tx   // of the last try
	err  error // what fn returned in the last try
	told bool  // the caller has its answer
	done chan error
}

func (c *call) answer(err error) {
	c.told = true
	c.done <- err
}

// Update runs fn in a read-write transaction and returns when that is durable, or has
// failed as a whole. fn may run more than once, so it must start afresh each time, and
// it runs on the writer's goroutine: it should be short. An error or a panic in fn
// rolls back what fn wrote, and only that.
func (s *Store) Update(fn func(tx *Tx) error) error {
	if s.o.ReadOnly {
		return ErrReadOnly
	}
	c := &call{fn: fn, done: make(chan error, 1)}
	s.gate.RLock()
	if s.closed {
		s.gate.RUnlock()
		return ErrClosed
	}
	s.calls <- c
	s.gate.RUnlock()
	return <-c.done
}

// View runs fn in a read-only transaction: a snapshot.
func (s *Store) View(fn func(tx *Tx) error) (err error) {
	b, err := s.catalog.Load().db.Begin(false)
	if err != nil {
		return s.catalogError(err)
	}
	// Deferred, as fn may end its goroutine (a test's Fatal does).
	defer func() {
		if rerr := b.Rollback(); err == nil {
			err = rerr
		}
	}()
	tx := &Tx{s: s, b: b}
	return tx.run(fn)
}

// writeLoop is the one writer. It gathers the Updates that wait, as many as there
// are, into one bbolt transaction and so one sync: nobody waits for others to come.
// bbolt's own Batch waits out a timer and reaches a fifth of the rate.
func (s *Store) writeLoop() {
	defer close(s.written)
	var batch []*call
	for c := range s.calls {
		batch = append(batch[:0], c)
		runtime.Gosched() // lets callers that the last commit woke come along
	gather:
		for len(batch) < batchMax {
			select {
			case c, ok := <-s.calls:
				if !ok {
					break gather
				}
				batch = append(batch, c)
			default:
				break gather
			}
		}
		s.runBatch(batch)
	}
}

// runBatch answers all calls of batch. It does so on a goroutine of its own, since a
// fn may end that (a test's Fatal does), and the writer must go on.
func (s *Store) runBatch(batch []*call) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			for _, c := range batch {
				if !c.told {
					c.answer(errExited)
				}
			}
		}()
		s.commitBatch(slices.Clone(batch))
	}()
	<-ended
}

var errExited = errors.New("store: a transaction's function ended its goroutine")

// commitBatch runs the calls together. A call that fails after it has written is
// taken out, the others run again, and it then runs alone: what it saw of the others may
// not have come to be.
func (s *Store) commitBatch(batch []*call) {
	var solo []*call
	for len(batch) > 0 {
		bad, err := s.tryBatch(batch)
		if bad < 0 {
			s.finish(batch, err)
			break
		}
		if len(batch) == 1 {
			batch[0].answer(batch[0].err)
			break
		}
		solo = append(solo, batch[bad])
		batch = append(batch[:bad], batch[bad+1:]...)
	}
	for _, c := range solo {
		s.commitBatch([]*call{c})
	}
}

// finish answers the calls of one transaction that ended with err.
func (s *Store) finish(batch []*call, err error) {
	var free []*volume
	if err == nil {
		s.mu.Lock()
		for _, c := range batch {
			if c.err != nil {
				continue
			}
			for _, id := range c.tx.runs {
				if v := s.committed(id); v != nil {
					free = append(free, v)
				}
			}
		}
		s.mu.Unlock()
	}
	for _, v := range free {
		s.releaseQuietly(v)
	}
	for _, c := range batch {
		if err != nil {
			c.answer(err)
		} else {
			c.answer(c.err)
		}
	}
}

// tryBatch runs the calls in one transaction and commits it. It stops at a call that
// failed after it wrote, and returns its index; otherwise -1 and the commit's outcome.
func (s *Store) tryBatch(batch []*call) (bad int, err error) {
	if s.wedged.Load() {
		return -1, s.catalogDamaged(errors.New("an earlier transaction could not be ended"))
	}
	var b *bolt.Tx
	if err := guard(func() (err error) { b, err = s.catalog.Load().db.Begin(true); return err }); err != nil {
		return -1, s.catalogError(err)
	}
	ran, wrote := false, false
	defer func() {
		if !ran {
			err = s.rollback(b) // a fn is ending this goroutine
		}
	}()
	for i, c := range batch {
		c.tx = &Tx{s: s, b: b}
		c.err = c.tx.run(c.fn)
		if c.err != nil && c.tx.wrote {
			ran = true
			return i, s.rollback(b)
		}
		wrote = wrote || c.tx.wrote
	}
	ran = true
	if !wrote {
		return -1, s.rollback(b)
	}
	return -1, s.commit(b)
}

// commit is the store's one commit point.
func (s *Store) commit(b *bolt.Tx) error {
	txid := b.ID()
	if err := failpoint.Hit("store/before-catalog-commit"); err != nil {
		return firstError(s.rollback(b), fmt.Errorf("store %s: commit: %w", s.dir, err))
	}
	err := guard(b.Commit)
	if err == nil {
		_ = failpoint.Hit("store/catalog-committed") // a crash or a delay: it can't fail any more
		return nil
	}
	return s.settle(b, txid, err)
}

// settle finds out what a failed commit has left. bbolt rolls back by itself after a
// failed write. When only the last sync failed, though, the new header is in the file
// and every reader sees it, so the transaction is not undone: it is made durable by
// another, empty one, and if that works the first has succeeded after all.
func (s *Store) settle(b *bolt.Tx, txid int, cause error) error {
	var p *panicked
	if errors.As(cause, &p) {
		return errors.Join(s.catalogDamaged(p), s.rollback(b))
	}
	if err := s.revive(); err != nil {
		return err
	}
	db := s.catalog.Load().db
	visible := false
	err := guard(func() error { return db.View(func(b *bolt.Tx) error { visible = b.ID() >= txid; return nil }) })
	if err != nil {
		return s.catalogError(err)
	}
	if !visible {
		return fmt.Errorf("store %s: commit: %w", s.dir, cause)
	}
	if err := guard(func() error { return db.Update(func(*bolt.Tx) error { return nil }) }); err != nil {
		return fmt.Errorf("store %s: %w: %w", s.dir, ErrUncertain, cause)
	}
	s.o.Logger.Warn("a commit of the catalog failed and was made good", "store", s.dir, "err", cause)
	return nil
}

// rollback ends b without a trace.
func (s *Store) rollback(b *bolt.Tx) error {
	err := guard(b.Rollback)
	if err == nil || errors.Is(err, bolterrors.ErrTxClosed) {
		return nil
	}
	// bbolt may hold its writer's lock for ever now: the handle must not be closed.
	s.wedged.Store(true)
	return s.catalogError(err)
}
