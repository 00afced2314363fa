package mr

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"github.com/mrd-io/mr/collect"
)

// The encoding of values, which need no order and so are short:
//
//	string, []byte, or a type with AppendMR as the whole value   its bytes
//	the same within a tuple                                      uvarint length, bytes
//	intN                                                         zigzag varint
//	uintN                                                        uvarint
//	float32, float64                                             4 or 8 bytes, little-endian
//	bool                                                         00 or 01
//	tuple, Desc                                                  the components
//	None                                                         nothing
//
// The encoding is part of every run on disk: it does not change.

// valueCodec encodes and decodes values of type V. It belongs to one task.
type valueCodec[V any] struct {
	l       *layout
	scratch *V // a heap copy, for custom types only: interfaces must not make every value escape
}

func newValueCodec[V any](l *layout) *valueCodec[V] {
	return &valueCodec[V]{l: l, scratch: new(V)}
}

// sizedCodec is a valueCodec of values that refer to memory: a Table has to count it.
type sizedCodec[V any] struct{ *valueCodec[V] }

// Size implements collect.Sizer. It is the size of strings, slices and encodings, so it
// depends on the value alone.
func (c sizedCodec[V]) Size(v V) int {
	if c.l.custom {
		*c.scratch = v
		return len(appendCustom(nil, unsafe.Pointer(c.scratch), c.l))
	}
	n := 0
	for i := range c.l.parts {
		switch p := &c.l.parts[i]; p.kind {
		case partString:
			n += len(*(*string)(unsafe.Add(unsafe.Pointer(&v), p.off)))
		case partBytes:
			n += len(*(*[]byte)(unsafe.Add(unsafe.Pointer(&v), p.off)))
		}
	}
	return n
}

// forTable returns the codec as a Table wants it: with Size only where it is needed.
func (c *valueCodec[V]) forTable() collect.Codec[V] {
	if c.l.refers() {
		return sizedCodec[V]{c}
	}
	return c
}

// Append appends the encoding of v.
func (c *valueCodec[V]) Append(dst []byte, v V) []byte {
	switch c.l.single {
	case partInt:
		return binary.AppendVarint(dst, intAt(unsafe.Pointer(&v), c.l.size))
	case partUint:
		return binary.AppendUvarint(dst, uintAt(unsafe.Pointer(&v), c.l.size))
	case partString:
		return append(dst, *(*string)(unsafe.Pointer(&v))...)
	case partBytes:
		return append(dst, *(*[]byte)(unsafe.Pointer(&v))...)
	}
	if c.l.custom {
		*c.scratch = v
		return appendCustom(dst, unsafe.Pointer(c.scratch), c.l)
	}
	return appendValue(dst, unsafe.Pointer(&v), c.l.parts)
}

// Decode returns the value encoded in src, which it may alias.
func (c *valueCodec[V]) Decode(src []byte) (v V, err error) {
	if c.l.single == partInt {
		i, n := binary.Varint(src)
		if n != len(src) || n == 0 {
			return v, errValue
		}
		setUint(unsafe.Pointer(&v), c.l.size, uint64(i))
		return v, nil
	}
	if c.l.custom {
		*c.scratch = v
		err = decodeCustom(unsafe.Pointer(c.scratch), src, c.l)
		return *c.scratch, err
	}
	err = decodeValue(unsafe.Pointer(&v), src, c.l)
	return v, err
}

// Own returns v with no memory shared with whoever made it.
func (c *valueCodec[V]) Own(v V) V {
	if !c.l.alias {
		return v
	}
	if c.l.custom {
		*c.scratch = v
		b := appendCustom(nil, unsafe.Pointer(c.scratch), c.l)
		var fresh V
		*c.scratch = fresh
		if decodeCustom(unsafe.Pointer(c.scratch), b, c.l) != nil {
			return v // an asymmetric codec: decoding will fail later, with a message
		}
		return *c.scratch
	}
	for i := range c.l.parts {
		if p := &c.l.parts[i]; p.kind == partBytes {
			b := (*[]byte)(unsafe.Add(unsafe.Pointer(&v), p.off))
			*b = bytes.Clone(*b)
		}
	}
	return v
}

