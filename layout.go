package mr

import (
	"encoding"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"unsafe"
)

// None is the type of keys or values that say nothing. Output of a job whose value is
// None is the key alone, without a TAB; and the other way round.
type None struct{}

// Desc is a key that sorts in descending order of Value.
type Desc[T any] struct{ Value T }

// Tuple2 is a key of two components, sorted by A, then by B; or a value of two.
type Tuple2[A, B any] struct {
	A A
	B B
}

// Tuple3 is a tuple of three components.
type Tuple3[A, B, C any] struct {
	A A
	B B
	C C
}

// Tuple4 is a tuple of four components.
type Tuple4[A, B, C, D any] struct {
	A A
	B B
	C C
	D D
}

// T2 makes a Tuple2.
func T2[A, B any](a A, b B) Tuple2[A, B] { return Tuple2[A, B]{a, b} }

// T3 makes a Tuple3.
func T3[A, B, C any](a A, b B, c C) Tuple3[A, B, C] { return Tuple3[A, B, C]{a, b, c} }

// T4 makes a Tuple4.
func T4[A, B, C, D any](a A, b B, c C, d D) Tuple4[A, B, C, D] { return Tuple4[A, B, C, D]{a, b, c, d} }

func (Desc[T]) descending()       {}
func (Tuple2[A, B]) tuple()       {}
func (Tuple3[A, B, C]) tuple()    {}
func (Tuple4[A, B, C, D]) tuple() {}

// ValueAppender is half of what a type of one's own needs to be a value: it appends an
// encoding of itself. Equal values must have equal encodings.
type ValueAppender interface {
	AppendMR(dst []byte) []byte
}

// ValueDecoder is the other half. DecodeMR must not keep src.
type ValueDecoder interface {
	DecodeMR(src []byte) error
}

// partKind says how one component of a key or value lies in memory.
type partKind uint8

const (
	partString partKind = iota + 1
	partBytes
	partInt
	partUint
	partFloat
	partBool
	partCustom // values only
)

// part is one component: a scalar at an offset of the Go value.
type part struct {
	kind partKind
	size uint8 // bytes of a number
	desc bool
	off  uintptr
	typ  reflect.Type
}

// layout is a key or value type, taken apart once a stage so that records need no
// reflection: codecs walk its parts. A layout without parts is None's.
type layout struct {
	typ    reflect.Type
	parts  []part
	single partKind // the kind if the type is one plain scalar, not Desc; else 0
	size   uint8    // of that scalar
	custom bool     // has a custom part: encoding goes through an interface, and a heap copy
	alias  bool     // decoding may alias its source, storing must copy: has a []byte
}

var (
	descType     = reflect.TypeFor[interface{ descending() }]()
	tupleType    = reflect.TypeFor[interface{ tuple() }]()
	noneType     = reflect.TypeFor[None]()
	appenderType = reflect.TypeFor[ValueAppender]()
	decoderType  = reflect.TypeFor[ValueDecoder]()
)

// layoutOf takes t apart. Custom types are allowed in values only.
func layoutOf(t reflect.Type, value bool) (layout, error) {
	l := layout{typ: t}
	if err := l.add(t, 0, false, value); err != nil {
		return layout{}, err
	}
	if len(l.parts) == 1 && !l.parts[0].desc {
		l.single, l.size = l.parts[0].kind, l.parts[0].size
	}
	return l, nil
}

