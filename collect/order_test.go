package collect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

// drainTable adds the keys with values of f to a table and drains it.
func drainTable[V any](t *testing.T, o Options, combine func(a, b V) V, c Codec[V], keys [][]byte, f func(i int) V) (list, Sizes) {
	t.Helper()
	tab := NewTable(o, combine, c)
	for i, k := range keys {
		tab.Add(k, f(i))
	}
	var l list
	if err := tab.Drain(&l); err != nil {
		t.Fatal(err)
	}
	return l, tab.Stats()
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("%s holds %v, error %v; want nothing", dir, names, err)
	}
}

// affine is x -> m*x + c. Composing is associative and not commutative, so that a
// composition tells the order, not the way, in which its parts were combined.
type affine struct{ m, c uint64 }

func compose(a, b affine) affine { return affine{a.m * b.m, b.m*a.c + b.c} }

type affines struct{}

func (affines) Append(dst []byte, v affine) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, v.m), v.c)
}

func (affines) Decode(src []byte) (affine, error) {
	return affine{binary.BigEndian.Uint64(src), binary.BigEndian.Uint64(src[8:])}, nil
}

func TestFoldsFromTheLeftWhateverTheMemory(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	floats := make([]float64, 300000)
	affs := make([]affine, len(floats))
	for i := range floats {
		floats[i] = rng.NormFloat64() * float64(uint64(1)<<rng.Intn(60))
		affs[i] = affine{rng.Uint64() | 1, rng.Uint64()}
	}
	for name, keys := range keySets() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := map[string]affine{}
			for i, k := range keys {
				if a, ok := want[string(k)]; ok {
					want[string(k)] = compose(a, affs[i])
				} else {
					want[string(k)] = affs[i]
				}
			}
			names := slices.Sorted(maps.Keys(want))
			var sums list
			for i, memory := range memories {
				o := Options{Memory: memory, Dir: dir}
				s, _ := drainTable(t, o, sum[float64], float64s{}, keys, func(i int) float64 { return floats[i] })
				if i == 0 {
					sums = s
				}
				if !slices.Equal(s.values, sums.values) {
					t.Fatalf("memory %d: other sums than with memory %d", memory, memories[0])
				}
				m, _ := drainTable(t, o, compose, affines{}, keys, func(i int) affine { return affs[i] })
				if !slices.Equal(m.keys, names) || !slices.Equal(s.keys, names) {
					t.Fatalf("memory %d: %d and %d keys, want %d, or others", memory, len(m.keys), len(s.keys), len(names))
				}
				for i, k := range m.keys {
					if v, _ := (affines{}).Decode([]byte(m.values[i])); v != want[k] {
						t.Fatalf("memory %d: key %.40q was combined out of order", memory, k)
					}
				}
				wantEmpty(t, dir)
			}
		})
	}
}

func TestBufferIsStable(t *testing.T) {
	for name, keys := range keySets() {
		idx := make([]int, len(keys))
		for i := range idx {
			idx[i] = i
		}
		sort.SliceStable(idx, func(i, j int) bool { return bytes.Compare(keys[idx[i]], keys[idx[j]]) < 0 })
		for _, memory := range memories {
			t.Run(fmt.Sprintf("%s/%d", name, memory), func(t *testing.T) {
				dir := t.TempDir()
				b := NewBuffer(Options{Memory: memory, Dir: dir})
				for i, k := range keys {
					b.Add(k, fmt.Append(nil, i))
				}
				var got list
				if err := b.Drain(&got); err != nil {
					t.Fatal(err)
				}
				wantEmpty(t, dir)
				if len(got.keys) != len(keys) {
					t.Fatalf("%d records, want %d", len(got.keys), len(keys))
				}
				for i, j := range idx {
					if got.keys[i] != string(keys[j]) || got.values[i] != fmt.Sprint(j) {
						t.Fatalf("record %d is %.40q of place %s, want %.40q of place %d", i, got.keys[i], got.values[i], keys[j], j)
					}
				}
			})
		}
	}
}

// colliding returns keys whose hashes begin with the same 16 bits.
func colliding(n int) [][]byte {
	var keys [][]byte
	for x := uint64(1); len(keys) < n; x++ {
		if hashShort(x, 0, 8)>>48 == 7 {
			keys = append(keys, binary.BigEndian.AppendUint64(nil, x))
		}
	}
	return keys
}

func TestCollidingKeys(t *testing.T) {
	set := colliding(64 * ways)
	var keys [][]byte
	rng := rand.New(rand.NewSource(9))
	for range 40000 {
		keys = append(keys, set[rng.Intn(len(set))])
	}
	got, st := drainTable(t, Options{}, sum[int64], int64s{}, keys, func(int) int64 { return 1 })
	if st.Evicted <= int64(len(set)) {
		t.Errorf("%d records of %d passed the table by: the keys don't collide", st.Evicted, len(keys))
	}
	total := int64(0)
	for _, v := range got.values {
		n, _ := int64s{}.Decode([]byte(v))
		total += n
	}
	if len(got.keys) != len(set) || total != int64(len(keys)) {
		t.Errorf("%d keys with %d records, want %d with %d", len(got.keys), total, len(set), len(keys))
	}
}