// OwnAll is Own, and copies strings as well: one that is a piece of a record keeps the input around
// it in memory, for as long as a Table has it, and the Table counts its own bytes only.
func (c *valueCodec[V]) OwnAll(v V) V {
	v = c.Own(v)
	if c.l.custom {
		return v // as decoded
	}
	for i := range c.l.parts {
		if p := &c.l.parts[i]; p.kind == partString {
			s := (*string)(unsafe.Add(unsafe.Pointer(&v), p.off))
			*s = strings.Clone(*s)
		}
	}
	return v
}

// appendValue appends the value at p, which has no custom part. p does not escape.
func appendValue(dst []byte, p unsafe.Pointer, parts []part) []byte {
	for i := range parts {
		dst = appendValuePart(dst, unsafe.Add(p, parts[i].off), &parts[i], len(parts) == 1)
	}
	return dst
}

func appendValuePart(dst []byte, p unsafe.Pointer, c *part, whole bool) []byte {
	switch c.kind {
	case partString:
		s := *(*string)(p)
		if !whole {
			dst = binary.AppendUvarint(dst, uint64(len(s)))
		}
		return append(dst, s...)
	case partBytes:
		b := *(*[]byte)(p)
		if !whole {
			dst = binary.AppendUvarint(dst, uint64(len(b)))
		}
		return append(dst, b...)
	case partInt:
		return binary.AppendVarint(dst, intAt(p, c.size))
	case partUint:
		return binary.AppendUvarint(dst, uintAt(p, c.size))
	case partFloat:
		if c.size == 4 {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(*(*float32)(p)))
		}
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(*(*float64)(p)))
	default:
		return append(dst, boolByte(*(*bool)(p)))
	}
}

// appendCustom is appendValue for layouts with custom parts; p points to the heap.
func appendCustom(dst []byte, p unsafe.Pointer, l *layout) []byte {
	for i := range l.parts {
		c := &l.parts[i]
		at := unsafe.Add(p, c.off)
		if c.kind != partCustom {
			dst = appendValuePart(dst, at, c, false)
			continue
		}
		enc := reflect.NewAt(c.typ, at).Interface().(ValueAppender)
		if len(l.parts) == 1 {
			return enc.AppendMR(dst)
		}
		b := enc.AppendMR(nil)
		dst = binary.AppendUvarint(dst, uint64(len(b)))
		dst = append(dst, b...)
	}
	return dst
}

// codecError is an error of a method of the author's that reads or shows a value.
type codecError struct{ err error }

func (e *codecError) Error() string { return e.err.Error() }
func (e *codecError) Unwrap() error { return e.err }

var errValue = errors.New("mr: a value is not of the type that the job declares; its run is damaged or was written by other code")

func decodeValue(p unsafe.Pointer, b []byte, l *layout) error {
	for i := range l.parts {
		c := &l.parts[i]
		n, field := valueField(b, c, len(l.parts) == 1)
		if n < 0 {
			return errValue
		}
		if err := decodeValuePart(unsafe.Add(p, c.off), field, c); err != nil {
			return err
		}
		b = b[n:]
	}
	if len(b) != 0 {
		return errValue
	}
	return nil
}

func decodeCustom(p unsafe.Pointer, b []byte, l *layout) error {
	for i := range l.parts {
		c := &l.parts[i]
		n, field := valueField(b, c, len(l.parts) == 1)
		if n < 0 {
			return errValue
		}
		at := unsafe.Add(p, c.off)
		if c.kind == partCustom {
			if err := reflect.NewAt(c.typ, at).Interface().(ValueDecoder).DecodeMR(field); err != nil {
				return &codecError{fmt.Errorf("%s.DecodeMR: %w", c.typ, err)}
			}
		} else if err := decodeValuePart(at, field, c); err != nil {
			return err
		}
		b = b[n:]
	}
	if len(b) != 0 {
		return errValue
	}
	return nil
}

