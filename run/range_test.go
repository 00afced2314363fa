package run

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/collect"
)

func inRange(recs []record, lo, hi []byte) []record {
	var in []record
	for _, r := range recs {
		if (lo == nil || r.key >= string(lo)) && (hi == nil || r.key < string(hi)) {
			in = append(in, r)
		}
	}
	return in
}

// cutsOf returns keys worth cutting at: those of the index, real ones, and their
// neighbours.
func cutsOf(ix *Index, recs []record) [][]byte {
	cuts := [][]byte{nil, {}, {0}, bytes.Repeat([]byte{0xff}, 5)}
	for i := range ix.Blocks {
		if i%(len(ix.Blocks)/4+1) == 0 {
			k := ix.Blocks[i].FirstKey
			cuts = append(cuts, k, append(bytes.Clone(k), 0))
		}
	}
	for i := 0; i < len(recs); i += len(recs)/4 + 1 {
		k := []byte(recs[i].key)
		cuts = append(cuts, k, append(bytes.Clone(k), 'x'))
	}
	return cuts
}

func TestRanges(t *testing.T) {
	for name, recs := range recordSets() {
		testRanges(t, name, recs, 1)
		testRanges(t, name+" in blocks of several chunks", recs, 0)
	}
}

func testRanges(t *testing.T, name string, recs []record, blockSize int) {
	t.Run(name, func(t *testing.T) {
		b, _ := write(t, recs, Options{BlockSize: blockSize})
		ix := b.index(t)
		cuts := cutsOf(ix, recs)
		for i, lo := range cuts {
			for j, hi := range cuts {
				if (i+j)%5 > 0 { // every fifth pair meets every key from both sides
					continue
				}
				if lo != nil && hi != nil && bytes.Compare(lo, hi) > 0 {
					continue
				}
				got := read(t, NewReader(b, ix, lo, hi))
				if want := inRange(recs, lo, hi); !slices.Equal(got, want) {
					t.Fatalf("[%.40q, %.40q): %d records, want %d", lo, hi, len(got), len(want))
				}
			}
		}
	})
}

// counting counts the blocks read.
type counting struct {
	blobs
	reads int
}

func (c *counting) ReadBlock(i int, dst []byte) ([]byte, error) {
	c.reads++
	return c.blobs.ReadBlock(i, dst)
}

func TestCutsAtFirstKeysReadEveryBlockOnce(t *testing.T) {
	recs := recordSets()["words"]
	b, _ := write(t, recs, Options{BlockSize: 1})
	ix := b.index(t)
	src := &counting{blobs: b}
	var all []record
	var lo []byte
	for i := 1; i < len(ix.Blocks); i++ {
		if ix.Blocks[i].Overlap != Apart {
			continue
		}
		all = append(all, read(t, NewReader(src, ix, lo, ix.Blocks[i].FirstKey))...)
		lo = ix.Blocks[i].FirstKey
	}
	all = append(all, read(t, NewReader(src, ix, lo, nil))...)
	if !slices.Equal(all, recs) {
		t.Errorf("%d records, want %d", len(all), len(recs))
	}
	if src.reads != len(ix.Blocks) || len(ix.Blocks) < 8 {
		t.Errorf("%d reads of %d blocks", src.reads, len(ix.Blocks))
	}
}

func TestIndexIsSmall(t *testing.T) {
	for name, recs := range recordSets() {
		b, sum := write(t, recs, Options{BlockSize: 1})
		ix := b.index(t)
		if n := len(ix.append(nil)); n > 4096+len(ix.Blocks)*(separatorMax+64) {
			t.Errorf("%s: index of %d bytes for %d blocks", name, n, len(ix.Blocks))
		}
		if ix.Records != sum.Records || ix.RawBytes != sum.RawBytes || ix.Bytes+int64(len(b[len(b)-1])) != sum.Bytes {
			t.Errorf("%s: index %d %d %d, summary %+v", name, ix.Records, ix.RawBytes, ix.Bytes, sum)
		}
		for i, r := range recs {
			if r.key < string(ix.First) || r.key > string(ix.Last) {
				t.Errorf("%s: record %d with key %.40q lies outside [%.40q, %.40q]", name, i, r.key, ix.First, ix.Last)
			}
		}
	}
}

