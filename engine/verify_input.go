package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// A file whose inode, size and times are those it had when it was read, two seconds or
// more after it was last written, is taken for what it was. File systems and tools exist
// that break this: some network mounts, a clock set back, a block device written below
// the file system, and on a tmpfs programs that write through a memory map. --verify says how far a job
// believes in it:
//
//	stat     wholly, which is the default
//	sample   some of what stat calls unchanged is read all the same
//	full     not at all: every byte of every input is read and digested
//
// It is in no key: what an input is does not depend on how that was found out.

const (
	verifyStat   = "stat"
	verifySample = "sample"
	verifyFull   = "full"
)

func checkVerify(v string) error {
	switch v {
	case "", verifyStat, verifySample, verifyFull:
		return nil
	}
	return mr.Errorf(mr.Usage, "--verify %q: it is stat, sample or full", v)
}

// sampleShare is the part of the bytes that stat calls unchanged which --verify sample
// reads: one in sampleShare, and at least one split.
const sampleShare = 100

// sample reads some of the splits that are known by their stamps alone, others each time,
// and returns in words where they are not what the stamps say. A split whose files have
// been changed since they were listed is taken back: its task will read it.
func (e *Engine) sample(ctx context.Context, rec *record, p *planning) (lies []string, err error) {
	var known []int
	var total int64
	for i := range p.tasks {
		if !p.maps[i].split.IsZero() {
			known = append(known, i)
			total += p.maps[i].bytes
		}
	}
	rand.Shuffle(len(known), func(i, k int) { known[i], known[k] = known[k], known[i] })
	for n, i := range known {
		if n > 0 && p.read >= total/sampleShare {
			break
		}
		p.read += p.maps[i].bytes
		digest, err := e.digest(ctx, rec, p.splits[i])
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, input.ErrChanged):
			p.tasks[i] = planned{tiny: p.tasks[i].tiny}
			p.maps[i].split, p.maps[i].Made = mr.Digest{}, plan.Made{}
		case err != nil:
			lies = append(lies, fmt.Sprintf("%v; this job takes no input for known without reading it", err))
		case digest != p.maps[i].split:
			lies = append(lies, lie(p.splits[i])+"; this job reads all its inputs, as with --verify full")
		}
	}
	return lies, nil
}

// digest reads a split for its digest alone.
func (e *Engine) digest(ctx context.Context, rec *record, s input.Split) (d mr.Digest, err error) {
	o := input.Options{Format: rec.Spec.InputFormat, RecordLimit: rec.Spec.RecordLimit, Buffer: 1}
	if rec.Spec.SkipBadRecords > 0 {
		o.Skip = func(mr.BadRecord) error { return nil } // as when it was mapped
	}
	loaded, err := input.Load(ctx, s, o)
	if err != nil {
		return d, err
	}
	defer loaded.Close()
	if loaded.Moved() {
		return d, input.ErrChanged
	}
	return loaded.Digest(), nil
}

func lie(s input.Split) string {
	return fmt.Sprintf("stat lied: %s has the inode, size and times that it had when it was last read, and other bytes", s)
}

// checkStamp says so if a split that was read is not what its stamps vouch for. What is on
// record under them is corrected when the task is done.
func (l *loop) checkStamp(j *job, f *flight) {
	if f.task.kind != plan.Map || !f.settled || f.result.Moved {
		return
	}
	var known mr.Digest
	err := l.e.o.Store.View(func(tx *store.Tx) error {
		known, _ = lineage.GetStamp(tx, stampKey(&j.rec.Spec, f.split))
		return nil
	})
	if err != nil || known.IsZero() || known == f.result.Split {
		return
	}
	advice := ""
	if !j.full {
		advice = "; other inputs of this job were taken for known by their stamps: run it again with --verify full"
	}
	l.warn(j, lie(f.split)+advice)
}