// valueField returns the bytes of the component that b begins with and how many they
// are with their length; -1 if there is none.
func valueField(b []byte, c *part, whole bool) (n int, field []byte) {
	switch c.kind {
	case partString, partBytes, partCustom:
		if whole {
			return len(b), b
		}
		l, k := binary.Uvarint(b)
		if k <= 0 || l > uint64(len(b)-k) {
			return -1, nil
		}
		return k + int(l), b[k : k+int(l)]
	case partInt, partUint:
		if _, k := binary.Uvarint(b); k > 0 {
			return k, b[:k]
		}
		return -1, nil
	case partFloat:
		n = int(c.size)
	default:
		n = 1
	}
	if n > len(b) {
		return -1, nil
	}
	return n, b[:n]
}

func decodeValuePart(p unsafe.Pointer, b []byte, c *part) error {
	switch c.kind {
	case partString:
		*(*string)(p) = string(b)
	case partBytes:
		*(*[]byte)(p) = b[:len(b):len(b)] // whoever appends to it must not change what lies behind
	case partInt:
		i, _ := binary.Varint(b)
		setUint(p, c.size, uint64(i))
	case partUint:
		u, _ := binary.Uvarint(b)
		setUint(p, c.size, u)
	case partFloat:
		if c.size == 4 {
			*(*float32)(p) = math.Float32frombits(binary.LittleEndian.Uint32(b))
		} else {
			*(*float64)(p) = math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
	default:
		if b[0] > 1 {
			return errValue
		}
		*(*bool)(p) = b[0] == 1
	}
	return nil
}

// textCodec renders keys or values for the output. It belongs to one task.
type textCodec[T any] struct {
	l       *layout
	scratch *T
}

func newTextCodec[T any](l *layout) *textCodec[T] { return &textCodec[T]{l: l, scratch: new(T)} }

// Append appends the text of v: strings and bytes as they are, integers in decimal,
// floats in the shortest form that reads back as the same number, components of a tuple
// with a TAB between them, None as nothing.
func (c *textCodec[T]) Append(dst []byte, v T) ([]byte, error) {
	if !c.l.custom {
		return appendText(dst, unsafe.Pointer(&v), c.l.parts), nil
	}
	*c.scratch = v
	for i := range c.l.parts {
		p := &c.l.parts[i]
		at := unsafe.Add(unsafe.Pointer(c.scratch), p.off)
		if i > 0 {
			dst = append(dst, '\t')
		}
		if p.kind != partCustom {
			dst = appendTextPart(dst, at, p)
			continue
		}
		var err error
		if dst, err = reflect.NewAt(p.typ, at).Interface().(encoding.TextAppender).AppendText(dst); err != nil {
			return dst, &codecError{fmt.Errorf("%s.AppendText: %w", p.typ, err)}
		}
	}
	return dst, nil
}

// view returns the text of *v: its own bytes if it is a string or a slice, else in *buf.
func (c *textCodec[T]) view(buf *[]byte, v *T) (text []byte, err error) {
	switch c.l.single {
	case partString:
		s := *(*string)(unsafe.Pointer(v))
		return unsafe.Slice(unsafe.StringData(s), len(s)), nil
	case partBytes:
		return *(*[]byte)(unsafe.Pointer(v)), nil
	}
	*buf, err = c.Append((*buf)[:0], *v)
	return *buf, err
}

func appendText(dst []byte, p unsafe.Pointer, parts []part) []byte {
	for i := range parts {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = appendTextPart(dst, unsafe.Add(p, parts[i].off), &parts[i])
	}
	return dst
}

func appendTextPart(dst []byte, p unsafe.Pointer, c *part) []byte {
	switch c.kind {
	case partString:
		return append(dst, *(*string)(p)...)
	case partBytes:
		return append(dst, *(*[]byte)(p)...)
	case partInt:
		return strconv.AppendInt(dst, intAt(p, c.size), 10)
	case partUint:
		return strconv.AppendUint(dst, uintAt(p, c.size), 10)
	case partFloat:
		if c.size == 4 {
			return strconv.AppendFloat(dst, float64(*(*float32)(p)), 'g', -1, 32)
		}
		return strconv.AppendFloat(dst, *(*float64)(p), 'g', -1, 64)
	default:
		return strconv.AppendBool(dst, *(*bool)(p))
	}
}
