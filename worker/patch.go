package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// A part of sums is made of an earlier one: its lines are copied, but for those whose keys the
// runs that are gone or new know of. Whatever speaks against that (the earlier part is lost, a
// sum comes to nothing and nobody knows whether its key has records left) is found out on the
// way, and then the attempt goes on as if there had been no such part.

// Why a patch may fail without anybody's fault.
var (
	errUnclear = errors.New("a sum comes to 0, and whether its key has records left is not known")
	errBreaks  = errors.New("keys have line breaks, and their lines in the earlier part are not told from others")
	errBase    = errors.New("the earlier part is not what its record says") // somebody's, who damaged it
)

// patchPart tries to make the attempt's part by its patch. done: it is made.
func (s *Service) patchPart(a *attempt, rest func(), res *plan.Result) (done bool, err error) {
	w := a.work
	begin := time.Now()
	p, err := s.openPatch(a)
	if err != nil {
		return false, s.unpatched(a, err)
	}
	defer p.close()
	if p.part, err = s.createPart(w, w.OutputFormat, mr.Traits{}); err != nil {
		return false, err
	}
	defer p.part.abort() // of no effect after finish
	if w.KeepMost > 0 {
		p.part.keep(s.o.Runs.Create(), w.KeepMost, func() float64 { return 1 }) // the part that it is made of was kept
	}
	if err := p.apply(a.ctx); err != nil {
		if p.outErr != nil {
			return false, fmt.Errorf("writing part file %s: %w", w.Part, p.outErr)
		}
		return false, s.unpatched(a, p.why(err))
	}
	rest()
	merged := time.Since(begin) - p.part.took
	written := time.Now()
	if err := p.part.finish(a.ctx, &res.Made); err != nil {
		return false, err
	}
	const system = "mr"
	n, input := p.part.records, w.Patch.Input-p.minus.in.read()+p.plus.in.read()
	res.Counters = mr.Counters{
		{Group: system, Name: "reduce_input_groups", Value: n},
		{Group: system, Name: "reduce_input_records", Value: input},
		{Group: system, Name: "reduce_output_records", Value: n},
	}
	res.Patched = true
	res.Positive = w.Patch.Positive && p.plus.in.positive() && input < mostPositive
	res.Steps = plan.Steps{Merge: merged, Output: p.part.took + time.Since(written)}
	return true, nil
}

// unpatched is what becomes of an attempt without its patch: nothing, if it may go on.
func (s *Service) unpatched(a *attempt, why error) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	if errors.Is(why, errUnclear) || errors.Is(why, errBreaks) {
		s.o.Logger.Info("a part is made anew", "attempt", a.work.Attempt, "why", why)
	} else {
		s.o.Logger.Warn("a part could not be made of an earlier one", "attempt", a.work.Attempt, "err", why)
	}
	return nil
}

// patching is a patch under way.
type patching struct {
	want        plan.Patch
	keys        mr.Lines
	src         RunSource
	in          *run.Reader // of the earlier part
	lines       []byte      // its lines that were read and are not dealt with yet
	seen        int64       // lines read
	minus, plus *change
	key         []byte // the text of the one at hand
	part        *partWriter
	outErr      error // of part
}

func (s *Service) openPatch(a *attempt) (*patching, error) {
	p := &patching{want: a.work.Patch}
	if err := p.open(s, a); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *patching) open(s *Service, a *attempt) (err error) {
	var ok bool
	if p.keys, ok = mr.LinesOf(p.want.Totals); !ok {
		return fmt.Errorf("its lines are not known here: %q", p.want.Totals)
	}
	if p.src, err = s.o.Runs.Open(p.want.Base); err != nil {
		return err
	}
	if s, ok := p.src.(interface{ LastRead() }); ok {
		s.LastRead() // whoever comes next builds on the part that is being made
	}
	ix, err := run.ReadIndex(p.src, p.src.Blobs())
	if err != nil {
		return err
	}
	p.in = run.NewReader(p.src, ix, nil, nil)
	if p.minus, err = s.openChange(a, p.want.Minus); err == nil {
		p.plus, err = s.openChange(a, p.want.Plus)
	}
	return err
}

