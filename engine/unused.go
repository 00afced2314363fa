package engine

import (
	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/store"
)

// inUse is what records of jobs and outputs refer to.
type inUse struct {
	stages   map[mr.Digest]bool
	outputs  map[mr.Digest]bool
	opened   map[mr.Digest]bool // lists of files
	jobs     map[mr.JobID]bool
	planning bool // a job is being planned: what it will refer to is not known yet
}

func readInUse(tx *store.Tx) (*inUse, error) {
	u := &inUse{stages: map[mr.Digest]bool{}, outputs: map[mr.Digest]bool{}, opened: map[mr.Digest]bool{}, jobs: map[mr.JobID]bool{}}
	err := eachJob(tx, func(r *record) error {
		u.jobs[r.ID], u.stages[r.MapStage], u.stages[r.ReduceStage] = true, true, true
		u.planning = u.planning || r.Plan.IsZero() && !r.State.Done()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, lineage.ScanOutputs(tx, func(o *lineage.Output) error {
		u.outputs[o.Key], u.stages[o.Stage], u.opened[o.Opened] = true, true, true
		return nil
	})
}

// slot reports whether a record of the table of slots has something to tell: a job's id, or keys of
// outputs with their stages (see lineage.PutSlot).
func (u *inUse) slot(v []byte) bool {
	if _, isJob := idTime(mr.JobID(v)); isJob {
		return u.jobs[mr.JobID(v)]
	}
	for ; len(v) >= len(mr.Digest{}); v = v[min(2*len(mr.Digest{}), len(v)):] {
		if u.outputs[mr.Digest(v)] {
			return true
		}
	}
	return false
}

// dropUnused removes the records of stages, verdicts on them, lists of files, and slots that no job and no output on
// record has need of. A stage is recorded before the job's record that names it, so that
// nothing goes while a job is being planned.
func dropUnused(tx *store.Tx) error {
	u, err := readInUse(tx)
	if err != nil || u.planning {
		return err
	}
	err = dropAll(tx, store.Slots, nil, func(_, v []byte) (bool, error) { return !u.slot(v), nil })
	if err != nil {
		return err
	}
	err = dropAll(tx, store.Stages, nil, func(k, _ []byte) (bool, error) {
		return len(k) != len(mr.Digest{}) || !u.stages[mr.Digest(k)], nil
	})
	if err != nil {
		return err
	}
	err = dropAll(tx, store.Meta, []byte(lineage.OpenedPrefix), func(k, _ []byte) (bool, error) {
		list := k[len(lineage.OpenedPrefix):]
		return len(list) != len(mr.Digest{}) || !u.opened[mr.Digest(list)], nil
	})
	if err != nil {
		return err
	}
	return dropAll(tx, store.Meta, []byte(verdictPrefix), func(k, _ []byte) (bool, error) {
		stage := k[len(verdictPrefix):]
		return len(stage) != len(mr.Digest{}) || !u.stages[mr.Digest(stage)], nil
	})
}
