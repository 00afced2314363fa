package run

import (
	"bytes"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Huge keys and values, with what shares bytes with them before and behind, come back as they were, and
// blocks begin at the keys at which they began when each key was copied in full.
func TestHugeKeys(t *testing.T) {
	a, b, c := strings.Repeat("a", keepMax+77), strings.Repeat("b", keepMax), strings.Repeat("c", 5)
	noise := make([]byte, keepMax+1)
	rand.New(rand.NewSource(1)).Read(noise)
	recs := []record{
		{a[:separatorMax-1], "1"}, {a[:separatorMax], "2"}, {a[:separatorMax+1], ""}, {a[:separatorMax+2], ""}, {a[:len(a)-1], "x"}, {a, ""}, {a, "y"}, {a + "b", ""},
		{b, string(noise)}, {b, string(noise)}, {b + "b", strings.Repeat("v", 200)}, {c, ""}, {"d" + string(noise), ""}, {"d" + string(noise) + "d", b}, {"e", ""},
	}
	if !slices.IsSortedFunc(recs, func(a, b record) int { return strings.Compare(a.key, b.key) }) {
		t.Fatal("the test's records are not sorted")
	}
	for _, size := range []int{1, 128 << 10, 16 << 20} {
		blobs, _ := write(t, recs, Options{BlockSize: size})
		ix := blobs.index(t)
		if got := read(t, NewReader(blobs, ix, nil, nil)); !slices.Equal(got, recs) {
			t.Errorf("blocks of %d: other records", size)
		}
		if err := Verify(blobs, len(blobs)); err != nil { // which compares each block's key with separator's of the whole keys
			t.Errorf("blocks of %d: %v", size, err)
		}
		for i, r := range recs {
			if size != 1 && i%4 > 0 {
				continue
			}
			from := slices.IndexFunc(recs, func(o record) bool { return o.key >= r.key })
			if got := read(t, NewReader(blobs, ix, []byte(r.key), nil)); !slices.Equal(got, recs[from:]) {
				t.Errorf("blocks of %d, from a key of %d bytes on: %d records, want %d", size, len(r.key), len(got), len(recs[from:]))
			}
		}
	}
}

func TestSeparatorOfPrefixes(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	for range 3000 {
		first := bytes.Repeat([]byte("k"), separatorMax-3+rng.Intn(8))
		last := bytes.Clone(first[:len(first)-min(len(first), rng.Intn(4))])
		if rng.Intn(2) == 0 {
			last[rng.Intn(len(last))]-- // still not above first
		}
		key, overlap := separator(last, first)
		cut := func(b []byte) []byte { return b[:min(len(b), separated)] }
		if k, o := separator(cut(last), cut(first)); !bytes.Equal(k, key) || o != overlap {
			t.Fatalf("of keys of %d and %d bytes: %d bytes, %v; of their prefixes %d, %v", len(last), len(first), len(key), overlap, len(k), o)
		}
	}
}

// discarding takes blocks and keeps nothing.
type discarding struct{}

func (discarding) WriteBlock([]byte) error { return nil }

// A huge record is in memory as it was given, framed and compressed, and once more for whoever reads it, whether
// the key is huge or the value.
func TestHugeRecordsAreCopiedOnce(t *testing.T) {
	const size = 32 << 20
	huge := make([]byte, size)
	rand.New(rand.NewSource(3)).Read(huge)
	allocated := func(f func()) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / size
	}
	for name, r := range map[string]struct{ key, value []byte }{"key": {huge, nil}, "key, and a value": {huge, make([]byte, 9000)}, "value": {nil, huge}} {
		n := allocated(func() {
			w := NewWriter(discarding{}, Options{})
			if err := w.Record(r.key, r.value); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
		})
		if n > 2.6 { // s2 wants a sixth more than its input
			t.Errorf("writing a huge %s takes %.1f times its size", name, n)
		}
		b, _ := write(t, []record{{string(r.key), string(r.value)}}, Options{})
		n = allocated(func() {
			in := NewReader(b, b.index(t), nil, nil)
			if !in.Next() || !bytes.Equal(in.Key(), r.key) || !bytes.Equal(in.Value(), r.value) || in.Next() {
				t.Errorf("a huge %s: other records", name)
			}
		})
		if n > 1.5 {
			t.Errorf("reading a huge %s takes %.1f times its size", name, n)
		}
	}
}