func TestUnsortedRunsKeepTheirOrder(t *testing.T) {
	recs := []record{{"b", "1"}, {"a", "2"}, {"", ""}, {"b", "3"}, {strings.Repeat("z", 100<<10), "4"}, {"c", "5"}}
	b, _ := write(t, recs, Options{Unsorted: true})
	ix := b.index(t)
	if got := read(t, NewReader(b, ix, nil, nil)); !slices.Equal(got, recs) {
		t.Errorf("read %.100q", got)
	}
	if err := Verify(b, len(b)); err != nil {
		t.Error(err)
	}
	if !ix.Unsorted {
		t.Error("the index says that the run is sorted")
	}
	r := NewReader(b, ix, []byte("a"), nil)
	if r.Next() || r.Err() == nil {
		t.Error("a range of an unsorted run was read")
	}
}

func TestWriterRefusesKeysOutOfOrder(t *testing.T) {
	for _, keys := range [][2]string{{"b", "a"}, {"aa", "a"}, {"a", ""}, {"\xff", "\x00"}, {"aaaaaaaaab", "aaaaaaaaaa"}} {
		w := NewWriter(new(blobs), Options{})
		if err := w.Record([]byte(keys[0]), nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Record([]byte(keys[1]), nil); err == nil {
			t.Errorf("%q after %q was taken", keys[1], keys[0])
		}
		if _, err := w.Close(); err == nil {
			t.Errorf("a run with %q after %q was closed", keys[1], keys[0])
		}
	}
}

type fullSink struct{ left int }

var errFull = errors.New("no space")

func (f *fullSink) WriteBlock([]byte) error {
	if f.left--; f.left < 0 {
		return errFull
	}
	return nil
}

func TestSinkErrorsReachTheCaller(t *testing.T) {
	recs := recordSets()["noise"]
	for left := range 3 {
		w := NewWriter(&fullSink{left}, Options{})
		var err error
		for _, r := range recs {
			if err = w.Record([]byte(r.key), []byte(r.value)); err != nil {
				break
			}
		}
		if _, closeErr := w.Close(); !errors.Is(closeErr, errFull) {
			t.Errorf("full after %d blobs: Record %v, Close %v", left, err, closeErr)
		}
	}
}

func TestDigestsTellRunsApart(t *testing.T) {
	seen := map[mr.Digest]string{}
	for _, recs := range [][]record{
		{}, {{"", ""}}, {{"", ""}, {"", ""}}, {{"a", ""}}, {{"", "a"}}, {{"a", "b"}}, {{"ab", ""}}, {{"a", ""}, {"b", ""}},
		{{"a", "b"}, {"a", "c"}}, {{"a", "c"}, {"a", "b"}}, {{"a", ""}, {"ab", ""}},
	} {
		_, sum := write(t, recs, Options{})
		name := fmt.Sprintf("%q", recs)
		if other, ok := seen[sum.Digest]; ok {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[sum.Digest] = name
	}
}

func TestNewMergeIsStable(t *testing.T) {
	var readers []collect.Cursor
	var want []record
	for i := range 5 {
		recs := []record{{"a", fmt.Sprint(i)}, {"b", fmt.Sprint(i)}}
		b, _ := write(t, recs, Options{})
		readers = append(readers, NewReader(b, b.index(t), nil, nil))
		want = append(want, recs...)
	}
	slices.SortStableFunc(want, func(a, b record) int { return strings.Compare(a.key, b.key) })
	if got := read(t, Merge(readers, false)); !slices.Equal(got, want) {
		t.Errorf("merged %q, want %q", got, want)
	}
}
