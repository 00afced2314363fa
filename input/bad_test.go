package input

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// readSkipping reads all splits of a file and returns what they hold and what they skipped.
func readSkipping(t *testing.T, path string, o Options, size int64) (data []byte, bad []string) {
	t.Helper()
	o.Skip = func(b mr.BadRecord) error {
		bad = append(bad, fmt.Sprintf("%d %d %s %.8q %d", b.Offset, b.Length, b.Reason, b.Data, len(b.Data)))
		return nil
	}
	for _, s := range splitsOf(t, CutOptions{SplitSize: size, Format: o.Format}, path) {
		blocks, _, _ := readSplit(t, s, o)
		for _, b := range blocks {
			if len(b.Data) == 0 {
				t.Errorf("an empty block at %d", b.Off)
			}
		}
		data = append(data, concat(blocks)...)
	}
	return data, bad
}

// TestLongLinesAreSkipped holds that the same lines are skipped, and told in the same words,
// however the file is cut and held.
func TestLongLinesAreSkipped(t *testing.T) {
	const limit = 3000
	rng := random(5)
	var file, want []byte
	var bad []string
	line := func(n int) {
		l := bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, n)
		if n > limit {
			known := n
			if n >= headShown {
				known = 0
			}
			bad = append(bad, fmt.Sprintf("%d %d the line is longer than 3000 bytes %.8q 1024", len(file), known, l))
		} else {
			want = append(append(want, l...), '\n')
		}
		file = append(append(file, l...), '\n')
	}
	for range 250 {
		line(rng.IntN(200))
		switch rng.IntN(20) {
		case 0:
			line(limit + 1 + rng.IntN(20000))
		case 1:
			line(limit)
		case 2:
			line(limit + 1)
		}
	}
	line(3 << 20) // longer than a block, and than what is read at a time
	line(5)
	line(limit + 7)
	path := write(t, t.TempDir()+"/f", file)
	torn := write(t, t.TempDir()+"/f", file[:len(file)-1])
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, err := w.Write(file)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	packed := write(t, t.TempDir()+"/f.gz", gz.Bytes())
	for _, path := range []string{path, torn, packed} {
		for _, size := range []int64{4096, 100_000, 1 << 30} {
			for _, buffer := range []int64{1, 1 << 30} {
				got, skipped := readSkipping(t, path, Options{RecordLimit: limit, Buffer: buffer}, size)
				if !bytes.Equal(got, want) {
					t.Errorf("%s in splits of %d, buffer %d: %d bytes are left, want %d", path, size, buffer, len(got), len(want))
				}
				if !slices.Equal(skipped, bad) {
					t.Errorf("%s in splits of %d, buffer %d: skipped\n%s\nwant\n%s", path, size, buffer, strings.Join(skipped, "\n"), strings.Join(bad, "\n"))
				}
			}
		}
	}
}

func TestTornAndLargeRecordsAreSkipped(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 1000)
	path := write(t, t.TempDir()+"/f", data)
	fixed := mr.Format{Kind: mr.Fixed, N: 3000}
	for _, buffer := range []int64{1, 1 << 20} {
		for _, size := range []int64{3000, 1 << 20} {
			got, bad := readSkipping(t, path, Options{Format: fixed, Buffer: buffer}, size)
			if !bytes.Equal(got, data[:9000]) || !slices.Equal(bad, []string{`9000 1000 torn: 1000 bytes of 3000 "01234567" 1000`}) {
				t.Errorf("fixed: %d bytes, skipped %q", len(got), bad)
			}
		}
		whole := Options{Format: mr.Format{Kind: mr.Whole}, RecordLimit: 9999, Buffer: buffer}
		got, bad := readSkipping(t, path, whole, 1<<20)
		if len(got) != 0 || !slices.Equal(bad, []string{`0 0 the file is longer than 9999 bytes "01234567" 1024`}) {
			t.Errorf("whole: %d bytes, skipped %q", len(got), bad)
		}
		whole.RecordLimit++
		if got, bad = readSkipping(t, path, whole, 1<<20); len(got) != 10000 || len(bad) != 0 {
			t.Errorf("whole at the limit: %d bytes, skipped %q", len(got), bad)
		}
	}
}

// A record that is shown whole is not said to be longer, however it was read.
func TestSkippedRecordShownWhole(t *testing.T) {
	lines := "short\nlonger\r\nlongest\n\nwithout end"
	path := write(t, t.TempDir()+"/f", []byte(lines))
	packed := write(t, t.TempDir()+"/f.gz", gzipped([]byte(lines)))
	for _, path := range []string{path, packed} {
		for size := range int64(40) {
			for _, buffer := range []int64{1, 1 << 20} {
				got, bad := readSkipping(t, path, Options{RecordLimit: 5, Buffer: buffer}, size)
				want := []string{
					`6 6 the line is longer than 5 bytes "longer" 6`, `14 7 the line is longer than 5 bytes "longest" 7`,
					`23 11 the line is longer than 5 bytes "without " 11`,
				}
				if string(got) != "short\n\n" || !slices.Equal(bad, want) {
					t.Errorf("%s in splits of %d, buffer %d: %q is left, skipped %q", path, size, buffer, got, bad)
				}
			}
		}
	}
	whole := Options{Format: mr.Format{Kind: mr.Whole}, RecordLimit: 5}
	if _, bad := readSkipping(t, path, whole, 1<<20); !slices.Equal(bad, []string{fmt.Sprintf("0 %d the file is longer than 5 bytes %.8q %d", len(lines), lines, len(lines))}) {
		t.Errorf("whole: skipped %q", bad)
	}
}

// Whoever has skipped enough stops the reading.
func TestSkippingEnds(t *testing.T) {
	enough := errors.New("enough")
	path := write(t, t.TempDir()+"/f", []byte("short\nlonger than that\n"))
	l := loadSplit(t, wholeSplit(t, path), Options{RecordLimit: 5, Skip: func(mr.BadRecord) error { return enough }})
	defer l.Close()
	blocks, err := drain(l.Blocks(context.Background()))
	if !errors.Is(err, enough) || string(concat(blocks)) != "short\n" {
		t.Errorf("%q, %v", concat(blocks), err)
	}
}

// A line that is skipped is not read to its end, which may be far away.
func TestSkippedLineIsNotReadWhole(t *testing.T) {
	path := write(t, t.TempDir()+"/f", append([]byte("a\n"), bytes.Repeat([]byte("x"), 8<<20)...))
	s := splitsOf(t, CutOptions{SplitSize: 4096}, path)[0]
	l := loadSplit(t, s, Options{RecordLimit: 100, Skip: func(mr.BadRecord) error { return nil }})
	defer l.Close()
	if l.Read() > 1<<20 {
		t.Errorf("%d bytes were read", l.Read())
	}
}