func (l *layout) add(t reflect.Type, off uintptr, desc, value bool) error {
	if value && reflect.PointerTo(t).Implements(appenderType) && reflect.PointerTo(t).Implements(decoderType) {
		if e := lossyEmbedding(t); e != nil {
			return fmt.Errorf("type %s can't be a value: its AppendMR or DecodeMR is that of %s, which is embedded in it and knows nothing of the other fields; give it both methods of its own", t, e)
		}
		l.parts = append(l.parts, part{kind: partCustom, off: off, typ: t})
		l.custom, l.alias = true, true
		return nil
	}
	switch {
	case t == noneType:
		return nil
	case t.Kind() == reflect.Struct && t.Implements(descType) && t.NumField() == 1: // not one that embeds Desc beside other fields
		f := t.Field(0)
		return l.add(f.Type, off, desc != !f.Anonymous, value) // one that embeds Desc and nothing else is what it embeds
	case t.Kind() == reflect.Struct && t.Implements(tupleType):
		for i := range t.NumField() {
			f := t.Field(i)
			if err := l.add(f.Type, off+f.Offset, desc, value); err != nil {
				return err
			}
		}
		return nil
	}
	p := part{off: off, desc: desc, size: uint8(min(t.Size(), 255)), typ: t}
	switch t.Kind() {
	case reflect.String:
		p.kind = partString
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.kind = partInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		p.kind = partUint
	case reflect.Float32, reflect.Float64:
		p.kind = partFloat
	case reflect.Bool:
		p.kind = partBool
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			p.kind = partBytes
			l.alias = true
		}
	}
	if p.kind == 0 {
		if value {
			return fmt.Errorf("type %s can't be a value: use strings, []byte, numbers, bools, mr.None, tuples of them, or give it methods AppendMR([]byte) []byte and (on its pointer) DecodeMR([]byte) error", t)
		}
		return fmt.Errorf("type %s can't be a key: use strings, []byte, numbers, bools, mr.None, mr.Desc or tuples of them", t)
	}
	l.parts = append(l.parts, p)
	return nil
}

// lossyEmbedding returns the type embedded in the struct t whose encoding, promoted, is taken for one of t,
// and leaves fields of t out; nil if there is none. A struct with no other fields than that one loses nothing.
func lossyEmbedding(t reflect.Type) reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, method := range []methodOf{appendMR, decodeMR} {
		if !promoted(t, method) {
			continue
		}
		var from reflect.Type
		others := false
		for i := range t.NumField() {
			f := t.Field(i)
			if _, ok := declared(f.Type, method); ok && f.Anonymous && from == nil {
				from = f.Type
			} else if f.Type.Size() > 0 {
				others = true
			}
		}
		if from != nil && others {
			return from
		}
		if from != nil {
			return lossyEmbedding(from)
		}
	}
	return nil
}

// promoted reports whether a method of t is not t's own but an embedded field's. Reflection doesn't tell them
// apart; what does is that nobody wrote the function: the compiler names the source of what it generates so.
func promoted(t reflect.Type, method methodOf) bool {
	m, ok := declared(t, method)
	if !ok {
		return false
	}
	pc := m.Func.Pointer()
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	return file == "<autogenerated>"
}

// methodOf finds the method of one name. With a name that is no constant the linker would keep every method of
// every type in the program.
type methodOf func(reflect.Type) (reflect.Method, bool)

func appendMR(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("AppendMR") }
func decodeMR(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("DecodeMR") }

// declared is a method of t, or else of its pointer: the function as it was declared, and none that
// is generated to call it through a pointer.
func declared(t reflect.Type, method methodOf) (reflect.Method, bool) {
	if m, ok := method(t); ok {
		return m, true
	}
	return method(reflect.PointerTo(t))
}

// refers reports whether values of the type refer to memory.
func (l *layout) refers() bool {
	return l.alias || slices.ContainsFunc(l.parts, func(p part) bool { return p.kind == partString })
}

// textual reports whether output can show the type.
func (l *layout) textual() error {
	for _, p := range l.parts {
		if p.kind == partCustom && !reflect.PointerTo(p.typ).Implements(textAppenderType) {
			return fmt.Errorf("type %s has no text form for the output: give it a method AppendText([]byte) ([]byte, error), or let the reducer emit something else", p.typ)
		}
	}
	return nil
}

var textAppenderType = reflect.TypeFor[encoding.TextAppender]()

// The scalars at p, widened.

func intAt(p unsafe.Pointer, size uint8) int64 {
	switch size {
	case 1:
		return int64(*(*int8)(p))
	case 2:
		return int64(*(*int16)(p))
	case 4:
		return int64(*(*int32)(p))
	default:
		return *(*int64)(p)
	}
}

func uintAt(p unsafe.Pointer, size uint8) uint64 {
	switch size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	default:
		return *(*uint64)(p)
	}
}

// setUint stores the low bytes of u; it serves signed integers too.
func setUint(p unsafe.Pointer, size uint8, u uint64) {
	switch size {
	case 1:
		*(*uint8)(p) = uint8(u)
	case 2:
		*(*uint16)(p) = uint16(u)
	case 4:
		*(*uint32)(p) = uint32(u)
	default:
		*(*uint64)(p) = u
	}
}
