package lineage

import (
	"errors"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// Output is what one task made.
type Output struct {
	Key     mr.Digest
	Kind    plan.Kind
	Stage   mr.Digest
	Split   mr.Digest  // map: digest of the split's bytes
	Range   plan.Range // reduce
	Made    plan.Made  // Made.Run 0: the bytes are not, or no longer, in the store
	Input   int64      // bytes mapped, or records' bytes reduced
	CPU     time.Duration
	Created time.Time
	Job     mr.JobID // the job whose attempt made it
	Index   int      // its task there
	Attempt plan.Attempt
	Gone    string // why the bytes are not used any more, if so: see Forget
	Counter mr.Counters
	Uses    int            // how often a later task was spared by it
	Used    time.Time      // when last; zero: never
	GoneAt  time.Time      // when Gone was set
	Skipped []mr.BadRecord // map: what it was made without

	Positive bool  // reduce: see plan.Patch
	Longest  int64 // map: of what length records were let pass; 0: the default, or not on record

	Opened mr.Digest // the list of files besides its input that its making has read, see PutOpened; zero: none
}

// Why the bytes of an output are gone. A loss may be told more closely: "lost: …".
const (
	Evicted     = "evicted"     // to keep the store within its bound
	Invalidated = "invalidated" // on somebody's request
	Replaced    = "replaced"    // by the same task's later output

	recordDamaged = "lost: its record in the catalog was damaged"
)

// PutOutput records o under its key, replacing an earlier record.
func PutOutput(tx *store.Tx, o *Output) error {
	e := newEnc()
	e.num(int64(o.Kind))
	e.digest(o.Stage)
	e.digest(o.Split)
	e.bytes(o.Range.Lo)
	e.bytes(o.Range.Hi)
	e.unum(o.Made.Run)
	e.digest(o.Made.Digest)
	e.num(o.Made.Records)
	e.num(o.Made.Raw)
	e.num(o.Made.Stored)
	e.num(o.Input)
	e.num(int64(o.CPU))
	e.num(o.Created.UnixNano())
	e.str(string(o.Job))
	e.num(int64(o.Index))
	e.unum(uint64(o.Attempt))
	e.str(o.Gone)
	e.counters(o.Counter)
	e.num(int64(o.Uses))
	e.time(o.Used)
	e.time(o.GoneAt)
	e.bad(o.Skipped)
	switch {
	case o.Longest != 0 || !o.Opened.IsZero():
		e.num(map[bool]int64{true: 1}[o.Positive])
		e.num(o.Longest)
		if !o.Opened.IsZero() {
			e.digest(o.Opened)
		}
	case o.Positive:
		e.num(1)
	}
	return wrap("output", tx.Put(store.Outputs, o.Key[:], e.record()))
}

// GetOutput returns the output recorded under key, or nil.
func GetOutput(tx *store.Tx, key mr.Digest) (*Output, error) {
	b := tx.Get(store.Outputs, key[:])
	if b == nil {
		return nil, nil
	}
	return readOutput(key, b)
}

// readOutput returns an output on record. One whose record is damaged is lost: it is made again, and
// recorded anew, when a job wants it.
func readOutput(key mr.Digest, b []byte) (*Output, error) {
	o, err := decodeOutput(key, b)
	if errors.Is(err, errDamagedRecord) {
		return &Output{Key: key, Gone: recordDamaged}, nil
	}
	return o, err
}

func decodeOutput(key mr.Digest, b []byte) (*Output, error) {
	d := newDec("output", b)
	o := &Output{Key: key}
	o.Kind = plan.Kind(d.num())
	o.Stage = d.digest()
	o.Split = d.digest()
	o.Range.Lo = d.bytes()
	o.Range.Hi = d.bytes()
	o.Made.Run = d.unum()
	o.Made.Digest = d.digest()
	o.Made.Records = d.num()
	o.Made.Raw = d.num()
	o.Made.Stored = d.num()
	o.Input = d.num()
	o.CPU = time.Duration(d.num())
	o.Created = time.Unix(0, d.num())
	o.Job = mr.JobID(d.str())
	o.Index = int(d.num())
	o.Attempt = plan.Attempt(d.unum())
	o.Gone = d.str()
	o.Counter = d.counters()
	o.Uses = int(d.num())
	o.Used = d.time()
	o.GoneAt = d.time()
	o.Skipped = d.bad()
	o.Positive = d.num() == 1
	o.Longest = d.num()
	if len(d.b) > 0 {
		o.Opened = d.digest()
	}
	return o, wrap("output "+key.Short(), d.err)
}

// CheckOutputs reads the records of all outputs. A damaged one is an error of kind mr.Damaged.
func CheckOutputs(tx *store.Tx) error { return scanOutputs(tx, decodeOutput, nil) }

// ScanOutputs calls fn with every output on record, in key order.
func ScanOutputs(tx *store.Tx, fn func(*Output) error) error { return scanOutputs(tx, readOutput, fn) }

func scanOutputs(tx *store.Tx, read func(mr.Digest, []byte) (*Output, error), fn func(*Output) error) error {
	return tx.Scan(store.Outputs, nil, func(k, v []byte) error {
		var key mr.Digest
		copy(key[:], k)
		o, err := read(key, v)
		if err != nil || fn == nil {
			return err
		}
		return fn(o)
	})
}

// Forget records that the bytes of an output are gone, why and since when, and removes
// its run. The record of how it was made stays. It is no error if there is none.
func Forget(tx *store.Tx, key mr.Digest, why string, now time.Time) error {
	o, err := GetOutput(tx, key)
	if err != nil || o == nil || o.Made.Run == 0 {
		return err
	}
	if id := store.RunID(o.Made.Run); tx.HasRun(id) {
		if err := tx.DeleteRun(id); err != nil {
			return err
		}
	}
	o.Made.Run, o.Gone, o.GoneAt = 0, why, now
	return PutOutput(tx, o)
}

// Disown records that an output must not be used again, and leaves its run, if there is one, to
// those who use it now.
func Disown(tx *store.Tx, key mr.Digest, why string, now time.Time) error {
	o, err := GetOutput(tx, key)
	if err != nil || o == nil || o.Gone == why {
		return err
	}
	o.Gone, o.GoneAt = why, now
	return PutOutput(tx, o)
}

// Touch records that an output has spared a task its work.
func Touch(tx *store.Tx, key mr.Digest, now time.Time) error {
	o, err := GetOutput(tx, key)
	if err != nil || o == nil {
		return err
	}
	o.Uses, o.Used = o.Uses+1, now
	return PutOutput(tx, o)
}

// A slot is a place in the input or in the space of keys, for jobs of one name. Its record
// holds the keys last made there, newest first and one a stage, so that a job is compared
// with its own last run also where others of its name, with other parameters, take turns with it:
//
//	1 to slotStages × (key 32 | stage 32)
//
// A record of 32 bytes is an older one: one key, and no stage.
const slotStages = 8

// PutSlot records that a task of the stage last made key at the place named by slot.
func PutSlot(tx *store.Tx, slot, stage, key mr.Digest) error {
	const size = 2 * len(key)
	prev := tx.Get(store.Slots, slot[:])
	if len(prev) >= size && mr.Digest(prev) == key && mr.Digest(prev[len(key):]) == stage {
		return nil
	}
	b := append(append(make([]byte, 0, slotStages*size), key[:]...), stage[:]...)
	for ; len(prev) >= size && len(b) < slotStages*size; prev = prev[size:] {
		if mr.Digest(prev[len(key):]) != stage {
			b = append(b, prev[:size]...)
		}
	}
	return wrap("slot", tx.Put(store.Slots, slot[:], b))
}

// GetSlot returns the key that a task of the stage last made at a place, failing that the
// key that any task did, or zero.
func GetSlot(tx *store.Tx, slot, stage mr.Digest) (key mr.Digest) {
	const size = 2 * len(key)
	b := tx.Get(store.Slots, slot[:])
	copy(key[:], b)
	for ; len(b) >= size; b = b[size:] {
		if mr.Digest(b[len(key):]) == stage {
			return mr.Digest(b)
		}
	}
	return key
}

// PutStamp remembers under its stamp key what reading a split has shown: its digest and
// the offset of its first record.
func PutStamp(tx *store.Tx, stamp, split mr.Digest, start int64) error {
	e := newEnc()
	e.digest(split)
	e.num(start)
	return wrap("stamp", tx.Put(store.Stamps, stamp[:], e.record()))
}

// GetStamp returns what is remembered under a stamp key; a zero digest if nothing is, or nothing that
// can be read: the split is read again, and the record replaced.
func GetStamp(tx *store.Tx, stamp mr.Digest) (split mr.Digest, start int64) {
	b := tx.Get(store.Stamps, stamp[:])
	if b == nil {
		return split, 0
	}
	d := newDec("stamp", b)
	if split, start = d.digest(), d.num(); d.err != nil {
		return mr.Digest{}, 0
	}
	return split, start
}
