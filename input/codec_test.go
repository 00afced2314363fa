package input

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name = "a name in the header"
	must(w.Write(data))
	must(0, w.Close())
	return b.Bytes()
}

func zstded(data []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	must(0, err)
	return w.EncodeAll(data, nil)
}

func s2ed(data []byte, o ...s2.WriterOption) []byte {
	var b bytes.Buffer
	w := s2.NewWriter(&b, append(o, s2.WriterConcurrency(1))...)
	must(w.Write(data))
	must(0, w.Close())
	return b.Bytes()
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}

// compressed is one file in each form.
type compressed struct {
	codec        codec
	name         string
	data, stored []byte
	framed       bool // a truncation between two frames cannot be seen
}

func compressedFiles(t testing.TB) []compressed {
	var lines []byte
	for i := range 500 {
		lines = fmt.Appendf(lines, "line %d\n", i)
	}
	bz, err := os.ReadFile("testdata/lines.bz2")
	if err != nil {
		t.Fatal(err)
	}
	return []compressed{
		{gzipCodec, "gzip", lines, gzipped(lines), false},
		{zstdCodec, "zstd", lines, zstded(lines), false},
		{s2Codec, "s2", lines, s2ed(lines), true},
		{s2Codec, "snappy", lines, s2ed(lines, s2.WriterSnappyCompat()), true},
		{bzip2Codec, "bzip2", lines, bz, false},
	}
}

// readAs writes stored to a file and reads it through the given buffer size.
func readAs(t *testing.T, stored []byte, buffer int64) ([]byte, codec, error) {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "f"), stored)
	l := loadSplit(t, wholeSplit(t, path), Options{Buffer: buffer})
	defer l.Close()
	blocks, err := drain(l.Blocks(context.Background()))
	if err != nil {
		checkFailure(t, err, path)
	}
	return concat(blocks), l.parts[0].codec, err
}

func TestCompressedFiles(t *testing.T) {
	for _, c := range compressedFiles(t) {
		t.Run(c.name, func(t *testing.T) {
			for _, buffer := range []int64{0, 1} {
				got, codec, err := readAs(t, c.stored, buffer)
				if err != nil || codec != c.codec || !bytes.Equal(got, c.data) {
					t.Fatalf("%d bytes of %s, want %d: %v", len(got), codec, len(c.data), err)
				}
				twice := slices.Concat(c.stored, c.stored)
				got, _, err = readAs(t, twice, buffer)
				if err != nil || !bytes.Equal(got, slices.Concat(c.data, c.data)) {
					t.Errorf("two members: %d bytes, want %d: %v", len(got), 2*len(c.data), err)
				}
				for _, tail := range []string{"x", "\x00", "garbage behind the end", "\x00\x00\x00\x00\x00\x00\x00\x00"} {
					if _, _, err := readAs(t, slices.Concat(c.stored, []byte(tail)), buffer); err == nil {
						t.Errorf("%q behind the end is no error", tail)
					}
				}
			}
		})
	}
}

// Files are put together of what may be empty, as logs are that rotate on quiet days.
func TestManyEmptyMembers(t *testing.T) {
	for _, c := range compressedFiles(t) {
		empty := map[string]string{
			"gzip": string(gzipped(nil)), "zstd": "\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00", "bzip2": "BZh9\x17rE8P\x90\x00\x00\x00\x00",
			"s2": "\xff\x06\x00\x00S2sTwO", "snappy": "\xff\x06\x00\x00sNaPpY",
		}[c.name]
		got, _, err := readAs(t, slices.Concat(c.stored, bytes.Repeat([]byte(empty), 1000), c.stored), 0)
		if err != nil || !bytes.Equal(got, slices.Concat(c.data, c.data)) {
			t.Errorf("%s: %d bytes, want %d: %v", c.name, len(got), 2*len(c.data), err)
		}
	}
}

// TestTruncatedFiles cuts two members at each byte: only the ends of the members, and of
// the frames of s2, can pass for complete files.
func TestTruncatedFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range compressedFiles(t) {
		t.Run(c.name, func(t *testing.T) {
			twice := slices.Concat(c.stored, c.stored)
			whole := 0
			for n := len(c.stored) / 2; n < len(twice); n += 1 + n/100 {
				path := write(t, filepath.Join(dir, "f"), twice[:n])
				l := loadSplit(t, wholeSplit(t, path), Options{})
				blocks, err := drain(l.Blocks(context.Background()))
				l.Close()
				if err == nil {
					if whole++; !bytes.HasPrefix(slices.Concat(c.data, c.data), concat(blocks)) {
						t.Fatalf("%d of %d bytes: other data", n, len(twice))
					}
					if n != len(c.stored) && !c.framed {
						t.Errorf("%d of %d bytes: no error", n, len(twice))
					}
					continue
				}
				checkFailure(t, err, path, "truncated", "decoded offset")
			}
			if whole > 3 {
				t.Errorf("%d truncated files passed for whole ones", whole)
			}
		})
	}
}

