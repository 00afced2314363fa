package input

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// shelf is a device with one file, in memory.
type shelf struct {
	data  []byte
	stamp Stamp
}

func newShelf(data []byte) *shelf {
	return &shelf{data: data, stamp: Stamp{Dev: 1, Ino: 2, Size: int64(len(data)), Mtime: 3, Ctime: 3}}
}

func (s *shelf) open(string) (int, error)      { return 1, nil }
func (s *shelf) stat(int) (Stamp, bool, error) { return s.stamp, true, nil }
func (*shelf) calm(int, int64, int64)          {}

func (s *shelf) close(int) error { return nil }
func (s *shelf) read(_ int, p []byte, off int64) (int, error) {
	return copy(p, s.data[min(off, int64(len(s.data))):]), nil
}

// contentSplits cuts a file of the given bytes, and returns the bytes of each split.
func contentSplits(t testing.TB, data []byte, o CutOptions) []string {
	t.Helper()
	o.Chunking = Content
	dev := newShelf(data)
	splits, err := cut(t.Context(), []File{{Path: "/f", Stamp: dev.stamp}}, o, dev)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	off := int64(0)
	for _, s := range splits {
		p := s.Pieces[0]
		if len(s.Pieces) != 1 || !p.whole() && p.Off != off || p.end() <= off && len(data) > 0 {
			t.Fatalf("split %s begins at %d, want %d", s, p.start(), off)
		}
		off = p.end()
		all = append(all, string(data[p.start():off]))
	}
	if off != int64(len(data)) {
		t.Fatalf("the splits end at %d of %d", off, len(data))
	}
	return all
}

func logLines(seed uint64, n int) []byte {
	r := random(seed)
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, "10.0.%d.%d - - [22/Nov/2026:%02d:%02d:%02d] \"GET /%x HTTP/1.1\" 200 %d \"Mozilla/5.0\"\n",
			r.IntN(4), r.IntN(256), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1<<16), r.IntN(5000))
	}
	return b
}

// fresh counts the splits of b that are not in a.
func fresh(a, b []string) (n int) {
	have := map[string]bool{}
	for _, s := range a {
		have[s] = true
	}
	for _, s := range b {
		if !have[s] {
			n++
		}
	}
	return n
}

// TestContentCutsAreRecordEnds, whatever the file; splits have the sizes promised where
// there are records enough to choose from.
func TestContentCutsAreRecordEnds(t *testing.T) {
	for seed := range uint64(24) {
		r := random(seed)
		f, data, size := randomFile(r)
		splits := contentSplits(t, data, CutOptions{Format: f, SplitSize: size})
		for i, s := range splits {
			switch {
			case f.Kind == mr.Fixed && len(s)%f.N != 0:
				t.Fatalf("seed %d: split %d holds %d bytes, not records of %d", seed, i, len(s), f.N)
			case f.Kind == mr.Text && i < len(splits)-1 && s[len(s)-1] != '\n':
				t.Fatalf("seed %d: split %d does not end with a line", seed, i)
			}
		}
	}
	const size = 64 << 10
	var lens []int
	for _, s := range contentSplits(t, logLines(1, 8<<20), CutOptions{SplitSize: size}) {
		lens = append(lens, len(s))
	}
	slices.Sort(lens)
	if n := len(lens); lens[0] < size/2 || lens[n-1] > 2*size || n < 100 || n > 175 {
		t.Errorf("%d splits of %d to %d bytes, median %d", n, lens[0], lens[n-1], lens[n/2])
	}
}

// TestContentCutsDependOnNothingElse: neither on the segments nor on what reads return.
func TestContentCutsDependOnNothingElse(t *testing.T) {
	for seed := range uint64(12) {
		f, data, size := randomFile(random(seed))
		want := contentSplits(t, data, CutOptions{Format: f, SplitSize: size})
		for _, segment := range []int64{int64(len(data)/7 + 1), int64(len(data)/50 + 5000)} {
			if got := contentSplits(t, data, CutOptions{Format: f, SplitSize: size, segment: segment}); !slices.Equal(got, want) {
				t.Errorf("seed %d: segments of %d make other splits", seed, segment)
			}
		}
	}
}

