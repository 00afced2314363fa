package local

import (
	"errors"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
	"github.com/mrd-io/mr/store"
)

// snapshotAge is how old the snapshot of a store in use may grow.
const snapshotAge = 24 * time.Hour

// Restored says what Restore has done.
type Restored struct {
	store.Restored
	Ended []mr.JobID // jobs that had not ended at the snapshot
}

// Restore puts the last snapshot of a catalog in its place; see store.Restore. A record that
// can't be read is damage, too, which the store knows nothing of. The jobs that had not ended are ended before
// anybody can take them up.
func Restore(dir string, force bool, now time.Time) (r Restored, err error) {
	end := func(tx *store.Tx, taken time.Time) (err error) {
		r.Ended, err = engine.EndRestored(tx, taken, now)
		return err
	}
	r.Restored, err = store.Restore(dir, force, end)
	if mr.KindOf(err) == mr.Refused && recordsDamaged(dir) {
		r.Restored, err = store.Restore(dir, true, func(tx *store.Tx, taken time.Time) error {
			if err := engine.CheckRecords(tx); err != nil { // with the same damage it is nothing but older
				return err
			}
			return end(tx, taken)
		})
	}
	return r, err
}

func recordsDamaged(dir string) bool {
	s, err := store.Open(dir, store.Options{ReadOnly: true})
	if err != nil {
		return false // store.Restore looks at that itself
	}
	err = s.View(engine.CheckRecords)
	return mr.KindOf(errors.Join(err, s.Close())) == mr.Damaged
}

// keepSnapshots makes one a day, while the node is open.
func (n *Node) keepSnapshots() {
	defer close(n.snapping)
	ticker := time.NewTicker(time.Hour)
	defer ticker.Stop()
	for {
		n.snapshot(snapshotAge)
		select {
		case <-ticker.C:
		case <-n.closing:
			return
		}
	}
}

func (n *Node) snapshot(age time.Duration) {
	if err := n.store.Snapshot(age); err != nil {
		n.log.Warn("no snapshot of the catalog", "err", err)
	}
}
