package mr

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
)

// A job without a reducer whose combiner is Sum of 64-bit integers runs no line of its
// author's when it reduces: records are read, added up by key, and written as text, all by
// this package. What that makes of an encoded record has a name, so that whoever reads the
// records can do it, and what they make can't be told apart:
//
//	"1 bytes"   keys are one string or slice: their encoding is their text
//	"1 int64"   keys are one signed integer of 8 bytes, written in decimal
//	"1 uint64"  likewise, without a sign
//
// Values are signed varints, written in decimal. Names are append-only. Outputs are found
// under the digest of the job's binary, whoever made them: a name that came to mean something
// else would be a wrong hit.

// totals returns the name for a job that adds up, "" if there is none for it. A type may have
// an encoding and a text of its own where it is a value of the output, and none as a key.
func totals(key, outKey *layout) string {
	if key.single != outKey.single {
		return ""
	}
	switch {
	case key.plainKey():
		return "1 bytes"
	case key.single == partInt && key.size == 8:
		return "1 int64"
	case key.single == partUint && key.size == 8:
		return "1 uint64"
	}
	return ""
}

// Totals returns a Program that does in this process what Reduce and Combine of the job do
// that says t of itself, or nil if only the job's own code can. It can't map.
func Totals(t Traits) *Program {
	switch t.Totals {
	case "1 bytes":
		return totalsOf[[]byte](t)
	case "1 int64":
		return totalsOf[int64](t)
	case "1 uint64":
		return totalsOf[uint64](t)
	}
	return nil
}

// Lines is how the lines that such a job writes as text are read back: a key, a tab, and a sum
// in decimal. Keys with line breaks can't be.
type Lines struct{ totals string }

// Lines returns how the lines of a job's output are read back; ok is false if they can't be.
func (t *Traits) Lines() (l Lines, ok bool) {
	if t.NoKey || t.NoValue {
		return l, false
	}
	return LinesOf(t.Totals)
}

// LinesOf is Traits.Lines of a job that says totals of itself, and writes keys and values.
func LinesOf(totals string) (l Lines, ok bool) {
	switch totals {
	case "1 bytes", "1 int64", "1 uint64":
		return Lines{totals}, true
	}
	return l, false
}

// AppendKey appends the text of an encoded key to dst.
func (l Lines) AppendKey(dst, key []byte) ([]byte, error) {
	switch {
	case l.totals == "1 bytes":
		return append(dst, key...), nil
	case len(key) != 8:
		return dst, errKey
	case l.totals == "1 int64":
		return strconv.AppendInt(dst, int64(binary.BigEndian.Uint64(key)^1<<63), 10), nil
	}
	return strconv.AppendUint(dst, binary.BigEndian.Uint64(key), 10), nil
}

// Compare compares the texts of two keys as their encodings compare.
func (l Lines) Compare(a, b []byte) int {
	if l.totals == "1 bytes" {
		return bytes.Compare(a, b)
	}
	below := [2]bool{bytes.HasPrefix(a, []byte{'-'}), bytes.HasPrefix(b, []byte{'-'})}
	switch {
	case below[0] && !below[1]:
		return -1
	case below[1] && !below[0]:
		return 1
	case below[0]:
		a, b = b, a
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b))
}

func totalsOf[K any](t Traits) *Program {
	s := collectOptions([]Option{newMapOpt[K, int64]().set, Combine(Sum[int64])})
	p := &Program{mapStages: s, reduceStages: s}
	if p.check() != nil { // no type above is refused
		return nil
	}
	p.traits = t
	return p
}

// addUp is Reduce of a job that has totals.
func (p *Program) addUp(ctx context.Context, in RecordReader, out RecordSink) (Counters, error) {
	lines := Lines{p.traits.Totals}
	var key, text []byte
	var sum, records, groups int64
	var digits [len("-9223372036854775808")]byte
	put := func() (err error) {
		if text, err = lines.AppendKey(text[:0], key); err != nil {
			return err
		}
		return out.Record(text, strconv.AppendInt(digits[:0], sum, 10))
	}
	for {
		k, v, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if records++; records&0xfff == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		x, n := binary.Varint(v)
		if n != len(v) || n == 0 {
			return nil, errValue
		}
		if groups > 0 && bytes.Equal(k, key) {
			sum += x
			continue
		}
		if groups > 0 {
			if err := put(); err != nil {
				return nil, err
			}
		}
		groups++
		key, sum = append(key[:0], k...), x
	}
	if groups > 0 {
		if err := put(); err != nil {
			return nil, err
		}
	}
	t := newTask(p.traits.Job)
	t.count("reduce_input_groups", groups)
	t.count("reduce_input_records", records)
	t.count("reduce_output_records", groups)
	return t.sums(nil)
}
