package mr

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func encodeKey[K any](t testing.TB, k K) []byte {
	t.Helper()
	l, err := layoutOf(reflect.TypeFor[K](), false)
	if err != nil {
		t.Fatal(err)
	}
	e := emitter[K, None]{key: &l}
	return bytes.Clone(e.encode(&k))
}

func decodeKeyAs[K any](t testing.TB, b []byte) (k K, err error) {
	t.Helper()
	l, err := layoutOf(reflect.TypeFor[K](), false)
	if err != nil {
		t.Fatal(err)
	}
	err = decodeKey(unsafe.Pointer(&k), b, &l)
	return k, err
}

// ordered checks that keys, given in their natural order, have encodings in that order,
// and come back from them.
func ordered[K comparable](t *testing.T, keys ...K) {
	t.Helper()
	var last []byte
	for i, k := range keys {
		b := encodeKey(t, k)
		if i > 0 && bytes.Compare(last, b) >= 0 {
			t.Errorf("%T: %v (%x) does not sort before %v (%x)", k, keys[i-1], last, k, b)
		}
		last = b
		back, err := decodeKeyAs[K](t, b)
		if err != nil || (back != k && k == k) {
			t.Errorf("%T: %v came back as %v, %v", k, k, back, err)
		}
	}
}

type colour string
type level int16

// What embeds a Desc and nothing else is one.
type (
	latest    struct{ Desc[int] }
	outermost struct{ latest }
)

func TestKeysSortNaturally(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	ordered(t, "", "\x00", "\x00\x00", "\x00\x01", "\x01", "a", "a\x00", "ab", "b", "\xff", "\xff\xff")
	ordered(t, math.MinInt64, -256, -1, 0, 1, 255, 256, math.MaxInt64)
	ordered[int8](t, -128, -1, 0, 1, 127)
	ordered[level](t, -32768, -1, 0, 1, 32767)
	ordered[int32](t, math.MinInt32, -1, 0, 1, math.MaxInt32)
	ordered[uint64](t, 0, 1, 256, math.MaxUint64)
	ordered[uint8](t, 0, 1, 255)
	ordered(t, -inf, -math.MaxFloat64, -1.5, -1, -math.SmallestNonzeroFloat64, 0, math.SmallestNonzeroFloat64, 1, inf, nan)
	ordered(t, float32(-inf), -1.5, -1, 0, 1, float32(inf), float32(nan))
	ordered(t, false, true)
	ordered[colour](t, "", "blue", "red")
	ordered(t, T2("", 1), T2("", 2), T2("\x00", -1), T2("a", -5), T2("a", 5), T2("a\x00", 0), T2("a\x00b", 0), T2("a\x01", 0), T2("ab", 0))
	ordered(t, T3(1, "x", "b"), T3(1, "x\x00", "a"), T3(1, "x\xff", "a"), T3(2, "", ""))
	ordered(t, T4(true, uint16(1), "a", -1.0), T4(true, uint16(1), "a", 1.0))
	ordered(t, Desc[int]{5}, Desc[int]{0}, Desc[int]{-5})
	ordered(t, Desc[string]{"b"}, Desc[string]{"ab"}, Desc[string]{"a\x00"}, Desc[string]{"a"}, Desc[string]{""})
	ordered(t, T2(Desc[string]{"b"}, 1), T2(Desc[string]{"ab"}, 1), T2(Desc[string]{"a"}, 1), T2(Desc[string]{"a"}, 2))
	ordered(t, Desc[Desc[int]]{Desc[int]{1}}, Desc[Desc[int]]{Desc[int]{2}})
	ordered(t, Desc[Tuple2[string, int]]{T2("b", 1)}, Desc[Tuple2[string, int]]{T2("a", 2)}, Desc[Tuple2[string, int]]{T2("a", 1)})
	ordered(t, latest{Desc[int]{5}}, latest{Desc[int]{0}}, latest{Desc[int]{-5}})
	ordered(t, T2("a", outermost{latest{Desc[int]{1}}}), T2("a", outermost{latest{Desc[int]{0}}}), T2("b", outermost{latest{Desc[int]{2}}}))
	ordered(t, None{})
	if !bytes.Equal(encodeKey(t, math.Copysign(0, -1)), encodeKey(t, 0.0)) {
		t.Error("-0 and 0 are two keys")
	}
	if !bytes.Equal(encodeKey(t, math.Float64frombits(0xfff8000000000001)), encodeKey(t, nan)) {
		t.Error("two NaNs are two keys")
	}
}