func TestHugeRecords(t *testing.T) {
	huge := bytes.Repeat([]byte("k"), 9<<20+3)
	for _, memory := range []int64{1, 1 << 30} {
		dir := t.TempDir()
		o := Options{Memory: memory, Dir: dir}
		tab := NewTable(o, sum[int64], int64s{})
		buf := NewBuffer(o)
		for range 2 {
			tab.Add(huge, 1)
			tab.Add([]byte("a"), 1)
			buf.Add([]byte("z"), nil)
			buf.Add(huge[:40], huge)
		}
		var fromTable, fromBuffer list
		if err := errors.Join(tab.Drain(&fromTable), buf.Drain(&fromBuffer)); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, dir)
		if !slices.Equal(fromTable.keys, []string{"a", string(huge)}) || fromTable.values[1] != "\x04" {
			t.Errorf("memory %d: table lost a huge record", memory)
		}
		short := string(huge[:40])
		if !slices.Equal(fromBuffer.keys, []string{short, short, "z", "z"}) || fromBuffer.values[1] != string(huge) {
			t.Errorf("memory %d: buffer lost a huge record", memory)
		}
	}
}

func TestSizerBoundsTheTable(t *testing.T) {
	tab := NewTable(Options{}, func(a, b string) string { return a + b }, Codec[string](texts{}))
	const records = 300
	v := strings.Repeat("x", 100<<10)
	for i := range records {
		tab.Add([]byte("key"), v)
		if tab.heap > 4*heapMax || tab.batch.heap > heapMax {
			t.Fatalf("after %d records the table holds %d bytes, its batch %d", i+1, tab.heap, tab.batch.heap)
		}
	}
	var got list
	if err := tab.Drain(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.values) != 1 || len(got.values[0]) != records*len(v) {
		t.Errorf("%d keys, the first with %d bytes", len(got.values), len(got.values[0]))
	}
}

func TestSpillErrorsComeOutOfDrain(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	tab := NewTable(Options{Memory: 1, Dir: missing}, sum[int64], int64s{})
	buf := NewBuffer(Options{Memory: 1, Dir: missing})
	for i := range 300000 {
		k := fmt.Appendf(nil, "key-%d", i)
		tab.Add(k, 1)
		buf.Add(k, k)
	}
	for _, err := range []error{tab.Drain(&list{}), buf.Drain(&list{})} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(fmt.Sprint(err), missing) {
			t.Errorf("error %v, want one about %s", err, missing)
		}
	}
	if buf.arena.held != 0 || buf.entries != nil {
		t.Error("a drained buffer holds memory")
	}
}

// closeUnder makes the next access to the buffer's temporary file fail.
func closeUnder(t *testing.T, b *Buffer) {
	t.Helper()
	if b.spill.file == nil {
		t.Fatal("nothing was spilled")
	}
	b.spill.file.Close()
}

func TestFailingTemporaryFile(t *testing.T) {
	filled := func() *Buffer {
		b := NewBuffer(Options{Memory: 1, Dir: t.TempDir()})
		for i := range 20000 {
			b.Add(fmt.Appendf(nil, "key-%d", i), nil)
		}
		return b
	}
	b := filled()
	closeUnder(t, b)
	if err := b.Drain(&list{}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reading a closed file: %v", err)
	}
	b = filled()
	if _, err := b.spill.file.WriteAt([]byte{0xff}, b.segs[0].off+100); err != nil {
		t.Fatal(err)
	}
	if err := b.Drain(&list{}); !errors.Is(err, errFrame) {
		t.Errorf("reading changed bytes: %v", err)
	}
	b = filled()
	if err := b.spill.file.Truncate(b.spill.size / 2); err != nil {
		t.Fatal(err)
	}
	if err := b.Drain(&list{}); err == nil {
		t.Error("reading a truncated file: no error")
	}
}

type failing struct{ left int }

var errSink = errors.New("the sink is full")

func (f *failing) Record(key, value []byte) error {
	if f.left--; f.left < 0 {
		return errSink
	}
	return nil
}

func TestSinkErrorsEndDrain(t *testing.T) {
	for _, memory := range memories {
		dir := t.TempDir()
		o := Options{Memory: memory, Dir: dir}
		tab, buf := NewTable(o, sum[int64], int64s{}), NewBuffer(o)
		for i := range 10000 {
			k := fmt.Append(nil, i)
			tab.Add(k, 1)
			buf.Add(k, k)
		}
		if err := tab.Drain(&failing{50}); err != errSink {
			t.Errorf("table: %v", err)
		}
		if err := buf.Drain(&failing{50}); err != errSink {
			t.Errorf("buffer: %v", err)
		}
		if tab.Drain(&list{}) != errDone || buf.Drain(&list{}) != errDone {
			t.Error("drained twice")
		}
		tab.Discard()
		buf.Discard()
		wantEmpty(t, dir)
	}
}

