package engine

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// record is a job in the catalog, as JSON: few, small, and read by people in trouble.
// Fields are only added.
type record struct {
	ID        mr.JobID
	Submit    mr.SubmitID
	Spec      mr.Spec
	SpecHash  mr.Digest
	Traits    mr.Traits
	Env       []plan.Component // declared variables with their values at submission
	State     mr.State
	Phase     string
	Error     string
	Submitted time.Time
	Started   time.Time
	Ended     time.Time

	Plan        mr.Digest // of the splits, in the Plans table; zero before planning
	Maps        int
	MapStage    mr.Digest
	ReduceStage mr.Digest
	Format      string // of the part files, resolved
	Cut         bool
	Ranges      []rangeRecord
	Base        mr.JobID `json:",omitempty"` // the job that it follows: see base.go
	MadeOutput  bool     // the output folder is the job's own creation
	MadeTop     string   `json:",omitempty"` // the topmost folder that is: one above the output, or itself; "": itself
	Moved       bool     `json:",omitempty"` // an earlier life has begun to publish: the job's parts may be there

	// What the job has come to, written when it ends (and at phase changes).
	Map, Reduce mr.PhaseStatus
	Merge       mr.MergeStatus
	Bytes       mr.Bytes
	Seconds     mr.Seconds
	Steps       stepTimes
	Counters    mr.Counters
	Warnings    []string

	Exact []byte `json:",omitempty"` // said, as gob, where JSON does not keep it

	files *heldFiles // what files hold that are in lists on record, when the job looks
}

// said is what a record holds in its users' own bytes: arguments, paths and values of
// variables, which need not be UTF-8. What runs a job after a restart must be what was submitted.
type said struct {
	Submit mr.SubmitID
	Spec   mr.Spec
	Traits mr.Traits
	Env    []plan.Component
}

// notUTF8 is what JSON has in the place of each byte that is not UTF-8. U+FFFD itself is
// written as it is.
var notUTF8 = []byte(`\ufffd`)

// rangeRecord is a plan.Range; nil and empty differ, and JSON keeps that.
type rangeRecord struct{ Lo, Hi []byte }

// Ids of jobs sort by time: 48 bits of milliseconds, 80 random bits, in
// lower-case base 32.
var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func newJobID(now time.Time) mr.JobID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:]) //nolint:errcheck // never fails, by its contract
	return mr.JobID("job_" + strings.ToLower(idAlphabet.EncodeToString(b[:])))
}

func putJob(tx *store.Tx, r *record) error {
	b, err := encodeJob(r)
	if err != nil {
		return err
	}
	return tx.Put(store.Jobs, []byte(r.ID), b)
}

func encodeJob(r *record) ([]byte, error) {
	b, err := json.Marshal(r)
	if err == nil && bytes.Contains(b, notUTF8) {
		var exact bytes.Buffer
		if err := gob.NewEncoder(&exact).Encode(said{r.Submit, r.Spec, r.Traits, r.Env}); err != nil {
			return nil, err
		}
		whole := *r
		whole.Exact = exact.Bytes()
		b, err = json.Marshal(&whole)
	}
	if err != nil {
		return nil, err
	}
	b = b[:len(b)-1]
	return fmt.Appendf(b, `%s%08x"}`, jobSum, crc32.ChecksumIEEE(b)), nil
}

// jobSum begins the last field of a record, the CRC-32 of all before it. What goes on after a restart must be
// what was submitted, or its outputs get keys that are not theirs.
const jobSum = `,"CRC":"`

// checkJob verifies a record's checksum; those of earlier versions have none.
func checkJob(b []byte) error {
	i := bytes.LastIndex(b, []byte(jobSum))
	if i < 0 || string(b[i+len(jobSum):]) == fmt.Sprintf(`%08x"}`, crc32.ChecksumIEEE(b[:i])) {
		return nil
	}
	return unreadableJob(errors.New("checksum"))
}

func unreadableJob(err error) error {
	return mr.Errorf(mr.Damaged, "the catalog holds a job record that this version cannot read: %w; mrctl store restore puts the last snapshot of the catalog in its place", err)
}