// Golden: these bytes are in cache keys and on disk.
func TestGoldenKeyBytes(t *testing.T) {
	for want, got := range map[string][]byte{
		"6100":                              encodeKey(t, "a\x00"),
		"8000000000000001":                  encodeKey(t, int64(1)),
		"7fff":                              encodeKey(t, int16(-1)),
		"bff0000000000000":                  encodeKey(t, 1.0),
		"6100ff0001" + "01":                 encodeKey(t, T2("a\x00", true)),
		"9eff00fffe":                        encodeKey(t, Desc[string]{"a\x00"}),
		"01" + "ff" + "8000000a" + "7a0001": encodeKey(t, T4(uint8(1), Desc[uint8]{0}, int32(10), []byte("z"))),
		"":                                  encodeKey(t, None{}),
	} {
		if hex.EncodeToString(got) != want {
			t.Errorf("got %x, want %s", got, want)
		}
	}
}

func FuzzTupleKeys(f *testing.F) {
	f.Add("a", int64(1), "b", int64(-1))
	f.Add("a\x00", int64(1), "a", int64(0xff))
	f.Add("", int64(0), "\x00\xff", int64(0))
	f.Fuzz(func(t *testing.T, a string, i int64, b string, j int64) {
		x, y := T2(a, i), T2(b, j)
		want := cmp.Or(strings.Compare(a, b), cmp.Compare(i, j))
		if got := bytes.Compare(encodeKey(t, x), encodeKey(t, y)); got != want {
			t.Errorf("%v %v: %d, want %d", x, y, got, want)
		}
		dx, dy := T2(Desc[string]{a}, i), T2(Desc[string]{b}, j)
		want = cmp.Or(-strings.Compare(a, b), cmp.Compare(i, j))
		if got := bytes.Compare(encodeKey(t, dx), encodeKey(t, dy)); got != want {
			t.Errorf("%v %v: %d, want %d", dx, dy, got, want)
		}
		if back, err := decodeKeyAs[Tuple2[Desc[string], int64]](t, encodeKey(t, dx)); err != nil || back != dx {
			t.Errorf("%v came back as %v, %v", dx, back, err)
		}
	})
}

// FuzzDecode feeds bytes that nobody has encoded: they are errors, not panics; and what
// decodes, encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("a\x00\x01\x80\x00\x00\x00\x00\x00\x00\x01\x01"))
	f.Add([]byte("\x00\xff\x00\x01"))
	f.Add([]byte{0x9e, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, b []byte) {
		type key = Tuple3[Desc[string], []byte, bool]
		if k, err := decodeKeyAs[key](t, b); err == nil {
			if again := encodeKey(t, k); !bytes.Equal(again, b) {
				t.Errorf("%x decodes, and encodes as %x", b, again)
			}
		}
		tr := Traits{Prefix: 2, KeyShape: "Ss1"}
		if g := tr.Group(b); !bytes.HasPrefix(b, g) {
			t.Errorf("group %x of %x", g, b)
		}
		l, _ := layoutOf(reflect.TypeFor[Tuple4[string, int32, float32, bool]](), true)
		_, _ = newValueCodec[Tuple4[string, int32, float32, bool]](&l).Decode(b)
		l, _ = layoutOf(reflect.TypeFor[uint16](), true)
		_, _ = newValueCodec[uint16](&l).Decode(b)
	})
}

// point is a value type of its own.
type point struct{ x, y int }

func (p point) AppendMR(dst []byte) []byte { return fmt.Appendf(dst, "%d,%d", p.x, p.y) }
func (p *point) DecodeMR(src []byte) error {
	_, err := fmt.Sscanf(string(src), "%d,%d", &p.x, &p.y)
	return err
}
func (p point) AppendText(dst []byte) ([]byte, error) {
	return fmt.Appendf(dst, "(%d %d)", p.x, p.y), nil
}