func (p *patching) close() {
	for _, c := range []*change{p.minus, p.plus} {
		if c != nil {
			c.runs.close()
		}
	}
	if p.src != nil {
		p.src.Close()
	}
}

// apply writes the part.
func (p *patching) apply(ctx context.Context) error {
	if err := errors.Join(p.minus.next(), p.plus.next()); err != nil {
		return err
	}
	var longer int64
	for n := 0; p.minus.ok || p.plus.ok; n++ {
		if n&(everySo-1) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		less, more := p.minus.ok, p.plus.ok
		if less && more {
			order := bytes.Compare(p.minus.key, p.plus.key)
			less, more = order <= 0, order >= 0
		}
		by, err := p.change(less, more)
		if err != nil {
			return err
		}
		longer += by
		if less {
			err = p.minus.next()
		}
		if more {
			err = errors.Join(err, p.plus.next())
		}
		if err != nil {
			return err
		}
	}
	for more := true; more; more = p.read() {
		if err := p.copy(len(p.lines)); err != nil {
			return err
		}
	}
	if err := p.in.Err(); err != nil {
		return err
	}
	if p.seen != p.want.Records {
		return fmt.Errorf("%w: it has %d lines for %d records", errBase, p.seen, p.want.Records)
	}
	p.part.records = p.seen + longer
	return nil
}

// why is why the base was no use, where apply found it odd: a base whose keys have line breaks has more
// lines than records, and lines that are no records or out of order.
func (p *patching) why(err error) error {
	if !errors.Is(err, errBase) {
		return err
	}
	for p.read() { // what is left, to have counted all
	}
	if p.in.Err() == nil && p.seen > p.want.Records {
		return errBreaks
	}
	return err
}

// change writes the line of the key that comes next, of which there is less, or more, or both,
// behind the lines before it. It returns by how many lines that makes the part longer.
func (p *patching) change(less, more bool) (longer int64, err error) {
	var key []byte
	var sum int64
	if less {
		key, sum = p.minus.key, -p.minus.sum
	}
	if more {
		key, sum = p.plus.key, sum+p.plus.sum
	}
	if less && more && sum == 0 {
		return 0, nil
	}
	if p.key, err = p.keys.AppendKey(p.key[:0], key); err != nil {
		return 0, err
	}
	key = p.key
	line, err := p.find(key)
	if err != nil {
		return 0, err
	}
	if line == nil {
		if less {
			return 0, fmt.Errorf("%w: it lacks a key", errBase)
		}
		return 1, p.write(key, sum)
	}
	old, err := strconv.ParseInt(string(line[len(key)+1:len(line)-1]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errBase, err)
	}
	p.lines = p.lines[len(line):]
	switch sum += old; {
	case more || sum != 0:
		return 0, p.write(key, sum)
	case !p.want.Positive:
		return 0, errUnclear
	}
	return -1, nil // no record of the key is left
}

func (p *patching) write(key []byte, sum int64) error {
	var b [20]byte
	p.outErr = p.part.Record(key, strconv.AppendInt(b[:0], sum, 10))
	return p.outErr
}

// copy moves the next n bytes of lines to the part.
func (p *patching) copy(n int) error {
	for n > 0 {
		// The part is kept in pieces of whole lines, as this one was.
		k := n
		if room := cap(p.part.buf) - len(p.part.buf); room < n {
			if k = bytes.LastIndexByte(p.lines[:room], '\n') + 1; k == 0 {
				k = n
			}
		}
		if p.outErr = p.part.copy(p.lines[:k]); p.outErr != nil {
			return p.outErr
		}
		p.lines, n = p.lines[k:], n-k
	}
	return nil
}

// read reads on; the lines before are dealt with. It returns false at the end of the base, and
// when it can't be read.
func (p *patching) read() bool {
	if !p.in.Next() {
		return false
	}
	p.lines = p.in.Value()
	p.seen += int64(bytes.Count(p.lines, []byte{'\n'}))
	return true
}

