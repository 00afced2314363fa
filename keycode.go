package mr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"
)

// The encoding of keys: bytes.Compare of two encodings is the natural order of the keys.
//
//	string, []byte as the whole key    the bytes as they are
//	the same within a tuple or Desc    the bytes, 00 written as 00 FF, ended by 00 01
//	intN, uintN                        N/8 bytes, big-endian; the sign bit of intN flipped
//	float32, float64                   4 or 8 bytes, big-endian, of the IEEE bits: all
//	                                   flipped if negative, else the sign bit; -0 is +0,
//	                                   and every NaN is one NaN, above +Inf
//	bool                               00 or 01
//	tuple                              its components, one after the other
//	Desc                               the component's bytes, inverted
//	None                               nothing
//
// The encoding is part of cache keys and of every run on disk: it does not change.

// plainKey reports whether the encoding of a key is the bytes of a string or slice.
func (l *layout) plainKey() bool { return l.single == partString || l.single == partBytes }

// appendKey appends the encoding of the key at p. p does not escape.
func appendKey(dst []byte, p unsafe.Pointer, parts []part) []byte {
	for i := range parts {
		c := &parts[i]
		at := unsafe.Add(p, c.off)
		start := len(dst)
		switch c.kind {
		case partString:
			dst = appendEscaped(dst, *(*string)(at))
		case partBytes:
			b := *(*[]byte)(at)
			dst = appendEscaped(dst, unsafe.String(unsafe.SliceData(b), len(b)))
		case partInt:
			dst = appendUintN(dst, uint64(intAt(at, c.size))^(1<<(8*c.size-1)), c.size)
		case partUint:
			dst = appendUintN(dst, uintAt(at, c.size), c.size)
		case partFloat:
			dst = appendFloatKey(dst, at, c.size)
		case partBool:
			dst = append(dst, boolByte(*(*bool)(at)))
		}
		if c.desc {
			invert(dst[start:])
		}
	}
	return dst
}

func appendEscaped(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			dst = append(dst, s...)
			return append(dst, 0, 1)
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, 0, 0xff)
		s = s[i+1:]
	}
}

func appendUintN(dst []byte, u uint64, size uint8) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], u)
	return append(dst, b[8-size:]...)
}

func appendFloatKey(dst []byte, p unsafe.Pointer, size uint8) []byte {
	if size == 4 {
		f := *(*float32)(p)
		u := math.Float32bits(f)
		switch {
		case f == 0:
			u = 0
		case f != f:
			u = 0x7fc00000
		}
		if u>>31 != 0 {
			u = ^u
		} else {
			u |= 1 << 31
		}
		return binary.BigEndian.AppendUint32(dst, u)
	}
	f := *(*float64)(p)
	u := math.Float64bits(f)
	switch {
	case f == 0:
		u = 0
	case f != f:
		u = 0x7ff8000000000000
	}
	if u>>63 != 0 {
		u = ^u
	} else {
		u |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, u)
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

var errKey = errors.New("mr: a key is not of the type that the job declares; its run is damaged or was written by other code")

// decodeKey reads the key b into the value at p. A []byte aliases b where it can.
func decodeKey(p unsafe.Pointer, b []byte, l *layout) error {
	switch l.single {
	case partString:
		*(*string)(p) = string(b)
		return nil
	case partBytes:
		*(*[]byte)(p) = b[:len(b):len(b)]
		return nil
	}
	for i := range l.parts {
		c := &l.parts[i]
		n := partLen(b, c.kind, c.size, c.desc)
		if n < 0 {
			return errKey
		}
		field := b[:n]
		if c.desc {
			field = bytes.Clone(field)
			invert(field)
		}
		if err := decodePart(unsafe.Add(p, c.off), field, c); err != nil {
			return err
		}
		b = b[n:]
	}
	if len(b) != 0 {
		return errKey
	}
	return nil
}

func decodePart(p unsafe.Pointer, b []byte, c *part) error {
	switch c.kind {
	case partString:
		*(*string)(p) = string(unescape(b))
	case partBytes:
		*(*[]byte)(p) = unescape(b)
	case partInt:
		setUint(p, c.size, uintN(b)^(1<<(8*c.size-1)))
	case partUint:
		setUint(p, c.size, uintN(b))
	case partFloat:
		u := uintN(b)
		if sign := uint64(1) << (8*c.size - 1); u&sign != 0 {
			u ^= sign
		} else {
			u = ^u
		}
		setUint(p, c.size, u)
	case partBool:
		if b[0] > 1 {
			return errKey
		}
		*(*bool)(p) = b[0] == 1
	}
	return nil
}

func uintN(b []byte) (u uint64) {
	for _, c := range b {
		u = u<<8 | uint64(c)
	}
	return u
}

// unescape returns the bytes of an escaped, terminated string; b's own if none was escaped,
// but not the room behind them, where the next component is.
func unescape(b []byte) []byte {
	b = b[: len(b)-2 : len(b)-2]
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for ; i < len(b); i++ {
		out = append(out, b[i])
		if b[i] == 0 {
			i++ // the ff behind it
		}
	}
	return out
}

// partLen returns the number of bytes of the component that b begins with, or -1 if b
// does not begin with one.
func partLen(b []byte, kind partKind, size uint8, desc bool) int {
	if kind != partString && kind != partBytes {
		if kind == partBool {
			size = 1
		}
		if len(b) < int(size) {
			return -1
		}
		return int(size)
	}
	var flip byte
	if desc {
		flip = 0xff
	}
	for i := 0; ; i += 2 {
		j := bytes.IndexByte(b[i:], flip)
		if j < 0 || i+j+1 >= len(b) {
			return -1
		}
		i += j
		switch b[i+1] ^ flip {
		case 1:
			return i + 2
		case 0xff:
		default:
			return -1
		}
	}
}

// keyShape writes the lengths of a key's components down for Traits.Group, a letter
// each: '1', '2', '4', '8' for so many bytes, 's' for an escaped string and 'S' for an
// inverted one, '*' for a key that is one plain string.
func (l *layout) keyShape() string {
	if l.plainKey() {
		return "*"
	}
	var b []byte
	for _, p := range l.parts {
		switch {
		case (p.kind == partString || p.kind == partBytes) && p.desc:
			b = append(b, 'S')
		case p.kind == partString || p.kind == partBytes:
			b = append(b, 's')
		case p.kind == partBool:
			b = append(b, '1')
		default:
			b = append(b, '0'+p.size)
		}
	}
	return string(b)
}

// Group returns the part of an encoded key by which it is grouped; no key of the same
// group is smaller. It is key itself unless the job groups by a prefix, and empty if all
// keys are one group. A cut between two reduce tasks must lie at such bytes.
func (t *Traits) Group(key []byte) []byte {
	switch {
	case t.Prefix == 0:
		return key
	case t.Prefix < 0:
		return key[:0]
	}
	n := 0
	for i := 0; i < t.Prefix && i < len(t.KeyShape); i++ {
		var l int
		switch c := t.KeyShape[i]; c {
		case '*':
			return key
		case 's', 'S':
			l = partLen(key[n:], partString, 0, c == 'S')
		default:
			l = partLen(key[n:], partUint, c-'0', false)
		}
		if l < 0 { // a damaged key: its reader will say so
			return key
		}
		n += l
	}
	return key[:n]
}

// checkPrefix tells whether keys of this layout have n components to group by.
func (l *layout) checkPrefix(n int) error {
	if n > len(l.parts) {
		return fmt.Errorf("GroupFirst(%d): keys of type %s have %d components", n, l.typ, len(l.parts))
	}
	return nil
}
