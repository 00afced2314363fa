package store

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Table is a set of records in the catalog, byte string to byte string. The names are on
// disk: append only.
type Table string

// The tables. Runs is written by CommitRun, DeleteRun and GC alone; the records of the
// others belong to the packages that use them. Nothing is in BySplit and Files: readers look
// for all tables.
const (
	Meta    Table = "meta"
	Jobs    Table = "jobs"
	Submits Table = "submits"
	Plans   Table = "plans"
	Tasks   Table = "tasks"
	Outputs Table = "outputs"
	Stages  Table = "stages"
	Stamps  Table = "stamps"
	Slots   Table = "slots"
	Logs    Table = "logs"
	Runs    Table = "runs"
	BySplit Table = "bysplit"
	Files   Table = "files"
)

func tables() []Table {
	return []Table{Meta, Jobs, Submits, Plans, Tasks, Outputs, Stages, Stamps, Slots, Logs, Runs, BySplit, Files}
}

// Tx is a transaction on the catalog. It must not be used after the function it was
// given to has returned, and neither must the slices it hands out; they must not be changed.
type Tx struct {
	s      *Store
	b      *bolt.Tx
	wrote  bool    // guarded by the one goroutine that runs fn, as are the others
	inBolt bool    // bbolt is at work: a panic now means damage
	runs   []RunID // committed by CommitRun in this transaction
}

// Get returns the value of key, or nil.
func (tx *Tx) Get(t Table, key []byte) []byte {
	tx.inBolt = true
	v := tx.bucket(t).Get(key)
	tx.inBolt = false
	return v
}

// Put sets the value of key. Neither slice is kept. It is an error to Put into the
// table that a surrounding Scan walks.
func (tx *Tx) Put(t Table, key, value []byte) error {
	if t == Runs {
		return errors.New("store: table runs is written by CommitRun and DeleteRun")
	}
	return tx.put(t, key, bytes.Clone(value))
}

// put is Put for a value that nobody changes before the commit.
func (tx *Tx) put(t Table, key, value []byte) error {
	if !tx.b.Writable() {
		return ErrReadOnly
	}
	tx.wrote, tx.inBolt = true, true
	err := tx.bucket(t).Put(key, value)
	tx.inBolt = false
	if err != nil {
		return fmt.Errorf("store: put in table %s: %w", t, err)
	}
	return nil
}

// Delete removes key; it need not exist.
func (tx *Tx) Delete(t Table, key []byte) error {
	if t == Runs {
		return errors.New("store: table runs is written by CommitRun and DeleteRun")
	}
	return tx.delete(t, key)
}

func (tx *Tx) delete(t Table, key []byte) error {
	if !tx.b.Writable() {
		return ErrReadOnly
	}
	tx.wrote, tx.inBolt = true, true
	err := tx.bucket(t).Delete(key)
	tx.inBolt = false
	if err != nil {
		return fmt.Errorf("store: delete in table %s: %w", t, err)
	}
	return nil
}

// Scan calls fn with every record whose key starts with prefix, in key order, until fn
// returns an error, which it returns.
func (tx *Tx) Scan(t Table, prefix []byte, fn func(k, v []byte) error) error {
	return tx.ScanFrom(t, prefix, prefix, fn)
}

// ScanFrom is Scan, beginning at the first key that is not before from.
func (tx *Tx) ScanFrom(t Table, prefix, from []byte, fn func(k, v []byte) error) error {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	tx.inBolt = true
	c := tx.bucket(t).Cursor()
	k, v := c.Seek(from)
	tx.inBolt = false
	for k != nil && bytes.HasPrefix(k, prefix) {
		if err := fn(k, v); err != nil {
			return err
		}
		tx.inBolt = true
		k, v = c.Next()
		tx.inBolt = false
	}
	return nil
}

// ScanBack calls fn with the records before a key, or with all if that is nil, the last first, while fn says
// that it wants more.
func (tx *Tx) ScanBack(t Table, before []byte, fn func(k, v []byte) (more bool)) {
	tx.inBolt = true
	c := tx.bucket(t).Cursor()
	var k, v []byte
	if before != nil {
		k, _ = c.Seek(before)
	}
	if k == nil {
		k, v = c.Last()
	} else {
		k, v = c.Prev()
	}
	tx.inBolt = false
	for k != nil && fn(k, v) {
		tx.inBolt = true
		k, v = c.Prev()
		tx.inBolt = false
	}
}

// Last returns the record with the greatest key that starts with prefix, or nil, nil.
func (tx *Tx) Last(t Table, prefix []byte) (k, v []byte) {
	tx.ScanBack(t, after(prefix), func(lastK, lastV []byte) bool {
		if bytes.HasPrefix(lastK, prefix) {
			k, v = lastK, lastV
		}
		return false
	})
	return k, v
}

// after returns the first byte string beyond all that start with prefix, or nil if
// there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

func (tx *Tx) bucket(t Table) *bolt.Bucket {
	b := tx.b.Bucket([]byte(t))
	if b == nil {
		tx.inBolt = false
		panic(fmt.Sprintf("store: no table %q", string(t)))
	}
	return b
}

// CommitRun writes the record of a sealed run. The run is visible from the commit of this
// transaction on.
func (tx *Tx) CommitRun(id RunID) error {
	r, err := tx.s.sealed(id)
	if err != nil {
		return err
	}
	if tx.Get(Runs, id.key()) != nil {
		return fmt.Errorf("store: run %s is committed already", id)
	}
	if err := tx.put(Runs, id.key(), r.append(nil)); err != nil {
		return err
	}
	tx.runs = append(tx.runs, id)
	return nil
}

// DeleteRun removes a run's record. Readers that have it open keep reading; the bytes
// are freed by GC. A run that is not on record is ErrNoRun.
func (tx *Tx) DeleteRun(id RunID) error {
	if tx.Get(Runs, id.key()) == nil {
		return fmt.Errorf("store: run %s: %w", id, ErrNoRun)
	}
	return tx.delete(Runs, id.key())
}

// HasRun reports whether the run is on record.
func (tx *Tx) HasRun(id RunID) bool { return tx.Get(Runs, id.key()) != nil }

// run calls fn and turns a panic into an error: damage if bbolt was at work or a page
// of the catalog was missing, otherwise fn's own.
func (tx *Tx) run(fn func(tx *Tx) error) error {
	err := guard(func() error { return fn(tx) })
	var p *panicked
	if errors.As(err, &p) && err == error(p) {
		if p.fault || tx.inBolt {
			return tx.s.catalogDamaged(p)
		}
		return fmt.Errorf("store: panic in a transaction: %v", p.reason)
	}
	return err
}
