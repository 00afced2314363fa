package input

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// recordStarts is the naive definition of records that the tests compare with: the offsets
// at which records of data begin, and the end of data.
func recordStarts(data []byte, f mr.Format) []int64 {
	var starts []int64
	switch f.Kind {
	case mr.Whole:
		starts = []int64{0}
	case mr.Fixed:
		for i := 0; i < len(data); i += f.N {
			starts = append(starts, int64(i))
		}
	case mr.Text:
		begin := true
		for i, c := range data {
			if begin {
				starts = append(starts, int64(i))
			}
			begin = c == '\n'
		}
	}
	return append(starts, int64(len(data)))
}

// wantRange is the naive content of a range: the records that begin in [a, b).
func wantRange(data []byte, starts []int64, a, b int64) (content []byte, start int64) {
	i, _ := slices.BinarySearch(starts, a)
	j, _ := slices.BinarySearch(starts, b)
	if starts[i] >= b {
		return nil, b
	}
	return data[starts[i]:starts[j]], starts[i]
}

func checkBlocks(t *testing.T, blocks []mr.Block, data []byte, f mr.Format, off int64) {
	t.Helper()
	for i, b := range blocks {
		end := b.Off + int64(len(b.Data))
		switch {
		case b.Off != off:
			t.Fatalf("block %d begins at %d, want %d", i, b.Off, off)
		case len(b.Data) == 0 && f.Kind != mr.Whole:
			t.Fatalf("block %d is empty", i)
		case b.Last != (end == int64(len(data))):
			t.Fatalf("block %d ends at %d of %d: Last is %v", i, end, len(data), b.Last)
		case f.Kind == mr.Text && !b.Last && b.Data[len(b.Data)-1] != '\n':
			t.Fatalf("block %d does not end with a line", i)
		case f.Kind == mr.Fixed && len(b.Data)%f.N != 0:
			t.Fatalf("block %d holds %d bytes, not records of %d", i, len(b.Data), f.N)
		}
		off = end
	}
}

// TestEachRecordInOneSplit cuts random files at random sizes: every split must hold exactly
// the records that begin in its range, in memory and streamed alike, and splits must have
// equal digests if and only if they have equal bytes.
func TestEachRecordInOneSplit(t *testing.T) {
	dir := t.TempDir()
	seen := map[mr.Digest]string{}
	bytesOf := map[string]mr.Digest{}
	for seed := range uint64(48) {
		r := random(seed)
		f, data, size := randomFile(r)
		path := write(t, filepath.Join(dir, fmt.Sprint(seed)), data)
		var all []byte
		starts := recordStarts(data, f)
		splits := splitsOf(t, CutOptions{SplitSize: size, Format: f}, path)
		for _, s := range splits {
			p := s.Pieces[0]
			want, start := wantRange(data, starts, p.start(), p.end())
			blocks, digest, at := readSplit(t, s, Options{Format: f})
			got := concat(blocks)
			if !bytes.Equal(got, want) || at != start {
				t.Fatalf("seed %d, %s, %s: %d bytes at %d, want %d at %d", seed, f, s, len(got), at, len(want), start)
			}
			checkBlocks(t, blocks, data, f, start)
			streamed, digest2, at2 := readSplit(t, s, Options{Format: f, Buffer: 1})
			if !bytes.Equal(concat(streamed), want) || digest2 != digest || at2 != at {
				t.Fatalf("seed %d, %s, %s: streamed bytes differ", seed, f, s)
			}
			if !slices.Equal(ends(blocks), ends(streamed)) {
				t.Fatalf("seed %d, %s, %s: streamed blocks end elsewhere", seed, f, s)
			}
			checkBlocks(t, streamed, data, f, start)
			if old, ok := seen[digest]; ok && old != string(got) {
				t.Fatalf("seed %d: two contents have digest %s", seed, digest)
			}
			if old, ok := bytesOf[string(got)]; ok && old != digest {
				t.Fatalf("seed %d: one content has digests %s and %s", seed, old, digest)
			}
			seen[digest], bytesOf[string(got)] = string(got), digest
			all = append(all, got...)
		}
		if !bytes.Equal(all, data) {
			t.Fatalf("seed %d: the splits' bytes are not the file's", seed)
		}
	}
}

// ends lists where blocks end.
func ends(blocks []mr.Block) []int64 {
	var ends []int64
	for _, b := range blocks {
		ends = append(ends, b.Off+int64(len(b.Data)))
	}
	return ends
}

