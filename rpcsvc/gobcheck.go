package rpcsvc

import (
	"errors"
	"fmt"
	"math/bits"
)

// gob.Decoder believes what a message says of its own sizes: five bytes make it set
// ten megabytes aside for a slice, and a definition may nest as deep as it likes. The
// gobChecker walks a message before the decoder does, and lets it pass only if every
// length is covered by bytes that are there. Maps, interfaces and types that encode
// themselves don't occur on our wire, and are refused with the rest.
//
// A message's payload, drawn from package gob's documentation:
//
//	definition: int −id, then a wireType value
//	value:      int id, then: a struct's fields; or a byte 0 and any other type's value
//	struct:     (uint delta of the field number, value)…, uint 0
//	slice:      uint count, values          array: the same
//	string:     uint length, bytes          []byte: the same
//	number:     one uint                    complex: two
//
//	wireType:   struct{1: array{1: common, 2: elem int, 3: len int}; 2: slice{1: common, 2: elem int};
//	            3: struct{1: common, 2: []field{1: name string, 2: id int}}; 4: map; 5–7: encode themselves}
//	common:     struct{1: name string, 2: id int}
type gobChecker struct {
	types map[int64]gobType

	b     []byte // of the present message, not walked yet
	depth int
}

type gobType struct {
	kind gobKind
	elem int64   // of slice and array
	n    uint64  // array length
	ids  []int64 // of a struct's fields
}

type gobKind uint8

const (
	gobNumber gobKind = iota + 1
	gobComplex
	gobBytes
	gobSlice
	gobArray
	gobStruct
)

// builtinTypes are the ids that need no definition; 8, interface, is left out.
var builtinTypes = [...]gobKind{1: gobNumber, 2: gobNumber, 3: gobNumber, 4: gobNumber, 5: gobBytes, 6: gobBytes, 7: gobComplex}

const (
	maxTypes    = 256 // definitions in one stream; ours needs about forty
	maxFields   = 256 // of a struct
	maxDepth    = 32
	firstUserID = 64
)

var (
	errGobSize = errors.New("a length exceeds the message")
	errGobType = errors.New("a type that does not occur here")
	errGobDeep = errors.New("nested too deep")
	errGobTail = errors.New("bytes after the message's end")
)

// check walks a payload. The checker remembers the definitions, as the decoder does.
func (g *gobChecker) check(payload []byte) error {
	g.b, g.depth = payload, 0
	id, err := g.int()
	if err != nil {
		return err
	}
	if id < 0 {
		err = g.define(-id)
	} else {
		err = g.top(id)
	}
	if err == nil && len(g.b) > 0 {
		err = errGobTail
	}
	return err
}

func (g *gobChecker) top(id int64) error {
	t, err := g.lookup(id)
	if err != nil {
		return err
	}
	if t.kind != gobStruct {
		if zero, err := g.uint(); err != nil || zero != 0 {
			return errGobSize
		}
	}
	return g.value(t)
}

func (g *gobChecker) lookup(id int64) (gobType, error) {
	if 0 < id && id < int64(len(builtinTypes)) {
		return gobType{kind: builtinTypes[id]}, nil
	}
	t, ok := g.types[id]
	if !ok {
		return t, fmt.Errorf("%w: id %d", errGobType, id)
	}
	return t, nil
}

func (g *gobChecker) value(t gobType) error {
	if g.depth++; g.depth > maxDepth {
		return errGobDeep
	}
	defer func() { g.depth-- }()
	switch t.kind {
	case gobNumber:
		_, err := g.uint()
		return err
	case gobComplex:
		if _, err := g.uint(); err != nil {
			return err
		}
		_, err := g.uint()
		return err
	case gobBytes:
		return g.skip()
	case gobStruct:
		return g.fields(func(field int64) error {
			if field > int64(len(t.ids)) {
				return errGobType
			}
			ft, err := g.lookup(t.ids[field-1])
			if err != nil {
				return err
			}
			return g.value(ft)
		})
	default:
		return g.list(t)
	}
}

