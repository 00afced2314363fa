package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// bump says that a job's status has changed, and wakes who waits for that.
func (l *loop) bump(j *job) {
	j.version++
	if j.changed != nil {
		l.after = append(l.after, func() { l.wake(j) })
	}
}

func (l *loop) wake(j *job) {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// maxLogLines bounds what one job may write into the catalog.
const maxLogLines = 10_000

// log adds a line to a job's log. Lines reach the catalog with the next tick or the
// job's end: a crash may lose the latest.
func (l *loop) log(j *job, task, text string) {
	if j.logSeq >= maxLogLines {
		return
	}
	j.logSeq++
	if j.logSeq == maxLogLines {
		text = fmt.Sprintf("… the log ends here: it has %d lines", maxLogLines)
	}
	j.lines = append(j.lines, mr.LogLine{Time: l.e.o.Now(), Task: task, Text: strings.TrimRight(text, "\n")})
}

func (l *loop) logf(j *job, task, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.e.log.Info(text, "job", string(j.rec.ID), "task", task)
	l.log(j, task, text)
}

// warn adds a warning to a job's status, once.
func (l *loop) warn(j *job, text string) {
	if j.warned[text] {
		return
	}
	j.warned[text] = true
	j.rec.Warnings = append(j.rec.Warnings, text)
	l.logf(j, "", "warning: %s", text)
	l.bump(j)
}

// flushLogs writes the lines of all jobs that are not on record yet.
func (l *loop) flushLogs() {
	var writes []func(tx *store.Tx) error
	staged := map[*job][]mr.LogLine{}
	for _, j := range l.jobs {
		staged[j] = j.lines
		l.stageLogs(j, func(fn func(tx *store.Tx) error) { writes = append(writes, fn) })
	}
	if len(writes) == 0 {
		return
	}
	if err := l.write(writes); err != nil {
		for j, lines := range staged {
			j.lines = append(lines, j.lines...) // they keep their numbers, and are tried again
		}
		if !noRoom(err) { // that is said once, and elsewhere
			l.e.log.Error("log lines were not recorded", "err", err)
		}
	}
}

// stageLogs hands a job's new lines to add as writes. Key: job, "/", number of the line.
func (l *loop) stageLogs(j *job, add func(func(tx *store.Tx) error)) {
	if len(j.lines) == 0 {
		return
	}
	lines := j.lines
	first := j.logSeq - uint64(len(lines)) + 1
	j.lines = nil
	id := j.rec.ID
	add(func(tx *store.Tx) error {
		for i, line := range lines {
			b, err := json.Marshal(line)
			if err != nil {
				return err
			}
			if err := tx.Put(store.Logs, logKey(id, first+uint64(i)), b); err != nil {
				return err
			}
		}
		return nil
	})
}

func logKey(id mr.JobID, n uint64) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(id), '/'), uint32(n))
}

// nextLogSeq continues the numbering of an earlier life.
func (l *loop) nextLogSeq(j *job) {
	err := l.e.o.Store.View(func(tx *store.Tx) error {
		prefix := append([]byte(j.rec.ID), '/')
		if k, _ := tx.Last(store.Logs, prefix); len(k) == len(prefix)+4 {
			j.logSeq = uint64(binary.BigEndian.Uint32(k[len(prefix):]))
		}
		return nil
	})
	if err != nil {
		l.e.log.Error("reading the log on record", "job", j.rec.ID, "err", err)
	}
}

const (
	longPoll   = 10 * time.Second // how long Wait waits for a change at most
	statusBeat = 100 * time.Millisecond
)