// randomFile returns a format, a file of it and a split size.
func randomFile(r *rand.Rand) (f mr.Format, data []byte, size int64) {
	n := []int{1, 50, 5_000, 400_000, 2_500_000}[r.IntN(5)]
	size = int64(n/(1+r.IntN(12)) + 1 + r.IntN(20))
	if r.IntN(4) == 0 {
		width := 1 + r.IntN(300)
		f = mr.Format{Kind: mr.Fixed, N: width}
		data = text(r, n, 10)
		return f, data[:len(data)/width*width], size
	}
	data = text(r, n, []int{0, 3, 80, 5_000, 300_000}[r.IntN(5)])
	switch r.IntN(4) {
	case 0: // no final newline
		data = bytes.TrimRight(data, "\n")
	case 1: // a line that spans many splits
		at := r.IntN(len(data))
		data = slices.Concat(data[:at], bytes.Repeat([]byte{'x'}, n), data[at:])
	}
	return f, data, size
}

func TestDigestFollowsBytes(t *testing.T) {
	dir := t.TempDir()
	data := text(random(1), 200_000, 60)
	path := write(t, filepath.Join(dir, "a"), data)
	o := CutOptions{SplitSize: 10_000}
	before := digests(t, path, o)
	for _, at := range []int{0, 9_999, 10_000, 123_456, len(data) - 1} {
		changed := bytes.Clone(data)
		changed[at] ^= 0x80
		after := digests(t, write(t, filepath.Join(dir, "b"), changed), o)
		differ := 0
		for i := range before {
			if before[i] != after[i] {
				differ++
			}
		}
		if differ < 1 || differ > 2 { // two when a line end comes or goes
			t.Errorf("byte %d changed: %d digests differ", at, differ)
		}
	}
	if copied := digests(t, write(t, filepath.Join(dir, "sub", "c"), data), o); !slices.Equal(copied, before) {
		t.Error("a copy has other digests")
	}
}

func digests(t *testing.T, path string, o CutOptions) []mr.Digest {
	t.Helper()
	var d []mr.Digest
	for _, s := range splitsOf(t, o, path) {
		l := loadSplit(t, s, Options{Format: o.Format})
		d = append(d, l.Digest())
		l.Close()
	}
	return d
}

// TestAppendKeepsEarlierDigests is what makes an append cost its tail only.
func TestAppendKeepsEarlierDigests(t *testing.T) {
	dir := t.TempDir()
	data := text(random(2), 300_000, 100)
	o := CutOptions{SplitSize: 16_384}
	before := digests(t, write(t, filepath.Join(dir, "log"), data), o)
	data = append(data, text(random(3), 50_000, 100)...)
	after := digests(t, write(t, filepath.Join(dir, "log"), data), o)
	if n := len(before) - 1; !slices.Equal(before[:n], after[:n]) {
		t.Error("an append changed a digest before the last range")
	}
	if len(after) <= len(before) {
		t.Errorf("%d splits before, %d after", len(before), len(after))
	}
}

// TestSameBytesElsewhere shows why Positions hashes the start found by reading: the line
// before the range grew by one byte, and neither the range nor its bytes changed.
func TestSameBytesElsewhere(t *testing.T) {
	dir := t.TempDir()
	tail := strings.Repeat("x", 30) + "\n" + strings.Repeat("y", 100)
	read := func(name string, first int) (mr.Digest, mr.Digest) {
		path := write(t, filepath.Join(dir, name, "f"), []byte(strings.Repeat("a", first)+"\n"+tail))
		f := list(t, path)[0]
		s := Split{Pieces: []Piece{{Path: "f", Off: 50, Len: 1000, Stamp: f.Stamp}}}
		pos := s
		s.Pieces = []Piece{s.Pieces[0]}
		s.Pieces[0].Path = path
		l := loadSplit(t, s, Options{})
		defer l.Close()
		return l.Digest(), pos.Positions(l.Start())
	}
	d1, p1 := read("1", 55)
	d2, p2 := read("2", 56)
	if d1 != d2 {
		t.Fatal("equal bytes, but the digests differ")
	}
	if p1 == p2 {
		t.Fatal("the records lie elsewhere, but the positions are equal")
	}
}

// TestLongLineIsReadOnce: the ranges inside a long line belong to the range it begins in,
// and cost no more than reading them.
func TestLongLineIsReadOnce(t *testing.T) {
	const size = 10 << 20
	data := append(bytes.Repeat([]byte{'x'}, size), "\nnext\n"...)
	path := write(t, filepath.Join(t.TempDir(), "long"), data)
	var total int64
	records := 0
	for _, s := range splitsOf(t, CutOptions{SplitSize: 16 << 10}, path) {
		l := loadSplit(t, s, Options{})
		total += l.Read()
		blocks, err := drain(l.Blocks(context.Background()))
		if err != nil {
			t.Fatal(err)
		}
		records += bytes.Count(concat(blocks), []byte{'\n'})
		l.Close()
	}
	if records != 2 {
		t.Errorf("%d lines, want 2", records)
	}
	if total > 2*size+size/8 {
		t.Errorf("%d bytes were read of a file of %d", total, size)
	}
}

