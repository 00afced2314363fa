package lineage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// TaskState is how far a task on record has come. Values: append only.
type TaskState uint8

// The states of a task on record. A task that never started has no record.
const (
	TaskStarted TaskState = 1 // some attempt has started; none is committed
	TaskDone    TaskState = 2 // Key names its output
	TaskLost    TaskState = 3 // was done; its output must be computed again
)

// Task is a job's task on record.
type Task struct {
	State    TaskState
	Cached   bool      // its output was found, not computed
	Key      mr.Digest // of its output
	Made     plan.Made // as it was at commit; Run may be gone since
	Starts   int       // attempts started
	Failures int
	Attempt  plan.Attempt   // the committed one, or 0
	Reason   string         // why it was computed, if it was
	Skipped  []mr.BadRecord // map: what its output was made without, here or in the job that made it

	// Of the committed attempt: who ran it and when, on the master's clock.
	Worker       string
	Began, Ended plan.Moment
	Took         time.Duration // on the worker's monotonic clock
}

func taskKey(job mr.JobID, kind plan.Kind, index int) []byte {
	k := append(make([]byte, 0, len(job)+6), job...)
	k = append(k, '/', byte(kind))
	return binary.BigEndian.AppendUint32(k, uint32(index))
}

// PutTask records a task.
func PutTask(tx *store.Tx, job mr.JobID, kind plan.Kind, index int, t *Task) error {
	e := newEnc()
	e.num(int64(t.State))
	if t.Cached {
		e.num(1)
	} else {
		e.num(0)
	}
	e.digest(t.Key)
	e.unum(t.Made.Run)
	e.digest(t.Made.Digest)
	e.num(t.Made.Records)
	e.num(t.Made.Raw)
	e.num(t.Made.Stored)
	e.num(int64(t.Starts))
	e.num(int64(t.Failures))
	e.unum(uint64(t.Attempt))
	e.str(t.Reason)
	e.bad(t.Skipped)
	e.str(t.Worker)
	e.moment(t.Began)
	e.moment(t.Ended)
	e.num(int64(t.Took))
	e.num(placeOf(kind, index))
	return wrap("task", tx.Put(store.Tasks, taskKey(job, kind, index), e.record()))
}

// placeOf is what of a task's key its record repeats: a checksum knows nothing of keys, and with one wrong
// bit there a task would pass for another. It is never 0, as in records of earlier versions.
func placeOf(kind plan.Kind, index int) int64 { return int64(kind)<<32 + int64(index) + 1 }

// CheckTasks reads the records of a job's tasks. A damaged one is an error of kind mr.Damaged.
func CheckTasks(tx *store.Tx, job mr.JobID, kind plan.Kind) error {
	return scanTasks(tx, job, kind, func(_ int, _ *Task, err error) error { return err })
}

// ScanTasks calls fn with the tasks of one phase on record, by index. One whose record is damaged is lost.
func ScanTasks(tx *store.Tx, job mr.JobID, kind plan.Kind, fn func(index int, t *Task) error) error {
	return scanTasks(tx, job, kind, func(i int, t *Task, err error) error {
		if errors.Is(err, errDamagedRecord) {
			t, err = &Task{State: TaskLost, Reason: recordDamaged}, nil
		}
		if err != nil {
			return err
		}
		return fn(i, t)
	})
}

func scanTasks(tx *store.Tx, job mr.JobID, kind plan.Kind, fn func(index int, t *Task, err error) error) error {
	prefix := taskKey(job, kind, 0)
	prefix = prefix[:len(prefix)-4]
	return tx.Scan(store.Tasks, prefix, func(k, v []byte) error {
		if len(k) != len(prefix)+4 {
			return nil
		}
		i := int(binary.BigEndian.Uint32(k[len(prefix):]))
		t, err := decodeTask(v, placeOf(kind, i))
		return fn(i, t, wrap("task of "+string(job), err))
	})
}

func decodeTask(b []byte, place int64) (*Task, error) {
	d := newDec("task", b)
	t := &Task{State: TaskState(d.num()), Cached: d.num() == 1, Key: d.digest()}
	t.Made.Run = d.unum()
	t.Made.Digest = d.digest()
	t.Made.Records = d.num()
	t.Made.Raw = d.num()
	t.Made.Stored = d.num()
	t.Starts = int(d.num())
	t.Failures = int(d.num())
	t.Attempt = plan.Attempt(d.unum())
	t.Reason = d.str()
	t.Skipped = d.bad()
	t.Worker = d.str()
	t.Began, t.Ended = d.moment(), d.moment()
	t.Took = time.Duration(d.num())
	if p := d.num(); p != 0 && p != place {
		d.fail()
	}
	return t, d.err
}

// DeleteTasks removes the tasks of a job.
func DeleteTasks(tx *store.Tx, job mr.JobID) error {
	var keys [][]byte
	err := tx.Scan(store.Tasks, append([]byte(job), '/'), func(k, _ []byte) error {
		keys = append(keys, append([]byte{}, k...))
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = tx.Delete(store.Tasks, k)
		}
	}
	return wrap("tasks of "+string(job), err)
}

// PutStage records the components of a stage, once, and again where their record is damaged.
func PutStage(tx *store.Tx, s plan.Stage) error {
	if tx.Get(store.Stages, s.Digest[:]) != nil {
		if _, err := GetStage(tx, s.Digest); !errors.Is(err, errDamagedRecord) {
			return err
		}
	}
	e := newEnc()
	e.num(int64(len(s.Components)))
	for _, c := range s.Components {
		e.str(c.Name)
		e.str(c.Value)
	}
	return wrap("stage", tx.Put(store.Stages, s.Digest[:], e.record()))
}

// GetStage returns the components of a stage, or nil if it is not on record.
func GetStage(tx *store.Tx, digest mr.Digest) ([]plan.Component, error) {
	b := tx.Get(store.Stages, digest[:])
	if b == nil {
		return nil, nil
	}
	d := newDec("stage", b)
	n := d.num()
	var cs []plan.Component
	for i := int64(0); i < n && d.err == nil; i++ {
		cs = append(cs, plan.Component{Name: d.str(), Value: d.str()})
	}
	return cs, wrap("stage "+digest.Short(), d.err)
}

// PutPlan records a job's splits in their binary form, under their own digest, and
// returns it. An equal plan is recorded once.
func PutPlan(tx *store.Tx, splits []byte) (mr.Digest, error) {
	d := plan.Sum("mr/plan", splits)
	if bytes.Equal(tx.Get(store.Plans, d[:]), splits) { // a damaged one is replaced
		return d, nil
	}
	return d, wrap("plan", tx.Put(store.Plans, d[:], splits))
}

// GetPlan returns a copy of a plan, or nil.
func GetPlan(tx *store.Tx, digest mr.Digest) []byte {
	b := tx.Get(store.Plans, digest[:])
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