// find copies the lines below key to the part. It returns the line of that key, or nil if
// there is none.
func (p *patching) find(key []byte) (line []byte, err error) {
	for {
		at, err := below(p.lines, key, p.keys)
		if err == nil {
			err = p.copy(at)
		}
		if err != nil {
			return nil, err
		}
		if len(p.lines) > 0 {
			break
		}
		if !p.read() {
			return nil, p.in.Err()
		}
	}
	have, line, err := lineAt(p.lines, 0)
	if err != nil || !bytes.Equal(have, key) {
		return nil, err
	}
	return line, nil
}

// lineAt returns the line that begins there, and its key. One without an end is an error: the
// earlier part was kept in pieces of whole lines.
func lineAt(lines []byte, at int) (key, line []byte, err error) {
	line = lines[at : at+bytes.IndexByte(lines[at:], '\n')+1]
	tab := bytes.LastIndexByte(line, '\t')
	if tab < 0 {
		return nil, nil, fmt.Errorf("%w: a line has no tab", errBase)
	}
	return line[:tab], line, nil
}

// nearby is a distance within which lines are looked at one by one.
const nearby = 128

// below returns where the first line begins whose key is not below key. lines are sorted.
// The search begins at their front, in steps that double: what is looked for is mostly not far.
func below(lines, key []byte, keys mr.Lines) (int, error) {
	lo, hi := 0, len(lines) // all lines before lo are below key, and that at hi is not
	less := func(at int) (bool, error) {
		have, _, err := lineAt(lines, at)
		return keys.Compare(have, key) < 0, err
	}
	// next is where the first line behind at begins, at most hi.
	next := func(at int) int {
		return at + bytes.IndexByte(lines[at:], '\n') + 1
	}
	for step := nearby; lo+step < hi; step *= 2 {
		at := next(lo + step - 1)
		if at >= hi {
			break
		}
		is, err := less(at)
		if err != nil {
			return 0, err
		}
		if !is {
			hi = at
			break
		}
		lo = at
	}
	for hi-lo > nearby {
		at := next(lo + (hi-lo)/2)
		if at >= hi {
			break
		}
		is, err := less(at)
		if err != nil {
			return 0, err
		}
		if is {
			lo = at
		} else {
			hi = at
		}
	}
	for lo < hi {
		is, err := less(lo)
		if err != nil || !is {
			return lo, err
		}
		lo = next(lo)
	}
	return hi, nil
}

// change is what some runs come to: their keys in order, each with its sum.
type change struct {
	runs *openedRuns
	in   *cursorReader
	ok   bool // there is a current key
	key  []byte
	sum  int64

	ahead          bool // of the record behind
	aheadK, aheadV []byte
}

// openChange opens runs of one sign. Both may use half of the attempt's memory.
func (s *Service) openChange(a *attempt, runs []uint64) (*change, error) {
	w := *a.work
	w.Runs, w.Seps, w.At, w.Leaves, w.Memory = runs, nil, nil, nil, w.Memory/2
	m, err := s.openRuns(&w, true)
	if err != nil {
		return nil, err
	}
	c := &change{runs: m}
	if c.in, err = m.merged(&attempt{work: &w, ctx: a.ctx}, m.runs, s.o.TempDir); err != nil {
		m.close()
		return nil, err
	}
	if err := c.step(); err != nil {
		m.close()
		return nil, err
	}
	return c, nil
}

// step reads the record behind the current key's.
func (c *change) step() (err error) {
	c.aheadK, c.aheadV, err = c.in.Next()
	c.ahead = err == nil
	if err == io.EOF {
		return nil
	}
	return err
}

// next steps to the next key.
func (c *change) next() error {
	c.ok, c.sum, c.key = c.ahead, 0, append(c.key[:0], c.aheadK...)
	for c.ahead && bytes.Equal(c.aheadK, c.key) {
		v, ok := varint(c.aheadV)
		if !ok {
			return fmt.Errorf("a value of %d bytes is no sum", len(c.aheadV))
		}
		c.sum += v
		if err := c.step(); err != nil {
			return err
		}
	}
	return nil
}
