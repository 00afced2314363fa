package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/failpoint"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// The output formats of part files.
const (
	FormatText  = "text"  // key TAB value LF
	FormatRaw   = "raw"   // key and value back to back, nothing between
	FormatJSONL = "jsonl" // {"key":…,"value":…} LF
)

// partBuffer is the size of writes to a part file, and of a kept part's records.
const partBuffer = 256 << 10

// partWriter writes an attempt's part file and, beside it, the copy that the store
// keeps. Its digest is BLAKE3 of the file's bytes.
type partWriter struct {
	f       PartFile
	path    string
	buf     []byte // text that is not written yet; its capacity is partBuffer, but for huge records
	hash    *blake3.Hasher
	format  string
	noKey   bool
	noValue bool
	records int64
	bytes   int64
	took    time.Duration // writing what is in the buffer
	done    bool

	kept     RunSink // nil if not, or no longer, kept
	keptRun  *run.Writer
	keepMost int64
	share    func() float64 // of what the part is made of: how much has been read, from 0 to 1
}

func (s *Service) createPart(w *plan.Work, format string, t mr.Traits) (*partWriter, error) {
	if w.Part == "" {
		return nil, errNoPart
	}
	f, err := s.o.Parts.Create(w.Attempt, w.Part)
	if err != nil {
		return nil, fmt.Errorf("making the part file: %w", err)
	}
	if err := failpoint.Hit("worker/part-made"); err != nil {
		f.Discard()
		return nil, fmt.Errorf("making the part file: %w", err)
	}
	return &partWriter{f: f, path: w.Part, hash: blake3.New(), format: format, noKey: t.NoKey, noValue: t.NoValue}, nil
}