func decodeJob(b []byte) (*record, error) {
	r := new(record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, unreadableJob(err)
	}
	if len(r.Exact) == 0 {
		return r, nil
	}
	var s said
	if err := gob.NewDecoder(bytes.NewReader(r.Exact)).Decode(&s); err != nil {
		return nil, unreadableJob(err)
	}
	r.Submit, r.Spec, r.Traits, r.Env, r.Exact = s.Submit, s.Spec, s.Traits, s.Env, nil
	return r, nil
}

func getJob(tx *store.Tx, id mr.JobID) (*record, error) {
	b := tx.Get(store.Jobs, []byte(id))
	if b == nil {
		return nil, mr.Errorf(mr.NotFound, "there is no job %s in this store; mrctl list --all shows those there are", id)
	}
	r, err := decodeJob(b)
	if err == nil {
		r.files = &heldFiles{} // who explains thousands of tasks looks at each file once
	}
	return r, err
}

// openJobs returns the jobs on record that have not ended, by age. Of the others no more is read
// than their state: a store may have tens of thousands.
func openJobs(tx *store.Tx) (open []*record, err error) {
	err = tx.Scan(store.Jobs, nil, func(k, v []byte) error {
		r, err := openJob(v)
		if r != nil && err == nil && r.ID != mr.JobID(k) {
			err = unreadableJob(errors.New("it is of another job"))
		}
		if r != nil {
			open = append(open, r)
		}
		return err
	})
	return open, err
}

// openJob returns the job of a record, nil if it has ended.
func openJob(v []byte) (*record, error) {
	if mr.State(topString(v, "State")).Done() {
		return nil, nil
	}
	r, err := decodeJob(v)
	if err != nil || r.State.Done() {
		return nil, err
	}
	return r, checkJob(v)
}

// eachJob hands the jobs on record to fn, by age, for the store's upkeep: a record that can't be read is passed
// over. Of a job that has not ended it keeps the engine from starting, and who asks about all jobs is told.
func eachJob(tx *store.Tx, fn func(*record) error) error {
	return tx.Scan(store.Jobs, nil, func(_, v []byte) error {
		r, err := decodeJob(v)
		if err != nil {
			return nil
		}
		return fn(r)
	})
}

// lastJobs hands the jobs on record to fn, the last first, until it says that it needs no more. With a
// job's id it begins with the one before that job.
func lastJobs(tx *store.Tx, before mr.JobID, fn func(*record) (more bool)) (err error) {
	var from []byte
	if before != "" {
		from = []byte(before)
	}
	tx.ScanBack(store.Jobs, from, func(_, v []byte) bool {
		var r *record
		r, err = decodeJob(v)
		return err == nil && fn(r)
	})
	return err
}

// topString returns the string that a JSON object, written without spaces, has under key, or "" if
// there is none at its top.
func topString(object []byte, key string) string {
	depth := 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			s := untilQuote(object[i+1:])
			i += 1 + len(s) // at the quote behind it
			if depth == 1 && string(s) == key {
				if value, ok := bytes.CutPrefix(object[min(i+1, len(object)):], []byte(`:"`)); ok {
					return string(untilQuote(value))
				}
			}
		}
	}
	return ""
}

// untilQuote returns what stands before the quote that ends a JSON string.
func untilQuote(b []byte) []byte {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i]
		}
	}
	return b
}

// job is a live job; only the loop touches it.
type job struct {
	rec     record
	files   []input.File // as listed at submission; nil after a restart
	place   string       // the output folder without symbolic links
	before  *placed      // for reason; nil before it is needed
	splits  []input.Split
	maps    []taskInfo
	reduces []taskInfo
	ranges  []plan.Range

	begun      time.Time // monotonic, of this life
	phaseBegun time.Time
	version    uint64
	resumed    bool // from an earlier life

	endPlanning   func() // ends it, if it still goes on, and waits for that; nil: it has not begun
	endPublishing func() // ends its wait for room; nil: it has not begun

	// See determinism.go.
	tried       [2]bool              // the trial of its map or reduce stage was considered
	onTrial     int                  // how many are under way
	commitWaits bool                 // for their end
	changed     chan struct{}        // closed when the status changes; nil: nobody has asked since it did
	over        chan struct{}        // closed when the job has ended
	warned      map[string]bool      // texts, and places that are full
	opened      map[string]mr.Digest // what files that its code opens held, the first ones
	named       int                  // of these, that its warnings name
	full        bool                 // nothing but reading tells what its inputs are: see verify_input.go
	logSeq      uint64
	lines       []mr.LogLine // not yet written
}

