package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// This file is what becomes of records that map tasks have skipped. Each task's are on
// record with its output, so that a cached task brings them along. Whether the job has
// skipped more than it may is asked at the barrier, where all are known: the answer does not
// depend on which task was done first, and the map outputs are kept for a run that may skip more.
// (A task that alone has too many fails the job at once.)

// maxSkip bounds Spec.SkipBadRecords: what was skipped is kept in the catalog.
const maxSkip = 10_000

// skippedDir is the folder of an output for what it was made without, if anything.
const (
	skippedDir  = "_skipped"
	skippedName = "records.jsonl"
)

// skipped returns what a job's maps were made without, in the order of the input, and
// whether that is more than the job may skip.
func (j *job) skipped() (all []mr.BadRecord, err error) {
	for i := range j.maps {
		all = append(all, j.maps[i].Skipped...)
	}
	if most := j.rec.Spec.SkipBadRecords; len(all) > most {
		return nil, plan.TooManyBad(most, all[0], all[most])
	}
	return all, nil
}

// warnSkipped says loudly what the output lacks.
func (l *loop) warnSkipped(j *job, all []mr.BadRecord) {
	if len(all) == 0 {
		return
	}
	records := "1 bad record"
	if len(all) > 1 {
		records = fmt.Sprintf("%d bad records", len(all))
	}
	l.warn(j, fmt.Sprintf("SKIPPED %s (--skip-bad-records %d): the output lacks what is in %s",
		records, j.rec.Spec.SkipBadRecords, filepath.Join(j.rec.Spec.Output, skippedDir, skippedName)))
}

// skippedLine is a line of the file: one bad record. Record is its beginning as it is, or, if that
// is not UTF-8, in base 64; Cut says that there is more of it.
type skippedLine struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length,omitempty"` // 0: not known
	Reason string `json:"reason"`
	Record string `json:"record,omitempty"`
	Base64 []byte `json:"record_base64,omitempty"`
	Cut    bool   `json:"cut,omitempty"`
}

// writeSkipped writes what was skipped below the folder dir, a JSON object a line.
func writeSkipped(dir string, all []mr.BadRecord) error {
	if len(all) == 0 {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range all {
		r := &all[i]
		line := skippedLine{File: r.Path, Offset: r.Offset, Length: r.Length, Reason: r.Reason, Cut: int64(len(r.Data)) != r.Length}
		if utf8.Valid(r.Data) {
			line.Record = string(r.Data)
		} else {
			line.Base64 = r.Data
		}
		if err := e.Encode(line); err != nil {
			return err
		}
	}
	dir = filepath.Join(dir, skippedDir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return writeDurably(filepath.Join(dir, skippedName), b.Bytes())
}