// TestContentIsRead: what is loaded of a split is exactly its range.
func TestContentIsRead(t *testing.T) {
	data := text(random(1), 500_000, 60)
	path := write(t, filepath.Join(t.TempDir(), "f"), bytes.TrimRight(data, "\r\n"))
	for _, f := range []mr.Format{{}, {Kind: mr.Fixed, N: 1}} {
		o := CutOptions{SplitSize: 20_000, Chunking: Content, Format: f}
		splits := splitsOf(t, o, path)
		if len(splits) < 15 {
			t.Errorf("%d splits", len(splits))
		}
		for _, s := range splits {
			l := loadSplit(t, s, Options{Format: f})
			if p := s.Pieces[0]; l.Start() != p.Off || l.Stored() != p.Len {
				t.Errorf("%s: %d bytes at %d", s, l.Stored(), l.Start())
			}
			l.Close()
		}
	}
}

// TestOneLineDisturbsTwoSplits inserts, removes or changes a line, anywhere.
func TestOneLineDisturbsTwoSplits(t *testing.T) {
	for _, f := range []mr.Format{{}, {Kind: mr.Fixed, N: 80}, {Kind: mr.Fixed, N: 16}} {
		o := CutOptions{Format: f, SplitSize: 64 << 10}
		data := logLines(2, 3<<19)
		width := f.N
		if f.Kind == mr.Fixed {
			data = data[:len(data)/width*width]
		}
		before := contentSplits(t, data, o)
		r := random(3)
		total := 0
		trials := 200
		if f.Kind == mr.Fixed {
			trials = 60
		}
		for trial := range trials {
			at, n := r.IntN(len(data)), width
			line := logLines(uint64(trial)+10, 1)
			if f.Kind == mr.Fixed {
				at = at / width * width
				line = line[:width]
			} else {
				at = bytes.LastIndexByte(data[:at], '\n') + 1
				n = bytes.IndexByte(data[at:], '\n') + 1
			}
			var edited []byte
			switch trial % 4 {
			case 0, 1:
				edited = slices.Concat(data[:at], line, data[at:])
			case 2:
				edited = slices.Concat(data[:at], data[at+n:])
			case 3:
				edited = slices.Concat(data[:at], line, data[at+n:])
			}
			k := fresh(before, contentSplits(t, edited, o))
			if k > 2 {
				t.Errorf("%s: an edit at %d makes %d splits of %d new", f, at, k, len(before))
			}
			total += k
		}
		if mean := float64(total) / float64(trials); mean > 1.1 {
			t.Errorf("%s: an edit makes %.2f splits new on average", f, mean)
		}
	}
}

func TestContentAppendDisturbsTheTail(t *testing.T) {
	const size = 64 << 10
	o := CutOptions{SplitSize: size}
	data := logLines(4, 4<<20)
	for n := len(data) / 2; n < len(data)-size; n += 77_777 {
		n := bytes.LastIndexByte(data[:n], '\n') + 1
		before, after := contentSplits(t, data[:n], o), contentSplits(t, data[:n+size], o)
		same := 0
		for same < len(before) && before[same] == after[same] {
			same++
		}
		if gone := len(strings.Join(before[same:], "")); gone > 3*size || same < len(before)-3 {
			t.Errorf("an append makes %d splits new, %d bytes of what was there before", len(before)-same, gone)
		}
	}
}

// TestContentWithoutMarks: equal records give no cuts of their own, nor does one long line.
func TestContentWithoutMarks(t *testing.T) {
	const size = 10_000
	long := strings.Repeat("x", 30*size)
	for name, c := range map[string]struct {
		data string
		most int
		f    mr.Format
	}{
		"equal lines":   {strings.Repeat("the same\n", 20_000), 2*size + 20, mr.Format{}},
		"empty lines":   {strings.Repeat("\n", 200_000), 2 * size, mr.Format{}},
		"equal records": {strings.Repeat("\x00", 200_001), 2*size + 3, mr.Format{Kind: mr.Fixed, N: 3}},
		"one long line": {long, len(long), mr.Format{}},
		"and more":      {"a\n" + long + "\n" + strings.Repeat("b\n", 3*size), len(long) + 2*size, mr.Format{}},
	} {
		for _, s := range contentSplits(t, []byte(c.data), CutOptions{SplitSize: size, Format: c.f}) {
			if len(s) > c.most {
				t.Errorf("%s: a split of %d bytes", name, len(s))
			}
		}
	}
}