func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	tab := NewTable(Options{Memory: 1, Dir: dir}, sum[int64], int64s{})
	for i := range 200000 {
		tab.Add(fmt.Append(nil, i), 1)
	}
	f := tab.buf.spill.file
	if f == nil {
		t.Fatal("nothing was spilled")
	}
	tab.Discard()
	tab.Discard()
	wantEmpty(t, dir)
	if _, err := f.Stat(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("the temporary file is open: %v", err)
	}
}

func TestMemoryIsABudget(t *testing.T) {
	const memory = 1 << 20
	b := NewBuffer(Options{Memory: memory, Dir: t.TempDir()})
	for i := range 200000 {
		b.Add(fmt.Append(nil, i), make([]byte, i%200))
		free := 0
		for _, c := range b.arena.free {
			free += len(c)
		}
		if held := b.held() + int64(free); held > memory+memory/8 {
			t.Fatalf("after %d records %d bytes are held", i+1, held)
		}
	}
	if st := b.Stats(); st.Segments < 5 || st.RecordsIn != 200000 {
		t.Errorf("stats %+v", st)
	}
	if _, err := b.merged(); err != nil {
		t.Fatal(err)
	}
	if held := b.held() + int64(len(b.segs))*frameLen; held > memory || len(b.arena.free) > 0 {
		t.Errorf("the merge holds %d bytes, and %d free chunks", held, len(b.arena.free))
	}
	b.Discard()
}

func TestStats(t *testing.T) {
	keys := keySets()["zipf"]
	var bytesIn int64
	for _, k := range keys {
		bytesIn += int64(len(k))
	}
	got, st := drainTable(t, Options{Memory: 1, Dir: t.TempDir()}, sum[int64], int64s{}, keys, func(int) int64 { return 1 })
	if st.RecordsIn != int64(len(keys)) || st.BytesIn != bytesIn || st.RecordsOut != int64(len(got.keys)) {
		t.Errorf("stats %+v of %d records, %d bytes, %d keys", st, len(keys), bytesIn, len(got.keys))
	}
	if st.Evicted <= st.RecordsOut || st.Segments == 0 || st.Spilled == 0 {
		t.Errorf("stats %+v: nothing was evicted or spilled", st)
	}
}

// TestSpansAreAdds adds the same words in both ways, up to the last byte of the text.
func TestSpansAreAdds(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	var text []byte
	var spans []uint32
	for range 200000 {
		start := len(text)
		n := rng.Intn(12)
		if rng.Intn(20) == 0 {
			n = rng.Intn(60)
		}
		for range n {
			text = append(text, "ab\x00\xff"[rng.Intn(4)])
		}
		spans = append(spans, uint32(start), uint32(len(text)))
	}
	text = slices.Clip(text)
	one, many := NewTable(Options{}, sum[int64], int64s{}), NewTable(Options{}, sum[int64], int64s{})
	for i := 0; i < len(spans); i += 2 {
		one.Add(text[spans[i]:spans[i+1]], 3)
	}
	many.AddSpans(text, spans[:len(spans)/4*2], 3)
	many.AddSpans(text, spans[len(spans)/4*2:], 3)
	var a, b list
	if err := errors.Join(one.Drain(&a), many.Drain(&b)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.keys, b.keys) || !slices.Equal(a.values, b.values) || one.Stats() != many.Stats() {
		t.Errorf("%+v, one by one %+v", many.Stats(), one.Stats())
	}
}

// lend is an Options.Spare that always has a core.
func lend() (func(), bool) { return func() {}, true }

func TestTablesDrainAsOne(t *testing.T) {
	for name, keys := range keySets() {
		want, _ := drainTable(t, Options{Dir: t.TempDir()}, sum[int64], int64s{}, keys, func(i int) int64 { return int64(i) })
		for _, memory := range memories {
			dir := t.TempDir()
			var tables [3]*Table[int64]
			for i := range tables {
				tables[i] = NewTable(Options{Memory: memory, Dir: dir, Spare: lend}, sum[int64], int64s{})
			}
			for i, k := range keys {
				tables[i*i%7%3].Add(k, int64(i))
			}
			var got list
			if err := tables[0].Drain(&got, tables[1:]...); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, dir)
			if !slices.Equal(got.keys, want.keys) || !slices.Equal(got.values, want.values) {
				t.Errorf("%s, memory %d: %d records, not the %d of one table", name, memory, len(got.keys), len(want.keys))
			}
			for _, table := range tables[1:] {
				if err := table.Drain(&got); err == nil {
					t.Errorf("%s: a table was drained twice", name)
				}
			}
		}
	}
}

// Two cores sort as one does: equal keys stay in order.
func TestSortOnTwoCoresIsStable(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	one, two := NewBuffer(Options{}), NewBuffer(Options{Spare: lend})
	for i := range 3 * sharedLen {
		k := fmt.Appendf(nil, "%d%s", rng.Intn(sharedLen), strings.Repeat("tail", rng.Intn(6)))
		one.Add(k, fmt.Append(nil, i))
		two.Add(k, fmt.Append(nil, i))
	}
	var want, got list
	if err := errors.Join(one.Drain(&want), two.Drain(&got)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.keys, want.keys) || !slices.Equal(got.values, want.values) {
		t.Error("two cores sort otherwise than one")
	}
}