// A long line at the end of a file takes no more memory than the file, but for the steps of the sizes of buffers.
func TestLongLineTakesItsLength(t *testing.T) {
	const size = 11 << 20
	path := write(t, filepath.Join(t.TempDir(), "long"), bytes.Repeat([]byte{'x'}, size))
	l := loadSplit(t, splitsOf(t, CutOptions{SplitSize: 8 << 20}, path)[0], Options{})
	defer l.Close()
	if l.Stored() != size {
		t.Fatalf("%d bytes were read, want %d", l.Stored(), size)
	}
	if len(l.buf) > size/2*3 {
		t.Errorf("a buffer of %d bytes for a line of %d", len(l.buf), size)
	}
}

func TestRecordLimit(t *testing.T) {
	dir := t.TempDir()
	line := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name, data string
		limit      int64
		at         string // offset named, or empty: no error
	}{
		{"exact", "a\n" + line + "\nb\n", 1000, ""},
		{"beyond", "a\n" + line + "\nb\n", 999, "offset 2 "},
		{"exact at the end", "a\n" + line, 1000, ""},
		{"beyond at the end", "a\n" + line, 999, "offset 2 "},
		{"in the middle", strings.Repeat("ab\n", 500_000) + line + "\n" + strings.Repeat("ab\n", 500_000), 900, "offset 1500000 "},
	} {
		path := write(t, filepath.Join(dir, c.name), []byte(c.data))
		for _, cutSize := range []int64{1 << 30, 600} {
			if cutSize == 600 && len(c.data) > 5000 {
				continue
			}
			for _, buffer := range []int64{0, 1} {
				var errs []error
				for _, s := range splitsOf(t, CutOptions{SplitSize: cutSize}, path) {
					l, err := Load(context.Background(), s, Options{RecordLimit: c.limit, Buffer: buffer})
					if err == nil {
						_, err = drain(l.Blocks(context.Background()))
						l.Close()
					}
					if err != nil {
						errs = append(errs, err)
					}
				}
				if c.at == "" {
					if len(errs) > 0 {
						t.Errorf("%s: %v", c.name, errs)
					}
					continue
				}
				if len(errs) != 1 {
					t.Fatalf("%s, splits of %d: %d errors, want 1: %v", c.name, cutSize, len(errs), errs)
				}
				checkFailure(t, errs[0], c.at, path, "--record-limit")
			}
		}
	}
}

func TestWholeFormat(t *testing.T) {
	dir := t.TempDir()
	f := mr.Format{Kind: mr.Whole}
	write(t, filepath.Join(dir, "a"), nil)
	write(t, filepath.Join(dir, "b"), []byte("no\nend"))
	write(t, filepath.Join(dir, "c"), bytes.Repeat([]byte("0123456789abcdef"), 200_000))
	write(t, filepath.Join(dir, "d"), gzipped(nil))
	splits := splitsOf(t, CutOptions{Format: f, SplitSize: 1 << 20}, dir)
	for _, buffer := range []int64{0, 1} {
		var got []string
		for _, s := range splits {
			blocks, _, _ := readSplit(t, s, Options{Format: f, Buffer: buffer})
			for _, b := range blocks {
				if b.Off != 0 || !b.Last {
					t.Errorf("%s: Off %d, Last %v", b.Path, b.Off, b.Last)
				}
				got = append(got, fmt.Sprintf("%s %d", filepath.Base(b.Path), len(b.Data)))
			}
		}
		if want := []string{"a 0", "b 6", "c 3200000", "d 0"}; !slices.Equal(got, want) {
			t.Errorf("buffer %d: records %v, want %v", buffer, got, want)
		}
		failure(t, kernel{}, wholeSplit(t, filepath.Join(dir, "c")), Options{Format: f, RecordLimit: 3_199_999, Buffer: buffer}, "--record-limit")
	}
	path := write(t, filepath.Join(dir, "e"), gzipped(make([]byte, 5<<20)))
	failure(t, kernel{}, wholeSplit(t, path), Options{Format: f, RecordLimit: 5<<20 - 1}, "--record-limit")
}