// TestBytesBehindGzip: padding behind the last member is no truncation, however short.
func TestBytesBehindGzip(t *testing.T) {
	dir := t.TempDir()
	for _, behind := range []string{"\x00", "\n", "junk", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		path := write(t, filepath.Join(dir, "f"), slices.Concat(gzipped([]byte("a line\n")), []byte(behind)))
		l := loadSplit(t, wholeSplit(t, path), Options{})
		_, err := drain(l.Blocks(context.Background()))
		l.Close()
		checkFailure(t, err, path, "other bytes after it, at decoded offset 7")
	}
}

// TestCorruptFiles flips a bit in each byte: an error, or bits that do not matter.
func TestCorruptFiles(t *testing.T) {
	dir := t.TempDir()
	for _, c := range compressedFiles(t) {
		t.Run(c.name, func(t *testing.T) {
			errs := 0
			for i := 10; i < len(c.stored); i += 1 + i/50 {
				bad := bytes.Clone(c.stored)
				bad[i] ^= 1 << (i % 8)
				path := write(t, filepath.Join(dir, "f"), bad)
				l := loadSplit(t, wholeSplit(t, path), Options{})
				blocks, err := drain(l.Blocks(context.Background()))
				l.Close()
				if err != nil {
					errs++
					checkFailure(t, err, path, "decoded offset")
				} else if !bytes.Equal(concat(blocks), c.data) && !c.framed {
					t.Errorf("byte %d: other data and no error", i)
				}
			}
			if errs == 0 {
				t.Error("no error at all")
			}
		})
	}
}

func TestSniff(t *testing.T) {
	for head, want := range map[string]codec{
		"":                                 plainCodec,
		"\x1f\x8b":                         plainCodec,
		"\x1f\x8b\x08":                     gzipCodec,
		"\x1f\x8b\x07abc":                  plainCodec,
		"\x28\xb5\x2f\xfd":                 zstdCodec,
		"\x5e\x2a\x4d\x18\x00\x00\x00\x00": zstdCodec,
		"\xff\x06\x00\x00S2sTwO":           s2Codec,
		"\xff\x06\x00\x00sNaPpY":           s2Codec,
		"\xff\x06\x00\x00sNaPpX":           plainCodec,
		"BZh9 is how this text begins":     plainCodec,
		"BZh91AY&SY":                       bzip2Codec,
		"BZh01AY&SY":                       plainCodec,
		"BZh1\x17\x72\x45\x38\x50\x90":     bzip2Codec,
		"PK\x03\x04":                       plainCodec,
		"a line\n\x1f\x8b\x08 which means nothing": plainCodec,
	} {
		if got := sniff([]byte(head)); got != want {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
}

// TestHostileWindow: a header that asks for a window of a gigabyte is refused.
func TestHostileWindow(t *testing.T) {
	_, _, err := readAs(t, []byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00"), 0)
	checkFailure(t, err, "window")
}

// TestDecoderReuse reads a pack whose files have all codecs in turns.
func TestDecoderReuse(t *testing.T) {
	dir := t.TempDir()
	var want []byte
	for i := range 3 {
		for _, c := range compressedFiles(t) {
			write(t, filepath.Join(dir, fmt.Sprint(i), c.name), c.stored)
			write(t, filepath.Join(dir, fmt.Sprint(i), c.name+"-plain"), []byte("plain\n"))
			want = append(append(want, c.data...), "plain\n"...)
		}
	}
	for _, buffer := range []int64{0, 1} {
		s := splitsOf(t, CutOptions{}, dir)
		if len(s) != 1 {
			t.Fatalf("%d splits", len(s))
		}
		blocks, _, _ := readSplit(t, s[0], Options{Buffer: buffer})
		if !bytes.Equal(concat(blocks), want) {
			t.Errorf("buffer %d: wrong bytes", buffer)
		}
		for _, b := range blocks {
			if !b.Last || b.Off != 0 {
				t.Errorf("%s: Off %d, Last %v", b.Path, b.Off, b.Last)
			}
		}
	}
}

// TestLargeCompressed reads many blocks of decoded text, with lines across block ends.
func TestLargeCompressed(t *testing.T) {
	data := text(random(5), 5<<20, 20_000)
	for _, buffer := range []int64{0, 1} {
		path := write(t, filepath.Join(t.TempDir(), "f"), zstded(data))
		s := splitsOf(t, CutOptions{SplitSize: 1 << 20}, path)
		if len(s) != 1 || !s[0].Pieces[0].whole() {
			t.Fatalf("%d splits of a compressed file", len(s))
		}
		l := loadSplit(t, s[0], Options{Buffer: buffer})
		blocks, err := drain(l.Blocks(context.Background()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(concat(blocks), data) {
			t.Error("wrong bytes")
		}
		checkBlocks(t, blocks, data, l.o.Format, 0)
		l.Close()
	}
}