// taskInfo is what the loop knows about a task beyond the core's view.
type taskInfo struct {
	lineage.Task
	split  mr.Digest // map: digest of the split, once known
	bytes  int64     // map: bytes of the split
	keep   uint64    // reduce: a kept part to install instead of reducing
	keepAs mr.Digest // the digest of the part, if it is known
	link   string    // reduce: a part of the output to be replaced that has this digest
	places []int     // reduce: the map tasks whose runs have blocks in the range
	seps   []uint8   // reduce: the tree in which these runs are folded
	nodes  []treeNode
	patch  *plan.Patch // reduce: how the part follows from an earlier job's, but for Plus
	plus   []int       // reduce: the map tasks whose runs are its Plus
	slot   mr.Digest   // the place whose latest output explains a miss
}

func (j *job) tasks(k plan.Kind) []taskInfo {
	if k == plan.Map {
		return j.maps
	}
	return j.reduces
}

func (j *job) phase(k plan.Kind) *mr.PhaseStatus {
	if k == plan.Map {
		return &j.rec.Map
	}
	return &j.rec.Reduce
}

// stage is the stage of the tasks of one phase.
func (r *record) stage(k plan.Kind) mr.Digest {
	if k == plan.Map {
		return r.MapStage
	}
	return r.ReduceStage
}

// program is what the tasks of one phase execute. They get the parameters that are in their keys, and
// not the arguments as they were typed: a flag's default, as today's date, may have become another. Map tasks don't
// get those that the job declared to be the reducer's alone: not passed, they can't be observed.
func (r *record) program(k plan.Kind) plan.Program {
	p := plan.Program{Job: r.Traits.Job, Code: r.Spec.Code, Env: r.Env, Version: r.Traits.Version}
	params := r.Traits.Params
	if k == plan.Map {
		p.Code = p.Code.ForMap()
		params = slices.DeleteFunc(slices.Clone(params), func(p mr.Param) bool { return p.ReduceOnly })
	}
	p.Args = plan.Args(params)
	return p
}

// work is the order to execute a task, but for what it reads and where its part goes.
func (r *record) work(k plan.Kind, index int, memory int64) plan.Work {
	return plan.Work{
		Kind: k, Index: index, Program: r.program(k), Format: r.Spec.InputFormat,
		RecordLimit: r.Spec.RecordLimit, Memory: memory,
		Unsorted: !r.Traits.Reduce, SkipBadRecords: r.Spec.SkipBadRecords,
	}
}

// status is the job as outsiders see it.
func (j *job) status(now time.Time) mr.Status {
	s := j.rec.status()
	s.Version = j.version
	if !j.rec.State.Done() && !j.begun.IsZero() {
		s.Seconds.Elapsed += now.Sub(j.begun).Seconds()
		add(&s.Seconds, j.rec.Phase, now.Sub(j.phaseBegun).Seconds())
	}
	j.rec.Steps.share(&s.Seconds)
	return s
}

func (r *record) status() mr.Status {
	s := mr.Status{
		Job: r.ID, Submit: r.Submit, Name: r.Traits.Job, Spec: r.Spec, State: r.State, Phase: r.Phase,
		Output: r.Spec.Output, Error: r.Error,
		Submitted: r.Submitted, Started: r.Started, Ended: r.Ended,
		Map: r.Map, Reduce: r.Reduce, Merge: r.Merge, Bytes: r.Bytes, Seconds: r.Seconds,
		Counters: append(mr.Counters{}, r.Counters...), Warnings: append([]string{}, r.Warnings...),
		MapOnly: !r.Traits.Reduce,
	}
	r.Steps.share(&s.Seconds)
	return s
}
