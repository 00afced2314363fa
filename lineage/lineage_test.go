package lineage

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sample() *Output {
	return &Output{
		Key: mr.Digest{1}, Kind: plan.Reduce, Stage: mr.Digest{2}, Split: mr.Digest{3}, Range: plan.Range{Lo: []byte{}, Hi: []byte("m")},
		Made: plan.Made{Digest: mr.Digest{4}, Records: 5, Raw: 6, Stored: 7}, Input: 8, CPU: 9, Created: time.Unix(0, 10),
		Job: "job_x", Index: 11, Attempt: 12, Gone: Evicted, Counter: mr.Counters{{Group: "g", Name: "n", Value: -13}},
		Uses: 14, Used: time.Unix(0, 15), GoneAt: time.Unix(0, 16),
		Skipped: []mr.BadRecord{{Path: "f", Offset: 17, Length: 18, Reason: "bad", Data: []byte{0, 19}}},
	}
}

func TestOutputComesBackWhole(t *testing.T) {
	s, want := open(t), sample()
	err := s.Update(func(tx *store.Tx) error { return PutOutput(tx, want) })
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(func(tx *store.Tx) error {
		got, err := GetOutput(tx, want.Key)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A record of a version that had fewer fields is read; one that ends within a field is not.
func TestOutputOfEarlierVersionIsRead(t *testing.T) {
	s, o := open(t), sample()
	o.Skipped = nil
	var whole []byte
	err := s.Update(func(tx *store.Tx) error {
		if err := PutOutput(tx, o); err != nil {
			return err
		}
		whole = append(whole, tx.Get(store.Outputs, o.Key[:])...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	whole = append([]byte{uncheckedRecord}, whole[1:len(whole)-crcSize]...)
	old, err := decodeOutput(o.Key, whole[:len(whole)-4]) // uses, used, gone at, skipped: a byte each
	if err != nil || old.Uses != 0 || !old.Used.IsZero() || !old.GoneAt.IsZero() || len(old.Counter) != 1 {
		t.Errorf("%+v, %v", old, err)
	}
	if _, err := decodeOutput(o.Key, whole[:20]); err == nil {
		t.Error("a torn record was read")
	}
}

// Damage to a record is found wherever it is, and in particular where another run would be read.
func TestEveryFlippedBitOfARecordIsFound(t *testing.T) {
	s, o := open(t), sample()
	err := s.Update(func(tx *store.Tx) error {
		if err := PutOutput(tx, o); err != nil {
			return err
		}
		whole := append([]byte{}, tx.Get(store.Outputs, o.Key[:])...)
		for i := range 8 * len(whole) {
			whole[i/8] ^= 1 << (i % 8)
			if _, err := decodeOutput(o.Key, whole); mr.KindOf(err) != mr.Damaged {
				t.Errorf("bit %d of byte %d: %v", i%8, i/8, err)
			}
			whole[i/8] ^= 1 << (i % 8)
		}
		for n := range whole {
			if _, err := decodeOutput(o.Key, whole[:n]); mr.KindOf(err) != mr.Damaged {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What can't be read of a stamp is not known, and learnt again.
func TestDamagedStampIsNone(t *testing.T) {
	s := open(t)
	stamp, split := mr.Digest{1}, mr.Digest{2}
	err := s.Update(func(tx *store.Tx) error {
		if err := PutStamp(tx, stamp, split, 3); err != nil {
			return err
		}
		if got, start := GetStamp(tx, stamp); got != split || start != 3 {
			t.Errorf("got %v, %d", got, start)
		}
		b := append([]byte{}, tx.Get(store.Stamps, stamp[:])...)
		b[len(b)/2] ^= 1
		if err := tx.Put(store.Stamps, stamp[:], b); err != nil {
			return err
		}
		if got, start := GetStamp(tx, stamp); !got.IsZero() || start != 0 {
			t.Errorf("of a damaged one: %v, %d", got, start)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The record of an output outlives its bytes, with the reason.
func TestForgetKeepsTheRecord(t *testing.T) {
	s, o := open(t), sample()
	w := s.CreateRun()
	if err := w.WriteBlock([]byte("bytes")); err != nil {
		t.Fatal(err)
	}
	id, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Made.Run, o.Gone, o.GoneAt, o.Uses, o.Used = uint64(id), "", time.Time{}, 0, time.Time{}
	now := time.Unix(100, 0)
	get := func() (got *Output, has bool) {
		t.Helper()
		err := s.View(func(tx *store.Tx) (err error) {
			has = tx.HasRun(id)
			got, err = GetOutput(tx, o.Key)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got, has
	}
	step := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := s.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	step(func(tx *store.Tx) error {
		if err := tx.CommitRun(id); err != nil {
			return err
		}
		return PutOutput(tx, o)
	})
	step(func(tx *store.Tx) error { return Touch(tx, o.Key, now) })
	if got, has := get(); got.Uses != 1 || !got.Used.Equal(now) || !has {
		t.Errorf("touched: %+v, run there: %v", got, has)
	}
	step(func(tx *store.Tx) error { return Disown(tx, o.Key, Invalidated, now) })
	if got, has := get(); got.Gone != Invalidated || got.Made.Run == 0 || !has {
		t.Errorf("disowned: %+v, run there: %v", got, has)
	}
	step(func(tx *store.Tx) error { return Forget(tx, o.Key, Evicted, now.Add(time.Hour)) })
	got, has := get()
	if got.Gone != Evicted || got.Made.Run != 0 || has || !got.GoneAt.Equal(now.Add(time.Hour)) || got.CPU != o.CPU {
		t.Errorf("forgotten: %+v, run there: %v", got, has)
	}
	step(func(tx *store.Tx) error { return Forget(tx, o.Key, Invalidated, now) })
	if again, _ := get(); !reflect.DeepEqual(again, got) {
		t.Errorf("forgotten twice: %+v", again)
	}
	step(func(tx *store.Tx) error { return Disown(tx, o.Key, Invalidated, now) })
	if got, _ := get(); got.Gone != Invalidated || !got.GoneAt.Equal(now) {
		t.Errorf("disowned without its run: %+v", got)
	}
	step(func(tx *store.Tx) error { return Forget(tx, mr.Digest{99}, Evicted, now) })
}

// A slot remembers one key a stage, of a bounded number of stages, and reads the records of
// versions that remembered one key.
func TestSlotsRememberOneKeyAStage(t *testing.T) {
	s := open(t)
	slot := mr.Digest{9}
	stage := func(i int) mr.Digest { return mr.Digest{1, byte(i)} }
	err := s.Update(func(tx *store.Tx) error {
		if err := tx.Put(store.Slots, slot[:], append([]byte{7}, make([]byte, 31)...)); err != nil {
			return err
		}
		if got := GetSlot(tx, slot, stage(0)); got != (mr.Digest{7}) {
			t.Errorf("of an earlier version: %v", got)
		}
		for i := range 3 * slotStages {
			for _, key := range []mr.Digest{{2, byte(i)}, {3, byte(i)}} {
				if err := PutSlot(tx, slot, stage(i), key); err != nil {
					return err
				}
			}
		}
		const last = 3*slotStages - 1
		for i := range 3 * slotStages {
			want := mr.Digest{3, byte(i)}
			if i <= last-slotStages {
				want = mr.Digest{3, last} // forgotten: the newest
			}
			if got := GetSlot(tx, slot, stage(i)); got != want {
				t.Errorf("stage %d: %v, want %v", i, got, want)
			}
		}
		if n := len(tx.Get(store.Slots, slot[:])); n != slotStages*64 {
			t.Errorf("the record has %d bytes", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// One damaged record costs that task alone, and is told to who asks for damage. So does one that is at another
// task's place.
func TestDamagedTaskIsLost(t *testing.T) {
	const job = "job_x"
	put := func(tx *store.Tx, i int) error {
		return PutTask(tx, job, plan.Map, i, &Task{State: TaskDone, Key: mr.Digest{byte(i)}, Made: plan.Made{Run: uint64(i + 1)}})
	}
	at := func(tx *store.Tx, i int) []byte { return tx.Get(store.Tasks, taskKey(job, plan.Map, i)) }
	for name, damage := range map[string]func(tx *store.Tx) error{
		"a wrong bit": func(tx *store.Tx) error {
			b := append([]byte{}, at(tx, 1)...)
			b[len(b)/2] ^= 4
			return tx.Put(store.Tasks, taskKey(job, plan.Map, 1), b)
		},
		"at another's place": func(tx *store.Tx) error {
			return tx.Put(store.Tasks, taskKey(job, plan.Map, 1), append([]byte{}, at(tx, 2)...))
		},
	} {
		s := open(t)
		var states []TaskState
		err := s.Update(func(tx *store.Tx) error {
			states = nil
			for i := range 3 {
				if err := put(tx, i); err != nil {
					return err
				}
			}
			if err := CheckTasks(tx, job, plan.Map); err != nil {
				t.Errorf("%s: before: %v", name, err)
			}
			if err := damage(tx); err != nil {
				return err
			}
			if err := CheckTasks(tx, job, plan.Map); mr.KindOf(err) != mr.Damaged {
				t.Errorf("%s: %v", name, err)
			}
			return ScanTasks(tx, job, plan.Map, func(i int, task *Task) error {
				states = append(states, task.State)
				if (task.State == TaskDone) != (task.Made.Run == uint64(i+1)) || task.State == TaskLost && task.Reason == "" {
					t.Errorf("%s: task %d: %+v", name, i, task)
				}
				return nil
			})
		})
		if err != nil || !slices.Equal(states, []TaskState{TaskDone, TaskLost, TaskDone}) {
			t.Errorf("%s: tasks are %v, %v", name, states, err)
		}
	}
}

// The components of a stage whose record is damaged are recorded again with the next job.
func TestDamagedStageIsMended(t *testing.T) {
	s := open(t)
	stage := plan.ReduceStage(mr.Traits{Job: "j", Version: "1"}, mr.Code{}, nil, "text")
	err := s.Update(func(tx *store.Tx) error {
		if err := tx.Put(store.Stages, stage.Digest[:], []byte("no record")); err != nil {
			return err
		}
		if err := PutStage(tx, stage); err != nil {
			return err
		}
		got, err := GetStage(tx, stage.Digest)
		if !slices.Equal(got, stage.Components) {
			t.Errorf("got %v, want %v", got, stage.Components)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// So is a damaged plan, whose name is that of the plan of every job over the same files.
func TestDamagedPlanIsMended(t *testing.T) {
	s, plan := open(t), []byte("a list of splits")
	err := s.Update(func(tx *store.Tx) error {
		d, err := PutPlan(tx, plan)
		if err != nil {
			return err
		}
		if err := tx.Put(store.Plans, d[:], []byte("a list of spl!ts")); err != nil {
			return err
		}
		again, err := PutPlan(tx, plan)
		if got := GetPlan(tx, d); again != d || string(got) != string(plan) {
			t.Errorf("plan %v is %q", again, got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