// reserve makes room for a record of n bytes: records are appended where they are written
// from. File, digest and kept copy see whole chunks.
func (p *partWriter) reserve(n int) error {
	if n <= cap(p.buf)-len(p.buf) {
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	if n > cap(p.buf) {
		p.buf = make([]byte, 0, max(n, partBuffer))
	}
	return nil
}

// flush writes what is in the buffer.
func (p *partWriter) flush() error {
	b := p.buf
	if len(b) == 0 {
		return nil
	}
	if err := p.write(b); err != nil {
		return err
	}
	if p.buf = b[:0]; cap(b) > 4*partBuffer {
		p.buf = nil
	}
	return nil
}

// write writes b from where it is, behind what was flushed.
func (p *partWriter) write(b []byte) error {
	defer func(start time.Time) { p.took += time.Since(start) }(time.Now())
	if _, err := p.f.Write(b); err != nil {
		return err
	}
	p.hash.Write(b)
	p.bytes += int64(len(b))
	if p.kept == nil {
		return nil
	}
	if float64(p.bytes) > float64(p.keepMost)*min(p.share()+keepAhead, 1) || len(b) > run.MaxRecord {
		p.dropKept()
		return nil
	}
	return p.keptRun.Record(nil, b)
}

// keepAhead is by how much of its limit a part may be ahead of what it is made of. A part that
// will be too large, as those of a sort are, is seen to be before much of it is in the store in
// vain; one whose first keys alone are many stays.
const keepAhead = 1. / 8

// keep begins a copy in the store, given up when the part is about to grow beyond most bytes.
// share says, of 1, how much of what the part is made of has been read.
func (p *partWriter) keep(sink RunSink, most int64, share func() float64) {
	p.kept, p.keepMost, p.share = sink, most, share
	p.keptRun = run.NewWriter(sink, run.Options{Unsorted: true, Halved: true})
}

func (p *partWriter) dropKept() {
	p.kept.Discard()
	p.kept, p.keptRun = nil, nil
}

// copy appends bytes of a part that was written before.
func (p *partWriter) copy(b []byte) error {
	if err := p.reserve(len(b)); err != nil {
		return err
	}
	p.buf = append(p.buf, b...)
	return nil
}

// Record implements mr.RecordSink with the rendered key and value.
func (p *partWriter) Record(key, value []byte) error {
	p.records++
	if n := len(key) + len(value) + len("\t\n"); n > cap(p.buf)-len(p.buf) {
		if err := p.reserve(n); err != nil {
			return err
		}
	}
	b := p.buf
	switch p.format {
	case FormatRaw:
		b = append(append(b, key...), value...)
	case FormatJSONL:
		if b = p.appendJSON(b, key, value); len(b) >= partBuffer { // longer than what was reserved
			p.buf = b
			return p.flush()
		}
	default:
		if !p.noKey {
			b = append(b, key...)
			if !p.noValue {
				b = append(b, '\t')
			}
		}
		if !p.noValue {
			b = append(b, value...)
		}
		b = append(b, '\n')
	}
	p.buf = b
	return nil
}

func (p *partWriter) appendJSON(b, key, value []byte) []byte {
	quote := func(b, s []byte) []byte {
		// Marshal of a string cannot fail; invalid UTF-8 becomes U+FFFD.
		q, _ := json.Marshal(strings.ToValidUTF8(string(s), "\uFFFD"))
		return append(b, q...)
	}
	b = append(b, '{')
	if !p.noKey {
		b = quote(append(b, `"key":`...), key)
	}
	if !p.noValue {
		if !p.noKey {
			b = append(b, ',')
		}
		b = quote(append(b, `"value":`...), value)
	}
	return append(b, '}', '\n')
}

// finish makes the part file and its kept copy durable, in that order.
func (p *partWriter) finish(ctx context.Context, made *plan.Made) error {
	if err := p.flush(); err != nil {
		return fmt.Errorf("writing part file %s: %w", p.path, err)
	}
	p.buf = nil // many may wait for the disk at a time
	if err := failpoint.Hit("worker/part-written"); err != nil {
		return fmt.Errorf("writing part file %s: %w", p.path, err)
	}
	if err := p.f.Seal(); err != nil {
		return fmt.Errorf("syncing part file %s: %w", p.path, err)
	}
	if p.kept != nil {
		sum, err := p.keptRun.Close()
		if err != nil {
			return fmt.Errorf("keeping part %s: %w", p.path, err)
		}
		if made.Run, err = p.kept.Seal(ctx); err != nil {
			return fmt.Errorf("keeping part %s: %w", p.path, err)
		}
		made.Stored = sum.Bytes
	}
	if err := failpoint.Hit("worker/before-part-answer"); err != nil {
		return err
	}
	p.done = true
	p.hash.Sum(made.Digest[:0])
	made.Records, made.Raw = p.records, p.bytes
	return nil
}

// abort removes what an unfinished writer has made.
func (p *partWriter) abort() {
	if p.done {
		return
	}
	p.done = true
	p.f.Discard()
	if p.kept != nil {
		p.kept.Discard()
	}
}

// installPart makes a part that is known without reducing.
func (s *Service) installPart(a *attempt, rest func(), res *plan.Result) error {
	w := a.work
	if w.LinkFrom != "" {
		if n, ok := s.o.Parts.Link(w.Attempt, w.LinkFrom, w.Part, w.CopyDigest); ok {
			res.Made = plan.Made{Digest: w.CopyDigest, Raw: n}
			return nil
		}
	}
	if len(w.Runs) == 0 {
		return &taskFailure{kind: plan.LostRun, err: errors.New("the part to be replaced is not what its manifest says, or its mode is not a new file's")}
	}
	return s.copyPart(a, rest, res)
}

// copyPart installs a part that the store has kept. Waiting for the disk needs no core.
func (s *Service) copyPart(a *attempt, rest func(), res *plan.Result) error {
	w := a.work
	id := w.Runs[0]
	lost := func(err error) error { // whatever it is: reducing again needs no copy
		return &taskFailure{kind: plan.LostRun, lost: []uint64{id}, err: fmt.Errorf("kept part, run %d: %w", id, err)}
	}
	src, err := s.o.Runs.Open(id)
	if err != nil {
		return lost(err)
	}
	defer src.Close()
	ix, err := run.ReadIndex(src, src.Blobs())
	if err != nil {
		return lost(err)
	}
	part, err := s.createPart(w, FormatRaw, mr.Traits{})
	if err != nil {
		return err
	}
	defer part.abort()
	in := run.NewReader(src, ix, nil, nil)
	for in.Next() {
		if err := part.write(in.Value()); err != nil {
			return fmt.Errorf("writing part file %s: %w", w.Part, err)
		}
		if err := a.ctx.Err(); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return lost(err)
	}
	rest()
	if err := part.finish(a.ctx, &res.Made); err != nil {
		return err
	}
	if res.Made.Digest != w.CopyDigest {
		part.f.Discard()
		return lost(fmt.Errorf("its bytes have another digest than on record"))
	}
	return nil
}
