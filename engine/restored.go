package engine

import (
	"errors"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// CheckRecords reads the records that a catalog's jobs and outputs stand on. One that is damaged
// is an error of kind mr.Damaged, and one of a later version of kind mr.Refused.
func CheckRecords(tx *store.Tx) error {
	err := checkRecords(tx)
	if errors.Is(err, lineage.ErrVersion) {
		err = mr.Errorf(mr.Refused, "%w", err)
	}
	return err
}

func checkRecords(tx *store.Tx) error {
	err := tx.Scan(store.Jobs, nil, func(_, v []byte) error {
		r, err := decodeJob(v)
		if err != nil {
			return err
		}
		if _, err = splitsOf(tx, r); err != nil {
			return err
		}
		for k := plan.Map; k <= plan.Reduce; k++ {
			if err := lineage.CheckTasks(tx, r.ID, k); err != nil {
				return err
			}
		}
		for _, stage := range [...]mr.Digest{r.MapStage, r.ReduceStage} {
			if _, err := lineage.GetStage(tx, stage); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		_, err = openJobs(tx) // which are looked at more closely
	}
	if err != nil {
		return err
	}
	return lineage.CheckOutputs(tx)
}

// EndRestored ends the jobs that had not ended when a catalog's snapshot was taken, which
// is being restored: what became of them since, nobody knows, and another job may
// have written their output folder. It returns their ids.
func EndRestored(tx *store.Tx, taken, now time.Time) (ended []mr.JobID, err error) {
	open, err := openJobs(tx)
	for _, r := range open {
		r.State, r.Phase, r.Ended = mr.FailedJob, "", now
		r.Error = "the catalog was restored from its snapshot of " + taken.Format(time.DateTime) + ", when this job had not ended; look at its output, or run it again"
		if err == nil {
			err = putJob(tx, r)
		}
		ended = append(ended, r.ID)
	}
	return ended, err
}