func roundTrip[V any](t *testing.T, text string, v V) {
	t.Helper()
	l, err := layoutOf(reflect.TypeFor[V](), true)
	if err != nil {
		t.Fatal(err)
	}
	c := newValueCodec[V](&l)
	b := c.Append([]byte("before"), v)[len("before"):]
	back, err := c.Decode(bytes.Clone(b))
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%T %v came back as %v, %v", v, v, back, err)
	}
	if own := c.Own(v); !reflect.DeepEqual(own, v) {
		t.Errorf("%T %v is %v as our own", v, v, own)
	}
	got, err := newTextCodec[V](&l).Append(nil, v)
	if err != nil || string(got) != text {
		t.Errorf("%T %v is shown as %q, %v; want %q", v, v, got, err, text)
	}
	for cut := range len(b) {
		if _, err := c.Decode(b[:cut]); err == nil && l.single != partString && l.single != partBytes && l.single != partCustom {
			t.Errorf("%T %v: %d of %d bytes decode without an error", v, v, cut, len(b))
		}
	}
}

func TestValues(t *testing.T) {
	roundTrip(t, "", None{})
	roundTrip(t, "a\tb", "a\tb")
	roundTrip(t, "", "")
	roundTrip(t, "xy", []byte("xy"))
	roundTrip(t, "-128", int8(-128))
	roundTrip(t, "-9223372036854775808", int64(math.MinInt64))
	roundTrip(t, "18446744073709551615", uint64(math.MaxUint64))
	roundTrip(t, "0.1", 0.1)
	roundTrip(t, "0.1", float32(0.1))
	roundTrip(t, "1e+21", 1e21)
	roundTrip(t, "+Inf", math.Inf(1))
	roundTrip(t, "true", true)
	roundTrip(t, "red", colour("red"))
	roundTrip(t, "(1 -2)", point{1, -2})
	roundTrip(t, "a\t-5\t0.5\tfalse", T4("a", -5, 0.5, false))
	roundTrip(t, "a\t(3 4)\tz", T3("a", point{3, 4}, []byte("z")))
	roundTrip(t, "7", Desc[int]{7})
}

// What embeds a value type beside other fields is not encoded as that alone.
type (
	shape struct{ point }
	ghost struct {
		point
		_ [0]func()
	} // of no size
	labelled struct {
		point
		Label string
	}
	backwards struct {
		Label string
		point
	}
	pointed struct {
		*point
		Label string
	}
	nested struct{ labelled }
	half   struct {
		point
		Label string
	}
	whole struct {
		point
		Label string
	}
	boxed[T any] struct {
		point
		What T
	}
	named[T any] struct {
		point
		What T
	}
)

func (h half) AppendMR(dst []byte) []byte { return append(h.point.AppendMR(dst), h.Label...) }

func (w whole) AppendMR(dst []byte) []byte { return fmt.Appendf(dst, "%s %d,%d", w.Label, w.x, w.y) }
func (w *whole) DecodeMR(src []byte) error {
	label, rest, _ := bytes.Cut(src, []byte(" "))
	w.Label = string(label)
	return w.point.DecodeMR(rest)
}

func (n named[T]) AppendMR(dst []byte) []byte { return n.point.AppendMR(dst) }
func (n *named[T]) DecodeMR(src []byte) error { return n.point.DecodeMR(src) }

func TestEmbeddedValues(t *testing.T) {
	roundTrip(t, "(1 -2)", shape{point{1, -2}})
	roundTrip(t, "(1 -2)", ghost{point: point{1, -2}})
	roundTrip(t, "(1 -2)", whole{point{1, -2}, "a"})
	roundTrip(t, "(1 -2)", named[None]{point: point{1, -2}})
	if _, err := layoutOf(reflect.TypeFor[named[string]](), true); err != nil {
		t.Error(err)
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[labelled](), reflect.TypeFor[backwards](), reflect.TypeFor[pointed](), reflect.TypeFor[nested](), reflect.TypeFor[half](),
		reflect.TypeFor[boxed[string]](), reflect.TypeFor[Tuple2[int, labelled]](), reflect.TypeFor[struct {
			ValueAppender
			ValueDecoder
			N int
		}](),
	} {
		if _, err := layoutOf(typ, true); err == nil || !strings.Contains(err.Error(), "embedded in it and knows nothing of the other fields") {
			t.Errorf("%v: got %v", typ, err)
		}
	}
}

