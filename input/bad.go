package input

import (
	"bytes"

	"github.com/mrd-io/mr"
)

// badRecord is an error about one record: without it, the rest can be read.
type badRecord struct {
	err error
	why string // in a few words
}

func (b badRecord) Error() string { return b.err.Error() }
func (b badRecord) Unwrap() error { return b.err }

// passing is a bad record that is being passed over.
type passing struct {
	off  int64
	head []byte // its beginning
	torn int64  // the length of a fixed record; else 0
}

// pass goes over the record that data begins with and that err is about, if records may be
// skipped, and returns how many bytes of data belong to it. The record is reported when its
// end is seen; until then c.passing is set. What is reported of it depends on the record and
// the limit alone, not on how much of it was read.
func (c *cutter) pass(err error, data []byte, final bool) (int, error) {
	bad, ok := err.(badRecord)
	if !ok || c.skip == nil {
		return 0, err
	}
	if c.passing == nil {
		c.passing = &passing{off: c.off, head: bytes.Clone(data[:min(len(data), headShown)])}
	}
	n, ended := len(data), final
	switch c.format.Kind {
	case mr.Fixed:
		c.passing.torn = int64(len(data))
	case mr.Text:
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			n, ended = i+1, true
		}
	}
	c.off += int64(n)
	if !ended {
		return n, nil
	}
	p := c.passing
	c.passing = nil
	c.done = c.done || c.format.Kind == mr.Whole
	head, length := p.head, p.torn
	if i := bytes.IndexByte(head, '\n'); i >= 0 && c.format.Kind == mr.Text {
		head = bytes.TrimSuffix(head[:i], []byte{'\r'})
		length = int64(len(head))
	} else if len(head) < headShown { // that was all of it
		length = int64(len(head))
	}
	return n, c.skip(mr.NewBadRecord(c.path, p.off, length, head, bad.why))
}

// headShown is more than a report keeps of a record, and no more than what is read of a line beyond its
// split: how long a shorter record is, is known however it was read.
const headShown = lineRead