func TestTornRecord(t *testing.T) {
	dir := t.TempDir()
	f := mr.Format{Kind: mr.Fixed, N: 100}
	path := write(t, filepath.Join(dir, "torn"), make([]byte, 1050))
	for _, buffer := range []int64{0, 1} {
		for _, size := range []int64{300, 10_000} {
			splits := splitsOf(t, CutOptions{SplitSize: size, Format: f}, path)
			failure(t, kernel{}, splits[len(splits)-1], Options{Format: f, Buffer: buffer}, "offset 1000 ", "50 bytes of 100", "fixed:100")
		}
	}
	gz := write(t, filepath.Join(dir, "torn.gz"), gzipped(make([]byte, 1050)))
	failure(t, kernel{}, wholeSplit(t, gz), Options{Format: f}, "offset 1000 ")
	if blocks, _, _ := readSplit(t, wholeSplit(t, write(t, filepath.Join(dir, "big"), make([]byte, 9<<20))),
		Options{Format: mr.Format{Kind: mr.Fixed, N: 3 << 20}, Buffer: 1}); len(concat(blocks)) != 9<<20 {
		t.Error("records longer than a block are lost")
	}
}

func TestEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), nil)
	write(t, filepath.Join(dir, "b"), []byte("x\n"))
	write(t, filepath.Join(dir, "c"), nil)
	for _, buffer := range []int64{0, 1} {
		s := splitsOf(t, CutOptions{}, dir)[0]
		if len(s.Pieces) != 3 {
			t.Fatalf("%d pieces, want 3", len(s.Pieces))
		}
		blocks, _, _ := readSplit(t, s, Options{Buffer: buffer})
		if len(blocks) != 1 || string(blocks[0].Data) != "x\n" || !blocks[0].Last {
			t.Errorf("blocks %v, want one of x", blocks)
		}
	}
}

// TestSizeZeroIsChecked: the files of /proc have bytes and say that they have none.
func TestSizeZeroIsChecked(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), []byte("x\n"))
	s := wholeSplit(t, path)
	s.Pieces[0].Stamp.Size = 0
	for _, buffer := range []int64{0, 1} {
		failure(t, &meddler{stamp: &s.Pieces[0].Stamp}, s, Options{Buffer: buffer}, "size is 0")
	}
}

func TestPackStructureIsIdentity(t *testing.T) {
	dir := t.TempDir()
	read := func(name string, files ...string) mr.Digest {
		for i, data := range files {
			write(t, filepath.Join(dir, name, fmt.Sprint(i)), []byte(data))
		}
		l := loadSplit(t, splitsOf(t, CutOptions{}, filepath.Join(dir, name))[0], Options{})
		defer l.Close()
		return l.Digest()
	}
	one := read("one", "ab\ncd\n")
	if two := read("two", "ab\n", "cd\n"); two == one {
		t.Error("two files have the digest of one")
	}
	if again := read("again", "ab\ncd\n"); again != one {
		t.Error("the same file elsewhere has another digest")
	}
	// A range of a plain file that looks like gzip is not the gzip file of the same bytes.
	gz := gzipped([]byte("hidden\n"))
	path := write(t, filepath.Join(dir, "range"), append([]byte("first\n"), gz...))
	f := list(t, path)[0]
	l := loadSplit(t, Split{Pieces: []Piece{{Path: path, Off: 6, Len: f.Stamp.Size - 6, Stamp: f.Stamp}}}, Options{})
	defer l.Close()
	if l.Stored() != int64(len(gz)) {
		t.Fatalf("the range holds %d bytes, want %d", l.Stored(), len(gz))
	}
	if packed := read("packed", string(gz)); packed == l.Digest() {
		t.Error("plain bytes have the digest of a compressed file")
	}
}

func TestClosedAndCancelled(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "a"), text(random(1), 3<<20, 50))
	s := wholeSplit(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	for _, buffer := range []int64{0, 1} {
		l := loadSplit(t, s, Options{Buffer: buffer})
		r, c := l.Blocks(context.Background()), l.Blocks(ctx)
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		l.Close()
		for _, r := range []mr.BlockReader{r, l.Blocks(context.Background())} {
			if b, err := r.Next(); err == nil || len(b.Data) > 0 {
				t.Errorf("a closed split gave a block, error %v", err)
			}
		}
	}
	l := loadSplit(t, s, Options{Buffer: 1})
	defer l.Close()
	r := l.Blocks(ctx)
	cancel()
	if _, err := r.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("blocks: error %v, want cancelled", err)
	}
	if _, err := Load(ctx, s, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("load: error %v, want cancelled", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{RecordLimit: -1}, {Buffer: -1}, {Format: mr.Format{Kind: mr.Fixed}}} {
		if _, err := Load(context.Background(), Split{}, o); !errors.Is(err, mr.ErrUsage) {
			t.Errorf("%+v: error %v, want usage", o, err)
		}
	}
	for _, o := range []CutOptions{{SplitSize: -1}, {Format: mr.Format{Kind: mr.Fixed}}} {
		if _, err := Cut(t.Context(), nil, o); !errors.Is(err, mr.ErrUsage) {
			t.Errorf("%+v: error %v, want usage", o, err)
		}
	}
}