func TestValuesDoNotAllocate(t *testing.T) {
	l, err := layoutOf(reflect.TypeFor[Tuple3[int64, float64, bool]](), true)
	if err != nil {
		t.Fatal(err)
	}
	c := newValueCodec[Tuple3[int64, float64, bool]](&l)
	buf := make([]byte, 0, 64)
	n := testing.AllocsPerRun(100, func() {
		buf = c.Append(buf[:0], T3(int64(len(buf)), 2.0, true))
		if _, err := c.Decode(buf); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a value", n)
	}
}

func TestOwnValuesShareNothing(t *testing.T) {
	l, _ := layoutOf(reflect.TypeFor[Tuple2[int, []byte]](), true)
	v := T2(1, []byte("abc"))
	own := newValueCodec[Tuple2[int, []byte]](&l).Own(v)
	copy(v.B, "xyz")
	if string(own.B) != "abc" {
		t.Errorf("got %q", own.B)
	}
}

func TestSizes(t *testing.T) {
	sizeOf := func(c any, v any) int {
		switch s := c.(type) {
		case interface {
			Size(Tuple2[string, []byte]) int
		}:
			return s.Size(v.(Tuple2[string, []byte]))
		case interface{ Size(point) int }:
			return s.Size(v.(point))
		}
		return -1
	}
	l, _ := layoutOf(reflect.TypeFor[Tuple2[string, []byte]](), true)
	if n := sizeOf(newValueCodec[Tuple2[string, []byte]](&l).forTable(), T2("abc", []byte("de"))); n != 5 {
		t.Errorf("a tuple's size is %d", n)
	}
	l, _ = layoutOf(reflect.TypeFor[point](), true)
	if n := sizeOf(newValueCodec[point](&l).forTable(), point{1, 23}); n != 4 {
		t.Errorf("a custom value's size is %d", n)
	}
	l, _ = layoutOf(reflect.TypeFor[int64](), true)
	if n := sizeOf(newValueCodec[int64](&l).forTable(), int64(1)); n != -1 {
		t.Errorf("an integer has a size of %d", n)
	}
}

func TestGroup(t *testing.T) {
	key := encodeKey(t, T4("a\x00b", Desc[string]{"c"}, int32(5), true))
	l, _ := layoutOf(reflect.TypeFor[Tuple4[string, Desc[string], int32, bool]](), false)
	lens := []int{}
	for n := range 5 {
		tr := Traits{Prefix: n, KeyShape: l.keyShape()}
		lens = append(lens, len(tr.Group(key)))
	}
	if want := []int{14, 6, 9, 13, 14}; !slices.Equal(lens, want) {
		t.Errorf("prefixes of %x have lengths %v, want %v", key, lens, want)
	}
	if g := (&Traits{Prefix: -1, KeyShape: "*"}).Group(key); g == nil || len(g) > 0 {
		t.Errorf("group of all: %x", g)
	}
}

func TestRecords(t *testing.T) {
	for _, c := range []struct {
		format, block string
		want          []string
	}{
		{"text", "", nil},
		{"text", "a\nb", []string{"0 a", "2 b"}},
		{"text", "\n\r\n\na\r", []string{"0 ", "1 ", "3 ", "4 a\r"}},
		{"text", "a\r\r\nb\r\n", []string{"0 a\r", "4 b"}},
		{"fixed:3", "abcde\n", []string{"0 abc", "3 de\n"}},
		{"fixed:4", "abcde", []string{"0 abcd", "4 e"}},
		{"whole", "a\nb\n", []string{"0 a\nb\n"}},
		{"whole", "", []string{"0 "}},
	} {
		f, err := ParseFormat(c.format)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for off, r := range Records(f, []byte(c.block)) {
			got = append(got, fmt.Sprintf("%d %s", off, r))
		}
		if !slices.Equal(got, c.want) || countRecords(f, []byte(c.block)) != int64(len(c.want)) {
			t.Errorf("%s %q: %q, want %q (counted %d)", c.format, c.block, got, c.want, countRecords(f, []byte(c.block)))
		}
	}
}

// FuzzChunks checks that chunks of a block have the block's records.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("a\nb\r\n\nc"), 3, true)
	f.Fuzz(func(t *testing.T, seed []byte, n int, text bool) {
		if len(seed) == 0 || n < 1 || n > 1000 {
			return
		}
		block := bytes.Repeat(seed, 2*chunkSize/len(seed)+n)
		format := Format{}
		if !text {
			format = Format{Kind: Fixed, N: n}
		}
		var want, got [][]byte
		for _, r := range Records(format, block) {
			want = append(want, r)
		}
		at := 0
		for off, chunk := range chunks(format, block) {
			if off != at {
				t.Fatalf("chunk at %d, want %d", off, at)
			}
			at += len(chunk)
			for _, r := range Records(format, chunk) {
				got = append(got, r)
			}
		}
		if at != len(block) || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%d records in %d bytes, want %d in %d", len(got), at, len(want), len(block))
		}
	})
}
