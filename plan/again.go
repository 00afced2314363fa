package plan

import (
	"time"

	"github.com/mrd-io/mr"
)

// Work can be done again without effect: to compare, or to find records.

// Search is an order to find the records of a split that make the mapper emit a key.
type Search struct {
	Work  Work     // of the map task; Attempt is not used
	Keys  [][]byte // encoded; any of them will do
	Exact bool     // the whole key, not the beginning of one
	Most  int      // records wanted
}

// Found is the answer.
type Found struct {
	Records []FoundRecord
	More    bool
	Failure Failure
}

// FoundRecord is a record of a file, or, if Exact is false, a piece of one that emits the
// key only as a whole.
type FoundRecord struct {
	Path   string
	Offset int64 // in the decoded file
	Length int64
	Line   []byte // the beginning of it
	Exact  bool
}

// Rehearsal is what a task makes when it is executed again: nothing is stored.
type Rehearsal struct {
	Split  mr.Digest
	Digest mr.Digest

	// Records and Raw are how many there are and their bytes: of a reduce task only.
	Records, Raw int64

	// Multiset is a digest of the records that does not depend on their order.
	Multiset mr.Digest

	Opened []Opened // by path

	CPU     time.Duration
	Failure Failure
}