func (g *gobChecker) list(t gobType) error {
	n, err := g.count()
	if err != nil {
		return err
	}
	if t.kind == gobArray && n != t.n {
		return errGobSize
	}
	et, err := g.lookup(t.elem)
	if err != nil {
		return err
	}
	for range n {
		if err := g.value(et); err != nil {
			return err
		}
	}
	return nil
}

// define reads a wireType. The decoder takes each id once.
func (g *gobChecker) define(id int64) error {
	if id < firstUserID {
		return errGobType
	}
	if len(g.types) >= maxTypes {
		return fmt.Errorf("%w: more than %d type definitions", errTooLarge, maxTypes)
	}
	var t gobType
	if err := g.fields(func(field int64) error {
		if t.kind != 0 {
			return errGobType // of two kinds at once
		}
		switch field {
		case 1:
			t.kind = gobArray
		case 2:
			t.kind = gobSlice
		case 3:
			t.kind = gobStruct
			return g.structType(&t)
		default:
			return errGobType
		}
		return g.listType(&t)
	}); err != nil {
		return err
	}
	if t.kind == 0 {
		return errGobType
	}
	if g.types == nil {
		g.types = map[int64]gobType{}
	}
	g.types[id] = t
	return nil
}

func (g *gobChecker) listType(t *gobType) error {
	return g.fields(func(field int64) (err error) {
		switch {
		case field == 1:
			return g.common()
		case field == 2:
			t.elem, err = g.int()
		case field == 3 && t.kind == gobArray:
			var n int64
			n, err = g.int()
			t.n = uint64(n)
		default:
			return errGobType
		}
		return err
	})
}

func (g *gobChecker) structType(t *gobType) error {
	return g.fields(func(field int64) error {
		switch field {
		case 1:
			return g.common()
		case 2:
			n, err := g.count()
			if err != nil {
				return err
			}
			if n > maxFields {
				return errGobSize
			}
			for range n {
				if err := g.fieldType(t); err != nil {
					return err
				}
			}
			return nil
		}
		return errGobType
	})
}

func (g *gobChecker) fieldType(t *gobType) error {
	id := int64(0)
	if err := g.fields(func(field int64) (err error) {
		switch field {
		case 1:
			return g.skip()
		case 2:
			id, err = g.int()
			return err
		}
		return errGobType
	}); err != nil {
		return err
	}
	t.ids = append(t.ids, id)
	return nil
}

func (g *gobChecker) common() error {
	return g.fields(func(field int64) error {
		switch field {
		case 1:
			return g.skip()
		case 2:
			_, err := g.int()
			return err
		}
		return errGobType
	})
}

// fields walks a struct: each is called with a field's number, from 1, and must
// consume its value.
func (g *gobChecker) fields(each func(field int64) error) error {
	field := int64(0)
	for {
		delta, err := g.uint()
		if err != nil {
			return err
		}
		if delta == 0 {
			return nil
		}
		if delta > maxFields {
			return errGobType
		}
		field += int64(delta)
		if err := each(field); err != nil {
			return err
		}
	}
}

// skip passes a string or []byte.
func (g *gobChecker) skip() error {
	n, err := g.count()
	if err == nil {
		g.b = g.b[n:]
	}
	return err
}

// count reads a length: of bytes, or of elements that have at least one byte each.
func (g *gobChecker) count() (uint64, error) {
	n, err := g.uint()
	if err == nil && n > uint64(len(g.b)) {
		err = errGobSize
	}
	return n, err
}

func (g *gobChecker) int() (int64, error) {
	u, err := g.uint()
	if u&1 != 0 {
		return ^int64(u >> 1), err
	}
	return int64(u >> 1), err
}

func (g *gobChecker) uint() (uint64, error) {
	x, n := gobUint(g.b)
	if n == 0 {
		return 0, errGobSize
	}
	g.b = g.b[n:]
	return x, nil
}

// gobUint reads an unsigned integer: one byte below 0x80, or the number of bytes as a
// negative signed byte and that many bytes. n is its width, 0 if b does not hold one.
func gobUint(b []byte) (x uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	n = 1 - int(int8(b[0]))
	if n > 1+bits.UintSize/8 || n > len(b) {
		return 0, 0
	}
	for _, d := range b[1:n] {
		x = x<<8 | uint64(d)
	}
	return x, n
}
