package engine

import (
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// EndRestored ends the jobs that had not ended when a catalog's snapshot was taken, which
// has just been restored: what became of them since, nobody knows, and another job may
// have written their output folder. It returns their ids.
func EndRestored(s *store.Store, taken, now time.Time) (ended []mr.JobID, err error) {
	err = s.Update(func(tx *store.Tx) error {
		ended = nil
		var open []*record
		err := tx.Scan(store.Jobs, nil, func(_, v []byte) error {
			r, err := decodeJob(v)
			if err == nil && !r.State.Done() {
				open = append(open, r)
			}
			return err
		})
		for _, r := range open {
			r.State, r.Phase, r.Ended = mr.FailedJob, "", now
			r.Error = "the catalog was restored from its snapshot of " + taken.Format(time.DateTime) + ", when this job had not ended; look at its output, or run it again"
			if err == nil {
				err = putJob(tx, r)
			}
			ended = append(ended, r.ID)
		}
		return err
	})
	return ended, err
}