func TestCutsAreRemembered(t *testing.T) {
	dev := newShelf(logLines(5, 300_000))
	files := []File{{Path: "/f", Stamp: dev.stamp}}
	memo := map[mr.Digest][]int64{}
	o := CutOptions{
		SplitSize: 20_000, Chunking: Content,
		Known: func(k mr.Digest) ([]int64, bool) { c, ok := memo[k]; return c, ok },
		Found: func(k mr.Digest, cuts []int64) { memo[k] = slices.Clone(cuts) },
	}
	mustCut := func() []Split {
		t.Helper()
		splits, err := cut(t.Context(), files, o, dev)
		if err != nil {
			t.Fatal(err)
		}
		return splits
	}
	first := mustCut()
	for key, cuts := range memo {
		if len(cuts) != len(first)-1 || cuts[0] != first[1].Pieces[0].Off {
			t.Fatalf("cuts %v of %d splits", cuts, len(first))
		}
		dev.data = dev.data[:20] // only its beginning is read again
		if !slices.EqualFunc(mustCut(), first, func(a, b Split) bool { return a.Pieces[0] == b.Pieces[0] }) {
			t.Error("the cuts are others than those remembered")
		}
		o.SplitSize++
		if _, err := cut(t.Context(), files, o, dev); !errors.Is(err, ErrChanged) {
			t.Errorf("the file is shorter, but: %v", err)
		}
		o.SplitSize--
		for _, bad := range [][]int64{{0}, {5, 5}, {5, 4}, {300_000_000}} {
			memo[key] = bad
			if _, err := cut(t.Context(), files, o, dev); err == nil {
				t.Errorf("remembered cuts %v were believed", bad)
			}
		}
	}
	dev = newShelf(logLines(5, 300_000))
	for name, stamp := range map[string]Stamp{
		"young": {Dev: 1, Ino: 2, Size: dev.stamp.Size, Mtime: time.Now().UnixNano(), Ctime: 3},
		"grown": {Dev: 1, Ino: 2, Size: dev.stamp.Size - 5000, Mtime: 3, Ctime: 3},
	} {
		clear(memo)
		files[0].Stamp = stamp
		if name == "young" {
			dev.stamp = stamp
		} else {
			dev.stamp.Mtime = 3
		}
		if mustCut(); len(memo) != 0 {
			t.Errorf("cuts of a %s file were remembered", name)
		}
	}
}

func TestContentErrors(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), logLines(6, 1<<20))
	files := list(t, path)
	o := CutOptions{SplitSize: 10_000, Chunking: Content, segment: 100_000}
	_, err := cut(t.Context(), files, o, &meddler{failAt: 500_000})
	checkFailure(t, err, path, "input/output error")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Cut(ctx, files, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := ParseChunking("contents"); mr.KindOf(err) != mr.Usage {
		t.Errorf("an unknown chunking: %v", err)
	}
	for _, c := range []Chunking{Fixed, Content} {
		if got, err := ParseChunking(c.String()); got != c || err != nil {
			t.Errorf("%s is read as %s, %v", c, got, err)
		}
	}
}

// TestGoldenCuts: where splits end decides what hits; a change of the rule would silently
// miss everything that is cached.
func TestGoldenCuts(t *testing.T) {
	h := fnv.New64a()
	data := logLines(7, 4<<20)
	for _, f := range []mr.Format{{}, {Kind: mr.Fixed, N: 7}, {Kind: mr.Fixed, N: 5000}} {
		for _, s := range contentSplits(t, data[:len(data)/35000*35000], CutOptions{SplitSize: 1 << 17, Format: f}) {
			fmt.Fprintln(h, len(s))
		}
	}
	if got := fmt.Sprintf("%016x", h.Sum64()); got != "2601e0597440a3f4" {
		t.Errorf("the cuts are %s now", got)
	}
}
